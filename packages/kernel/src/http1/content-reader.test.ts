import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ContentFault, ContentReader } from "./content-reader.ts";
import { readOurs } from "./message-stream.test-support.ts";

const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const next = "GET /next HTTP/1.1\r\n\r\n";

/** What comes of a chunked body with another request behind it, the same however it was cut. */
function readChunked(body: string) {
  const octets = Buffer.from(`${head}${body}${next}`, "latin1");
  const whole = readOurs([octets]);
  for (let cut = head.length - 2; cut < octets.length; cut++)
    assert.deepEqual(readOurs([octets.subarray(0, cut), octets.subarray(cut)]), whole, `cut at ${cut}`);
  assert.deepEqual(readOurs(Array.from(octets, (octet) => Buffer.of(octet))), whole, "octet by octet");
  return whole;
}

describe("chunked content", () => {
  const read: readonly (readonly [string, string, string])[] = [
    ["several chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"],
    ["no content", "0\r\n\r\n", ""],
    [
      "sizes in either case, with leading zeros",
      "00A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
      "01234567890123456789",
    ],
    ["line ends as content", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"],
    ["extensions", '2;a=b;c;d="e;f\\"\\\\";g=h\r\nhi\r\n0;last\r\n\r\n', "hi"],
    ["trailers, which are dropped", "2\r\nhi\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n", "hi"],
  ];
  for (const [what, body, content] of read)
    test(`read however it is cut: ${what}`, () => {
      const { messages, fault } = readChunked(body);
      assert.deepEqual([messages.map((message) => message.content), fault], [[content, ""], null]);
      assert.equal(messages[1]?.target, "/next");
    });

  const refused: readonly (readonly [string, string, ContentFault])[] = [
    ["an empty size", "\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["0x5", "0x5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["+5", "+5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["-5", "-5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a space before a size", " 5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a space behind a size", "5 \r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a tab behind a size", "5\t\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["0_5", "0_5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a size that wraps around in 64 bits", "FFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a size that is not exact in a double", "20000000000001\r\nhello", "chunk-size"],
    ["endless leading zeros", `${"0".repeat(40)}5\r\nhello\r\n0\r\n\r\n`, "chunk-size"],
    ["a bare LF behind a size", "5\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["a bare CR behind a size", "5\rhello\r0\r\r", "chunk-end"],
    ["content longer than its size", "5\r\nhellox\r\n0\r\n\r\n", "chunk-end"],
    ["no line end behind content", "5\r\nhello0\r\n\r\n", "chunk-end"],
    ["a bare LF behind content", "5\r\nhello\n0\r\n\r\n", "chunk-end"],
    ["CR without LF behind content", "5\r\nhello\r0\r\n\r\n", "chunk-end"],
    ["TERM.EXT: a bare LF inside an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", "chunk-extension"],
    ["EXT.TERM: a bare CR inside an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", "chunk-end"],
    ["a line end inside quotes", '5;a="\r\nhello"\r\n0\r\n\r\n', "chunk-extension"],
    ["an escaped line end inside quotes", '5;a="\\\r\n"\r\nhello\r\n0\r\n\r\n', "chunk-extension"],
    ["an extension without a name", "5;\r\nhello\r\n0\r\n\r\n", "chunk-extension"],
    ["an extension without its value", "5;a=\r\nhello\r\n0\r\n\r\n", "chunk-extension"],
    ["white space around an extension", "5 ;a\r\nhello\r\n0\r\n\r\n", "chunk-size"],
    ["NUL inside an extension", "5;a=\0\r\nhello\r\n0\r\n\r\n", "chunk-extension"],
    ["text behind a quoted value", '5;a="b"c\r\nhello\r\n0\r\n\r\n', "chunk-extension"],
    ["a bare LF as the last line", "5\r\nhello\r\n0\r\n\n", "trailer"],
    ["a trailer without a colon", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "trailer"],
    ["a folded trailer", "0\r\na: b\r\n c\r\n\r\n", "trailer"],
    ["Content-Length as a trailer", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", "trailer"],
    ["Transfer-Encoding as a trailer", "5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", "trailer"],
  ];
  for (const [what, body, fault] of refused)
    test(`refused however it is cut: ${what}`, () => {
      const found = readChunked(body);
      assert.deepEqual([found.messages, found.fault], [[], fault]);
    });

  test("trailer bomb: too many and too large ones are refused however they are cut", () => {
    const faultOf = (trailers: string, cut: number) => {
      const octets = Buffer.from(`${head}0\r\n${trailers}\r\n`, "latin1");
      return readOurs([octets.subarray(0, head.length + cut), octets.subarray(head.length + cut)]).fault;
    };
    for (const cut of [0, 3, 10, 200, 4_000, 4_098, 4_099, 4_100]) {
      assert.equal(faultOf("a: b\r\n".repeat(33), Math.min(cut, 190)), "trailer");
      assert.equal(faultOf(`a: ${"b".repeat(5_000)}\r\n`, cut), "trailer", `cut at ${cut}`);
    }
    assert.equal(faultOf("a: b\r\n".repeat(32), 20), null);
  });

  test("extension flood: what is said about chunks may not outweigh what is in them (CVE-2023-39326, CVE-2024-22019)", () => {
    const extension = "a".repeat(1_000);
    const chunk = `1;${extension}\r\nx\r\n`;
    const fault = (body: string) => readOurs([Buffer.from(`${head}${body}`, "latin1")]).fault;
    assert.equal(fault(`${chunk.repeat(10)}0\r\n\r\n`), null);
    assert.equal(fault(chunk.repeat(20)), "chunk-overhead");
    assert.equal(fault(`1;${"a".repeat(20_000)}`), "chunk-overhead");
    const large = `400;${extension}\r\n${"x".repeat(1_024)}\r\n`;
    assert.equal(fault(`${large.repeat(100)}0\r\n\r\n`), null, "a signature per chunk is fine");
  });

  test("tiny chunks of one read come out as one piece of content, and a small one keeps no large buffer alive", () => {
    const reader = new ContentReader();
    reader.begin(-1);
    const tiny = Buffer.from("1\r\nx\r\n".repeat(1_000));
    assert.equal(reader.read(tiny, 0, tiny.length), "more");
    const piece = reader.take(tiny);
    assert.equal(piece?.toString(), "x".repeat(1_000));
    assert.equal(reader.take(tiny), null, "only once");
    const large = Buffer.alloc(60_000, "2\r\nhi\r\n0\r\n\r\n......");
    reader.begin(-1);
    assert.equal(reader.read(large, 0, large.length), "over");
    const small = reader.take(large);
    assert.ok(small?.toString() === "hi" && small.buffer !== large.buffer);
  });
});

describe("content of a declared length", () => {
  test("ends with its last octet, wherever the reads were cut, and is not copied", () => {
    const reader = new ContentReader();
    reader.begin(5);
    const octets = Buffer.from("..hello!!");
    assert.equal(reader.read(octets, 2, 4), "more");
    assert.equal(reader.take(octets)?.toString(), "he");
    assert.equal(reader.read(octets, 4, octets.length), "over");
    assert.equal(reader.take(octets)?.toString(), "llo");
    assert.equal(reader.at, 7);
    reader.begin(0);
    assert.equal(reader.isOver, true);
    assert.equal(reader.read(octets, 7, octets.length), "over");
    assert.equal(reader.at, 7);
  });
});
