// Promises streams of requests as an attacker sends them, mostly right and bent at some places, and the comparison of our reading with llhttp's.
// For tests and the soak. Trusts node:http in its strict form as the other reader.
import assert from "node:assert/strict";
import fc from "fast-check";
import { type Message, oracleMethods, readOracle, readOurs } from "../message-stream.test-support.ts";

const nasty = fc.constantFrom(
  ...[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\x0b",
    "\x7f",
    "\xa0",
    "\xff",
    ":",
    ",",
    ";",
    '"',
    "\\",
    "=",
    "0",
    "5",
    "x",
    "a",
  ],
  ...[
    "\r\n ",
    "\r\n\r\n",
    "0\r\n\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "GET / HTTP/1.1\r\n\r\n",
    "chunked",
    "close",
    "Content-Length",
  ],
);
/** Mostly what is right, so that what is wrong stands between messages that are read. */
const mostly = (right: readonly string[], wrong: readonly string[]) =>
  fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });
const line = mostly(
  ["Host: a", "host:b", "X-Empty:", "Accept: */*\t", "X-Obs: \xe9", "Connection: keep-alive", "Expect: 100-continue"],
  [
    ...["Content-Length: 05", "Content-Length: 5, 5", "Content-Length: +5", "Content-Length: 5\t", "Connection: close"],
    ...["Transfer-Encoding: gzip, chunked", "Transfer-Encoding : chunked", "Transfer_Encoding: chunked", ": b"],
    ...[" Transfer-Encoding: chunked", "Transfer-Encoding: chunked\t", "A: b\n c", "A\0: b", "Content-Length: 5"],
  ],
);
const requestLine = mostly(
  ["GET / HTTP/1.1", "POST /a/b?c=d HTTP/1.1", "PUT /%20;x HTTP/1.1", "\r\nHEAD /~a HTTP/1.1", "DELETE /a'b HTTP/1.1"],
  ["GET  / HTTP/1.1", "GET / HTTP/1.0", "GET /", "get / HTTP/1.1", "GET / HTTP/1.1 ", "GET /a b HTTP/1.1"],
);
const chunk = mostly(
  [
    ...["5\r\nhello\r\n", "005\r\nhello\r\n", "5;a=b\r\nhello\r\n", '5;a="b;c"\r\nhello\r\n', "A\r\n0123456789\r\n"],
    '1;a="\\""\r\n\n\r\n',
  ],
  [
    ...["5 \r\nhello\r\n", "5\nhello\r\n", "0x5\r\nhello\r\n", "5;\r\nhello\r\n", "5;a=\r\nhello\r\n"],
    ...["5;a b\r\nhello\r\n", "6\r\nhello\r\n", "4\r\nhello\r\n"],
  ],
);
const trailer = fc.constantFrom(
  "",
  "X-Sum: 1\r\n",
  "Host: evil\r\n",
  "Content-Length: 3\r\n",
  "a: b\r\n c\r\n",
  "nocolon\r\n",
);
const chunks = fc
  .tuple(fc.array(chunk, { maxLength: 3 }), trailer)
  .map(([parts, end]) => `${parts.join("")}0\r\n${end}\r\n`);
/** What says how long the content is, and the content. */
const content = fc.oneof(
  { weight: 4, arbitrary: fc.constant(["", ""] as const) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(["Content-Length: 5\r\n", "hello"] as const, ["content-length: 0 \r\n", ""] as const),
  },
  { weight: 1, arbitrary: fc.constantFrom(["Content-Length: 5\r\n", "hel"] as const, ["", "hello"] as const) },
  { weight: 4, arbitrary: chunks.map((text) => ["transfer-encoding:\tchunked \r\n", text] as const) },
);
const request = fc
  .tuple(requestLine, fc.array(line, { maxLength: 4 }), content)
  .map(([first, lines, [framing, text]]) => `${[first, ...lines].join("\r\n")}\r\n${framing}\r\n${text}`);
/** Requests as an attacker begins with them, and then bends at some places. */
export const bentRequests = fc
  .tuple(
    fc.array(request, { minLength: 1, maxLength: 3 }),
    fc.array(fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 3 }), nasty), { maxLength: 3 }),
  )
  .map(([requests, bends]) =>
    bends.reduce(
      (text, [at, cut, put]) =>
        text.slice(0, at % (text.length + 1)) + put + text.slice((at % (text.length + 1)) + cut),
      requests.join(""),
    ),
  );

/** Those that reach the gateway's own judge: it refuses every other method and form of a target. */
const judged = (message: Message): boolean => oracleMethods.has(message.method) && message.target.startsWith("/");

/**
 * How many messages of `text` (latin1) we take, each of which llhttp in its strict form takes for the same: method, target, fields, content and end.
 * Throws AssertionError with both readings where one differs.
 */
export async function sameRequests(text: string): Promise<number> {
  const octets = Buffer.from(text, "latin1");
  const ours = readOurs([octets]);
  const oracle = await readOracle(octets);
  let count = 0;
  for (const message of ours.messages) {
    if (!judged(message) || message.method === "CONNECT") break;
    assert.deepEqual(message, oracle.messages[count], `ours ${JSON.stringify(ours)}, llhttp ${JSON.stringify(oracle)}`);
    count++;
  }
  return count;
}
