import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readOurs, testBounds } from "./message-stream.test-support.ts";
import { type HeadFault, RequestReader } from "./request-reader.ts";

const octetsOf = (text: string): Buffer => Buffer.from(text, "latin1");
const one = (text: string) => readOurs([octetsOf(text)]);

/** Whole, in two pieces at every place, and octet by octet: there is one reading. */
function readEveryWay(text: string) {
  const whole = one(text);
  const octets = octetsOf(text);
  for (let cut = 1; cut < octets.length; cut++)
    assert.deepEqual(readOurs([octets.subarray(0, cut), octets.subarray(cut)]), whole, `cut at ${cut}`);
  assert.deepEqual(readOurs(Array.from(octets, (octet) => Buffer.of(octet))), whole, "octet by octet");
  return whole;
}

describe("a request head", () => {
  test("is method, target, fields and framing as received, and the next one begins right behind its content", () => {
    const text =
      "POST /a?b=%20 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\nGET / HTTP/1.1\r\nHost: b\r\nX:\t y \r\n\r\n";
    assert.deepEqual(readEveryWay(text), {
      messages: [
        { method: "POST", target: "/a?b=%20", rawHeaders: ["Host", "a", "Content-Length", "2"], content: "hi" },
        { method: "GET", target: "/", rawHeaders: ["Host", "b", "X", "y"], content: "" },
      ],
      fault: null,
    });
  });

  test("says whether another may follow and whether its sender waits for 100 Continue", () => {
    const framing = (text: string) => {
      const reader = new RequestReader(testBounds);
      const octets = octetsOf(text);
      reader.begin(0);
      const head = reader.read(octets, octets.length);
      assert.ok(typeof head === "object" && head !== null);
      return head.framing;
    };
    const get = (lines = "", version = "1.1") => framing(`GET / HTTP/${version}\r\n${lines}\r\n`);
    assert.deepEqual(get(), { contentLength: 0, closes: false, expectsContinue: false });
    for (const value of ["close", "Close", "keep-alive, CLOSE", "x ,\tclose"])
      assert.equal(get(`Connection: ${value}\r\n`).closes, true, value);
    for (const value of ["keep-alive", "closed", "not close", ""])
      assert.equal(get(`Connection: ${value}\r\n`).closes, false, value);
    assert.equal(get("", "1.0").closes, true);
    assert.equal(get("Connection: keep-alive\r\n", "1.0").closes, true, "HTTP/1.0 is not served twice");
    assert.equal(get("Expect: 100-Continue\r\n").expectsContinue, true);
    assert.equal(get("Expect: 100-continue\r\n", "1.0").expectsContinue, false);
    assert.equal(get("Transfer-Encoding: chunked\r\n").contentLength, -1);
  });

  const refused: readonly (readonly [string, string, HeadFault])[] = [
    ["leading white space", " GET / HTTP/1.1\r\n", "method"],
    ["a bare LF before it", "\nGET / HTTP/1.1\r\n", "method"],
    ["two empty lines before it", "\r\n\r\nGET / HTTP/1.1\r\n", "method"],
    ["a bare CR before it", "\rGET / HTTP/1.1\r\n", "method"],
    ["NUL in the method", "GE\0T / HTTP/1.1\r\n", "method"],
    ["an empty method", " / HTTP/1.1\r\n", "method"],
    ["a tab as separator", "GET\t/\tHTTP/1.1\r\n", "method"],
    ["a TLS handshake", "\x16\x03\x01\x02\0\x01", "method"],
    ["an SSH banner", "SSH-2.0-OpenSSH_9\r\n", "method"],
    ["a PROXY protocol line", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "version"],
    ["two spaces behind the method", "GET  / HTTP/1.1\r\n", "target"],
    ["two spaces behind the target", "GET /  HTTP/1.1\r\n", "version"],
    ["a space in the target", "GET /a b HTTP/1.1\r\n", "version"],
    ["no target", "GET HTTP/1.1\r\n", "target"],
    ["HTTP/0.9", "GET /\r\n", "target"],
    ["NUL in the target", "GET /\0 HTTP/1.1\r\n", "target"],
    ["a byte above 0x7e in the target", "GET /\u00e9 HTTP/1.1\r\n", "target"],
    ["a bare CR in the target", "GET /x\rX: y HTTP/1.1\r\n", "target"],
    ["a bare LF behind the line", "GET / HTTP/1.1\nHost: a\r\n", "version"],
    ["a bare CR behind the line", "GET / HTTP/1.1\rHost: a\r\n", "version"],
    ["white space behind the version", "GET / HTTP/1.1 \r\n", "version"],
    ["the version in lower case", "GET / http/1.1\r\n", "version"],
    ["HTTP/1.2", "GET / HTTP/1.2\r\n", "version"],
    ["HTTP/11.1", "GET / HTTP/11.1\r\n", "version"],
    ["HTTP/1.10", "GET / HTTP/1.10\r\n", "version"],
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"],
    ["RTSP", "DESCRIBE /a RTSP/1.0\r\n", "version"],
    ["a fold before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "field-name"],
    ["obs-fold", "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "field-name"],
    ["white space before a colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "field-name"],
  ];
  for (const [what, text, fault] of refused)
    test(`refused however it is cut: ${what}`, () =>
      assert.deepEqual(readEveryWay(`${text}`), { messages: [], fault }));

  const framings: readonly (readonly [string, string, HeadFault])[] = [
    ["Content-Length twice", "Content-Length: 5\r\nContent-Length: 6", "content-length"],
    ["Content-Length twice, the same", "Content-Length: 5\r\ncontent-length: 5", "content-length"],
    ["Content-Length as a list", "Content-Length: 5, 5", "content-length"],
    ["Content-Length +5", "Content-Length: +5", "content-length"],
    ["Content-Length -5", "Content-Length: -5", "content-length"],
    ["Content-Length 0x5", "Content-Length: 0x5", "content-length"],
    ["Content-Length 05, which one reader takes for octal", "Content-Length: 05", "content-length"],
    ["Content-Length 5 5", "Content-Length: 5 5", "content-length"],
    ["Content-Length 5e0", "Content-Length: 5e0", "content-length"],
    ["an empty Content-Length", "Content-Length:", "content-length"],
    ["a Content-Length that is not exact", "Content-Length: 1000000000000000", "content-length"],
    ["CL.TE: both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked", "both-framings"],
    ["TE.CL: both lengths", "Transfer-Encoding: chunked\r\nContent-Length: 5", "both-framings"],
    ["both with a length of 0", "Transfer-Encoding: chunked\r\nContent-Length: 0", "both-framings"],
    ["Transfer-Encoding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "transfer-encoding"],
    ["chunked, chunked", "Transfer-Encoding: chunked, chunked", "transfer-encoding"],
    ["gzip, chunked", "Transfer-Encoding: gzip, chunked", "transfer-encoding"],
    ["chunked, identity", "Transfer-Encoding: chunked, identity", "transfer-encoding"],
    ["xchunked", "Transfer-Encoding: xchunked", "transfer-encoding"],
    ["Chunked in another case", "Transfer-Encoding: Chunked", "transfer-encoding"],
    ["an empty Transfer-Encoding", "Transfer-Encoding:", "transfer-encoding"],
    ["chunked with a parameter", "Transfer-Encoding: chunked;q=1", "transfer-encoding"],
  ];
  for (const [what, lines, fault] of framings)
    test(`refused: ${what}`, () =>
      assert.deepEqual(readEveryWay(`POST / HTTP/1.1\r\n${lines}\r\n\r\n`), { messages: [], fault }));

  test("refused: Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)", () =>
    assert.equal(one("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").fault, "framing-of-1.0"));

  test("header bomb by octets: exactly the bound passes, one more is refused, and a fault before the bound is found first", () => {
    const { headBytesMax } = testBounds;
    const around = "GET / HTTP/1.1\r\na: \r\n\r\n".length;
    const filled = (octets: number) => `GET / HTTP/1.1\r\na: ${"b".repeat(octets - around)}\r\n\r\n`;
    assert.equal(one(filled(headBytesMax)).messages.length, 1);
    assert.equal(one(filled(headBytesMax + 1)).fault, "head-too-large");
    const endless = octetsOf(`GET /${"a".repeat(headBytesMax * 2)}`);
    assert.equal(one(endless.toString("latin1")).fault, "head-too-large");
    assert.equal(readOurs([endless.subarray(0, 3_000), endless.subarray(3_000)]).fault, "head-too-large");
    const behind = octetsOf(`${filled(headBytesMax + 10).slice(0, headBytesMax)}\0`);
    for (const cut of [1, 100, headBytesMax - 1, headBytesMax, headBytesMax + 1])
      assert.equal(readOurs([behind.subarray(0, cut), behind.subarray(cut)]).fault, "head-too-large", `cut at ${cut}`);
    assert.equal(one(`GET /\0${"a".repeat(headBytesMax)}`).fault, "target");
  });

  test("header bomb by count", () => {
    const many = (count: number) =>
      one(`GET / HTTP/1.1\r\n${Array.from({ length: count }, (_, i) => `a${i}: b\r\n`).join("")}\r\n`);
    assert.equal(many(testBounds.fieldsMax).messages.length, 1);
    assert.equal(many(testBounds.fieldsMax + 1).fault, "too-many-fields");
  });
});
