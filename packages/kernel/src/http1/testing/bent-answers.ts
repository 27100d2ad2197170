// Promises answers as a hostile or broken provider sends them, and the comparison of our reading with that of Node's own client. For tests and the
// soak. Trusts node:http as the other reader.
import assert from "node:assert/strict";
import { type IncomingMessage, request } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { readAnswer } from "./read-answer.ts";

interface Reading {
  readonly status: number;
  readonly fields: readonly string[];
  readonly content: string;
}

/** What Node's own client makes of these bytes: null where it would not have them, or not as a whole answer. */
function readByNode(method: string, bytes: Buffer): Promise<Reading | null> {
  const socket = new Duplex({
    read: () => undefined,
    write(_chunk, _encoding, done) {
      done();
      if (bytes.length > 0) this.push(bytes);
      this.push(null);
    },
  });
  return new Promise((resolve) => {
    const no = () => resolve(null);
    const sent = request({ method, createConnection: () => socket, maxHeaderSize: 1 << 20 });
    const answered = (answer: IncomingMessage): void => {
      let content = "";
      answer.on("error", no);
      answer.on("aborted", no);
      answer.on("data", (piece: Buffer) => {
        content += piece.toString("latin1");
      });
      answer.on("end", () =>
        resolve(answer.complete ? { status: answer.statusCode ?? 0, fields: answer.rawHeaders, content } : null),
      );
    };
    sent
      .on("response", answered)
      .on("upgrade", no)
      .on("error", no)
      .on("close", () => setImmediate(no))
      .end();
  });
}

const statusLines = [
  "HTTP/1.1 200 OK",
  "HTTP/1.1 200 OK",
  "HTTP/1.1 404 Not Found",
  "HTTP/1.1 204 No Content",
  "HTTP/1.1 304 Not Modified",
  "HTTP/1.0 200 OK",
  "HTTP/1.1 200",
  "HTTP/1.1 200 ",
  "HTTP/1.1 999 x",
  "HTTP/1.1 099 x",
  "HTTP/1.1  200 OK",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
  "HTTP/1.1 103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK",
  "HTTP/2.0 200 OK",
];
const fieldLines = [
  "Content-Type: text/plain",
  "X-A:b",
  "X-Empty:",
  "X-Space: \t a b \t",
  "Set-Cookie: a=1",
  "Connection: close",
  "Connection: keep-alive",
  "Keep-Alive: timeout=5, max=3",
  "Trailer: X-Sum",
  "X-Fold: a\r\n b",
  "X-High: \xe9",
  "X-Nul: a\x00",
  "X Y: a",
  "Content-Length : 3",
];
const framings = [
  "Content-Length: 5",
  "Content-Length: 5",
  "Content-Length: 0",
  "Content-Length: 05",
  "Content-Length: 5\r\nContent-Length: 5",
  "Content-Length: 3\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: CHUNKED",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: gzip",
  "Transfer-Encoding: chunked, identity",
  "X-None: 1",
];
const contents = [
  "hello",
  "",
  "5\r\nhello\r\n0\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  "2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
  "5\r\nhell",
  "5\r\nhellox\r\n0\r\n\r\n",
  "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
  "5 \r\nhello\r\n0\r\n\r\n",
  "helloHTTP/1.1 200 OK\r\n\r\n",
];
const nasty = ["\r", "\n", "\r\n", "\0", " ", "\t", ":", ";", "0", "\x7f", "\xff", "A"];

export const bentAnswers = fc
  .record({
    method: fc.constantFrom("GET", "GET", "GET", "HEAD"),
    status: fc.constantFrom(...statusLines),
    fields: fc.array(fc.constantFrom(...fieldLines.slice(0, 9), ...fieldLines), { maxLength: 3 }),
    framing: fc.constantFrom(...framings),
    content: fc.constantFrom(...contents),
    change: fc.option(fc.record({ at: fc.nat(), cut: fc.nat(2), put: fc.constantFrom("", ...nasty) }), { freq: 2 }),
  })
  .map(({ method, status, fields, framing, content, change }) => {
    const text = `${[status, ...fields, framing].join("\r\n")}\r\n\r\n${content}`;
    if (change === null) return { method, text };
    const at = change.at % text.length;
    return { method, text: text.slice(0, at) + change.put + text.slice(at + change.cut) };
  });

/** How many bytes we took for this answer; all of them where only the end of the connection ends it. */
function lengthOf(method: string, bytes: Buffer): number {
  for (let length = 1; length < bytes.length; length++)
    if (readAnswer([bytes.subarray(0, length)], { method }).end !== null) return length;
  return bytes.length;
}

/** What became of one comparison: not taken by us; or taken, alone or with other bytes behind it. */
export type AnswerComparison = "refused" | "whole" | "followed";

/** Throws AssertionError where Node's client does not take what we take for the same answer, or takes a shorter one. */
export async function sameAnswer({
  method,
  text,
}: {
  readonly method: string;
  readonly text: string;
}): Promise<AnswerComparison> {
  const bytes = Buffer.from(text, "latin1");
  const { end, status, fields, content } = readAnswer([bytes], { method, eof: true });
  if (end === null || "malformed" in end) return "refused";
  const length = lengthOf(method, bytes);
  assert.deepEqual(await readByNode(method, bytes.subarray(0, length)), { status, fields, content });
  if (length === bytes.length) return "whole";
  assert.equal(end.isReusable, false);
  assert.equal(await readByNode(method, bytes.subarray(0, length - 1)), null);
  return "followed";
}
