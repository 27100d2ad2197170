import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keptSectionBytesMax } from "./kept-section.ts";
import { readOurs, testBounds } from "./message-stream.test-support.ts";
import { type HeadFault, type RequestHead, RequestReader } from "./request-reader.ts";

const octetsOf = (text: string): Buffer => Buffer.from(text, "latin1");
const section = "Host: a\r\nX-One: 1\r\nContent-Length: 0\r\nAuthorization: Bearer abc\r\n\r\n";
const first = `GET /first HTTP/1.1\r\n${section}`;

function read(reader: RequestReader, octets: Buffer): RequestHead | HeadFault | null {
  reader.begin(0);
  return reader.read(octets, octets.length);
}

/** What a reader says of a head that has read `first` before, and one that has read nothing. */
function both(head: string | Buffer, bounds = testBounds) {
  const octets = typeof head === "string" ? octetsOf(head) : head;
  const used = new RequestReader(bounds);
  read(used, octetsOf(first));
  return { again: read(used, octets), anew: read(new RequestReader(bounds), octets) };
}

function kept(reader: RequestReader, head: string): readonly string[] {
  const is = read(reader, octetsOf(head));
  assert.ok(typeof is === "object" && is !== null);
  return is.rawHeaders;
}

describe("a header section that comes again on its connection", () => {
  test("is not read again: each request has the very list, which nobody can change, and its own line", () => {
    const reader = new RequestReader(testBounds);
    const list = kept(reader, first);
    assert.ok(Object.isFrozen(list));
    for (const line of ["GET /second?x=1 HTTP/1.1", "POST /third HTTP/1.1", "PURGE / HTTP/1.1"]) {
      const head = read(reader, octetsOf(`\r\n${line}\r\n${section}`));
      assert.ok(typeof head === "object" && head !== null);
      assert.equal(head.rawHeaders, list);
      assert.equal(`${head.method} ${head.target} HTTP/1.${head.minorVersion}`, line);
    }
  });

  test("attack: with any octet changed, left out or put in at any place it is read as if it were the first", () => {
    for (let at = 0; at < section.length; at++) {
      const [before, behind, own] = [section.slice(0, at), section.slice(at + 1), section[at] ?? ""];
      for (const other of ["", " ", "\t", "\r", "\n", "\0", ":", "0", "x", "\xff", "\r\n", own + own]) {
        const { again, anew } = both(`GET /second HTTP/1.1\r\n${before}${other}${behind}`);
        assert.deepEqual(again, anew, JSON.stringify([at, other]));
      }
    }
  });

  test("attack: HTTP/1.0 with the same fields is still the last of its connection", () => {
    const { again, anew } = both(first.replace("HTTP/1.1", "HTTP/1.0"));
    assert.deepEqual(again, anew);
    assert.ok(typeof again === "object" && again?.framing.closes === true);
  });

  test("attack: a long target does not get past the bound of a head because its fields are known", () => {
    for (let more = 0; more < 12; more++) {
      const bounds = { headBytesMax: first.length + 5, fieldsMax: 20 };
      const { again, anew } = both(first.replace("/first", `/first${"x".repeat(more)}`), bounds);
      assert.deepEqual(again, anew);
      assert.equal(again === "head-too-large", more > 5, String(more));
    }
  });

  test("does not depend on octets that were overwritten since", () => {
    const reader = new RequestReader(testBounds);
    const shared = octetsOf(first);
    read(reader, shared);
    const forged = first.replace("Bearer abc", "Bearer xyz");
    shared.write(forged, "latin1");
    const head = read(reader, shared);
    assert.ok(typeof head === "object" && head !== null);
    assert.equal(head.rawHeaders.at(-1), "Bearer xyz");
  });

  test("ends where it ended: what follows is content or the next request", () => {
    const stream = `POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\n\r\nGET /3 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxy`;
    const whole = readOurs([octetsOf(stream)]);
    assert.deepEqual(
      whole.messages.map(({ target, content }) => [target, content]),
      [
        ["/1", "hi"],
        ["/2", "\r\n"],
        ["/3", "xy"],
      ],
    );
    const octets = octetsOf(stream);
    for (let cut = 1; cut < octets.length; cut++)
      assert.deepEqual(readOurs([octets.subarray(0, cut), octets.subarray(cut)]), whole, `cut at ${cut}`);
    assert.deepEqual(readOurs(Array.from(octets, (octet) => Buffer.of(octet))), whole, "octet by octet");
  });

  test("is not kept where it is large, and a refused one keeps nothing", () => {
    const bounds = { headBytesMax: 16_384, fieldsMax: 20 };
    const reader = new RequestReader(bounds);
    const large = `GET / HTTP/1.1\r\nX: ${"x".repeat(keptSectionBytesMax)}\r\n\r\n`;
    assert.ok(!Object.isFrozen(kept(reader, large)));
    assert.notEqual(kept(reader, large), kept(reader, large));
    const refused = "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
    assert.equal(read(reader, octetsOf(refused)), "content-length");
    assert.equal(read(reader, octetsOf(refused)), "content-length");
    const fits = `GET / HTTP/1.1\r\nX: ${"x".repeat(keptSectionBytesMax - 7)}\r\n\r\n`;
    assert.equal(kept(reader, fits), kept(reader, fits));
  });
});
