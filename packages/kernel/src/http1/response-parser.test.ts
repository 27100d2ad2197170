import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fieldsMax, headBytesMax } from "./response-head.ts";
import { chunkExtensionBytesMax, informationalMax, ResponseParser, trailerBytesMax } from "./response-parser.ts";
import { cuts, type ReadAnswer, readAnswer } from "./testing/read-answer.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const read = (text: string, on: { method?: string; eof?: boolean } = {}) => readAnswer([bytes(text)], on);
const ok = "HTTP/1.1 200 OK\r\n";

/** Whole and cut anywhere, the same is told. */
function readEverywhere(text: string, on: { method?: string; eof?: boolean } = {}): ReadAnswer {
  const whole = read(text, on);
  const { pieces: _, ...told } = whole;
  for (const cut of cuts(bytes(text))) {
    const { pieces: _pieces, ...same } = readAnswer(cut, on);
    // Bytes behind the end are seen as such only when they come with it; later ones meet an idle connection.
    if (told.end !== null && "isReusable" in told.end && same.end !== null && "isReusable" in same.end)
      assert.deepEqual({ ...same, end: null }, { ...told, end: null }, `cut into ${cut.length}`);
    else assert.deepEqual(same, told, `cut at ${cut[0]?.length} of ${text}`);
  }
  return whole;
}

describe("an answer ends where its fields say", () => {
  const accepted: readonly [string, string, { method?: string; eof?: boolean }, Partial<ReadAnswer>][] = [
    ["content-length", `${ok}Content-Length: 2\r\n\r\nhi`, {}, { content: "hi", end: { isReusable: true } }],
    ["a content-length of 0", `${ok}content-length: 0\r\n\r\n`, {}, { content: "", end: { isReusable: true } }],
    [
      "chunks of any size, extensions and trailers left out",
      `${ok}Transfer-Encoding: Chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n000A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n`,
      {},
      { content: "abc0123456789", fields: ["Transfer-Encoding", "Chunked"], end: { isReusable: true } },
    ],
    [
      "no chunk but the last",
      `${ok}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      {},
      { content: "", end: { isReusable: true } },
    ],
    [
      "the end of the connection",
      `${ok}\r\nall of it`,
      { eof: true },
      { content: "all of it", end: { isReusable: false } },
    ],
    [
      "close said",
      `${ok}Connection: x, Close\r\nContent-Length: 1\r\n\r\na`,
      {},
      { content: "a", end: { isReusable: false } },
    ],
    [
      "HTTP/1.0, whatever its Connection says",
      "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
      {},
      { content: "a", end: { isReusable: false } },
    ],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n", {}, { status: 204, end: { isReusable: true } }],
    ["304", 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', {}, { status: 304, end: { isReusable: true } }],
    ["an answer to HEAD", `${ok}Content-Length: 0\r\n\r\n`, { method: "HEAD" }, { end: { isReusable: true } }],
    [
      "informational answers first",
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${ok}Content-Length: 1\r\n\r\na`,
      {},
      { status: 200, content: "a", fields: ["Content-Length", "1"], end: { isReusable: true } },
    ],
    ["no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", {}, { status: 200, end: { isReusable: true } }],
    [
      "neither reason nor space",
      "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
      {},
      { status: 200, end: { isReusable: true } },
    ],
    ["a reason in another alphabet", "HTTP/1.1 200 \xe4\xf6\r\nContent-Length: 0\r\n\r\n", {}, { status: 200 }],
    [
      "fields as received, white space around values not part of them",
      `${ok}X-A: \t b c \t\r\nx-empty:\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length:0\r\n\r\n`,
      {},
      { fields: ["X-A", "b c", "x-empty", "", "Set-Cookie", "a=1", "Set-Cookie", "b=2", "Content-Length", "0"] },
    ],
  ];
  for (const [name, text, on, expected] of accepted)
    test(`${name}, however the bytes are cut`, () => {
      const { status, fields, content, end } = readEverywhere(text, on);
      const told = { status, fields, content, end };
      assert.deepEqual({ ...told, ...expected }, told);
    });

  test("a long answer behind a small head comes in the pieces it was read in", () => {
    const content = "x".repeat(100_000);
    const answer = readAnswer([bytes(`${ok}Content-Length: 100000\r\n\r\n${content}`)]);
    assert.deepEqual([answer.content.length, answer.pieces, answer.end], [100_000, 1, { isReusable: true }]);
  });

  test("a head longer than what is looked at first is read whole", () => {
    const long = "v".repeat(20_000);
    const text = `${ok}X-Long: ${long}\r\nContent-Length: 3\r\n\r\nabc`;
    for (const cut of [[bytes(text)], [bytes(text.slice(0, 9_000)), bytes(text.slice(9_000))]]) {
      const answer = readAnswer(cut);
      assert.deepEqual([answer.fields[1], answer.content, answer.end], [long, "abc", { isReusable: true }]);
    }
  });
});

describe("attacks by a provider", () => {
  const refused: readonly [string, string, string][] = [
    ["not HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["a line feed before the answer", `\n${ok}\r\n`, "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["an empty line before the answer", `\r\n${ok}\r\n`, "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["HTTP/0.9", "HTTP/0.9 200 OK\r\n\r\n", "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", "the status line names another version than HTTP/1.1 or HTTP/1.0"],
    ["http in lower case", "http/1.1 200 OK\r\n\r\n", "the status line does not begin with HTTP/1.1 or HTTP/1.0"],
    ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", "the status is not three digits"],
    ["a tab before the status", "HTTP/1.1\t200 OK\r\n\r\n", "the status line is malformed"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", "the status is not three digits"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "the status line is malformed"],
    ["a signed status", "HTTP/1.1 +20 OK\r\n\r\n", "the status is not three digits"],
    ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "the status is below 100"],
    ["a control character in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", "the status line is malformed"],
    ["a status line that ends with LF alone", "HTTP/1.1 200 OK\nX: y\r\n\r\n", "a line ends with LF alone"],
    ["response splitting with LF alone", `${ok}X: a\nSet-Cookie: b=1\r\n\r\n`, "a line ends with LF alone"],
    ["response splitting with CR alone", `${ok}X: a\rSet-Cookie: b=1\r\n\r\n`, "a CR without LF"],
    ["a CR before CR LF", `${ok}X: a\r\r\n\r\n`, "a CR without LF"],
    ["an empty line that is LF alone", `${ok}X: a\r\n\nhi`, "a line ends with LF alone"],
    ["a folded header line", `${ok}X: a\r\n b\r\n\r\n`, "a folded header line"],
    ["a folded first line", `${ok} X: a\r\n\r\n`, "a folded header line"],
    ["a line folded with a tab", `${ok}X: a\r\n\tb\r\n\r\n`, "a folded header line"],
    ["NUL in a value", `${ok}X: a\x00b\r\n\r\n`, "a header value holds a control character or a byte above 0x7e"],
    ["DEL in a value", `${ok}X: a\x7fb\r\n\r\n`, "a header value holds a control character or a byte above 0x7e"],
    [
      "a byte above 0x7e in a value",
      `${ok}X: \xe9\r\n\r\n`,
      "a header value holds a control character or a byte above 0x7e",
    ],
    ["NUL in a name", `${ok}X\x00: a\r\n\r\n`, "a header name is malformed"],
    ["a name without a colon", `${ok}X\r\n\r\n`, "a header name is malformed"],
    ["an empty name", `${ok}: a\r\n\r\n`, "a header name is malformed"],
    ["white space before a colon", `${ok}Content-Length : 5\r\n\r\nhello`, "white space before a colon"],
    ["a slash in a name", `${ok}X/Y: a\r\n\r\n`, "a header name is malformed"],
    ["two lengths", `${ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, "content-length occurs more than once"],
    [
      "the same length twice",
      `${ok}Content-Length: 1\r\ncontent-length: 1\r\n\r\na`,
      "content-length occurs more than once",
    ],
    ["a list of lengths", `${ok}Content-Length: 1, 1\r\n\r\na`, "content-length is not one number"],
    ["a signed length", `${ok}Content-Length: +1\r\n\r\na`, "content-length is not one number"],
    ["a negative length", `${ok}Content-Length: -1\r\n\r\na`, "content-length is not one number"],
    ["a hexadecimal length", `${ok}Content-Length: 0x1\r\n\r\na`, "content-length is not one number"],
    ["an empty length", `${ok}Content-Length:\r\n\r\na`, "content-length is not one number"],
    [
      "a length beyond what a number holds",
      `${ok}Content-Length: 9007199254740993\r\n\r\na`,
      "content-length is not one number",
    ],
    [
      "length and chunks",
      `${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "both transfer-encoding and content-length",
    ],
    [
      "chunks and length",
      `${ok}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n`,
      "both transfer-encoding and content-length",
    ],
    [
      "a length of 0 and chunks",
      `${ok}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "both transfer-encoding and content-length",
    ],
    ["gzip as transfer coding", `${ok}Transfer-Encoding: gzip\r\n\r\nabc`, "transfer-encoding is not chunked"],
    [
      "gzip before chunked",
      `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      "transfer-encoding is not chunked",
    ],
    [
      "chunked before gzip",
      `${ok}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
      "transfer-encoding is not chunked",
    ],
    [
      "chunked with a parameter",
      `${ok}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`,
      "transfer-encoding is not chunked",
    ],
    ["a tab behind chunked", `${ok}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`, "transfer-encoding is not chunked"],
    [
      "a tab between spaces behind chunked",
      `${ok}Transfer-Encoding: chunked \t \r\n\r\n0\r\n\r\n`,
      "transfer-encoding is not chunked",
    ],
    [
      "an extension of a chunk with no name",
      `${ok}Transfer-Encoding: chunked\r\n\r\n2;:x=y\r\nhe\r\n0\r\n\r\n`,
      "a chunk extension is malformed",
    ],
    ["xchunked", `${ok}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, "transfer-encoding is not chunked"],
    [
      "chunked twice",
      `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "transfer-encoding occurs more than once",
    ],
    [
      "chunks in HTTP/1.0",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "transfer-encoding in an HTTP/1.0 answer",
    ],
    [
      "an upgrade nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      "an upgrade that nobody asked for",
    ],
    [
      "an informational answer with content",
      "HTTP/1.1 103 x\r\nContent-Length: 20\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
      "an informational answer with content",
    ],
    [
      "an informational answer in HTTP/1.0",
      "HTTP/1.0 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "an informational answer in HTTP/1.0",
    ],
    [
      "a flood of informational answers",
      "HTTP/1.1 103 x\r\n\r\n".repeat(informationalMax + 1),
      "too many informational answers",
    ],
    ["too many fields", `${ok}${"X: y\r\n".repeat(fieldsMax + 1)}\r\n`, "too many header fields"],
    ["a chunk size that is no number", `${ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, "a chunk size is missing"],
    ["a negative chunk size", `${ok}Transfer-Encoding: chunked\r\n\r\n-1\r\n`, "a chunk size is missing"],
    ["a chunk size with 0x", `${ok}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n`, "a chunk size is malformed"],
    [
      "a chunk size that overflows",
      `${ok}Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n`,
      "a chunk size is too large",
    ],
    [
      "a chunk size of many zeros",
      `${ok}Transfer-Encoding: chunked\r\n\r\n${"0".repeat(13)}\r\n\r\n`,
      "a chunk size is too large",
    ],
    [
      "white space behind a chunk size",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n`,
      "a chunk size is malformed",
    ],
    [
      "a chunk size that ends with LF alone",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\na\r\n`,
      "a chunk size is malformed",
    ],
    [
      "a chunk size that ends with CR alone",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\ra\r\n`,
      "a chunk size is not followed by CR LF",
    ],
    [
      "LF inside a chunk extension",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n`,
      "a chunk extension is malformed",
    ],
    [
      "an endless chunk extension",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1;${"a".repeat(chunkExtensionBytesMax + 1)}`,
      "a chunk extension is too long",
    ],
    [
      "a chunk longer than it says",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n`,
      "a chunk is not followed by CR LF",
    ],
    [
      "a chunk that ends with LF alone",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n`,
      "a chunk is not followed by CR LF",
    ],
    [
      "a chunk that ends with two CR",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\r\n`,
      "a chunk is not followed by CR LF",
    ],
    [
      "a length in the trailer",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n`,
      "a trailer field that frames",
    ],
    [
      "a transfer coding in the trailer",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n`,
      "a trailer field that frames",
    ],
    [
      "a trailer that is folded",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n b\r\n\r\n`,
      "a folded header line",
    ],
    [
      "a trailer with NUL",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX: \x00\r\n\r\n`,
      "a header value holds a control character or a byte above 0x7e",
    ],
    [
      "many trailer fields",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n${"X: y\r\n".repeat(33)}\r\n`,
      "too many trailer fields",
    ],
    [
      "an endless trailer",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\nX: ${"y".repeat(trailerBytesMax)}`,
      "the trailer section is too large",
    ],
  ];
  for (const [name, text, why] of refused)
    test(`${name} is refused, however the bytes are cut`, () => {
      const short = text.length < 1_000;
      const { end } = short ? readEverywhere(text) : read(text);
      assert.deepEqual(end, { malformed: why });
    });

  test("an endless head is refused at its bound, in one piece, in many and byte by byte", () => {
    const endless = bytes(`${ok}X: ${"y".repeat(headBytesMax)}`);
    const tens = Array.from({ length: Math.ceil(endless.length / 10) }, (_, at) =>
      endless.subarray(at * 10, at * 10 + 10),
    );
    for (const cut of [[endless], tens, Array.from(endless, (_, at) => endless.subarray(at, at + 1))])
      assert.deepEqual(readAnswer(cut).end, { malformed: "the header section is too large" });
  });

  test("a million chunks of one byte are one piece per read, not a million objects", () => {
    const chunk = "1\r\na\r\n".repeat(10_000);
    const answer = read(`${ok}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`);
    assert.deepEqual([answer.content.length, answer.pieces], [10_000, 1]);
  });

  const cut: readonly [string, string, string][] = [
    ["before its head", "", "no answer"],
    ["in its head", "HTTP/1.1 200", "the connection was closed in the middle of the head"],
    ["after an informational answer", "HTTP/1.1 100 x\r\n\r\n", "the connection was closed in the middle of the head"],
    [
      "in its content",
      `${ok}Content-Length: 5\r\n\r\nhell`,
      "the answer is cut short: 1 bytes of its content-length are missing",
    ],
    [
      "before its content",
      `${ok}Content-Length: 5\r\n\r\n`,
      "the answer is cut short: 5 bytes of its content-length are missing",
    ],
    [
      "between chunks",
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`,
      "the answer is cut short: its last chunk is missing",
    ],
    [
      "in a chunk",
      `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\na`,
      "the answer is cut short: its last chunk is missing",
    ],
    [
      "before the end of the last chunk",
      `${ok}Transfer-Encoding: chunked\r\n\r\n0\r\n`,
      "the answer is cut short: its last chunk is missing",
    ],
  ];
  for (const [name, text, why] of cut)
    test(`an answer cut ${name} never looks complete`, () => {
      assert.deepEqual(readEverywhere(text, { eof: true }).end, { malformed: why });
    });

  const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
  const behind: readonly [string, string, { method?: string }][] = [
    ["an answer with a length", `${ok}Content-Length: 2\r\n\r\nok${poison}`, {}],
    ["an answer in chunks", `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${poison}`, {}],
    ["a 204", `HTTP/1.1 204 No Content\r\n\r\n${poison}`, {}],
    ["an answer to HEAD", `${ok}\r\n${poison}`, { method: "HEAD" }],
  ];
  for (const [name, text, on] of behind)
    test(`queue poisoning: bytes behind ${name} are not an answer, and nothing follows on that connection`, () => {
      const { end, content } = read(text, on);
      assert.deepEqual(end, { isReusable: false });
      assert.ok(!content.includes("poison"));
    });

  const promised: readonly [string, string, { method?: string }][] = [
    ["HEAD with a length", `${ok}Content-Length: 50\r\n\r\n`, { method: "HEAD" }],
    ["HEAD with chunks", `${ok}Transfer-Encoding: chunked\r\n\r\n`, { method: "HEAD" }],
    ["204 with a length", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", {}],
    ["304 with chunks", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", {}],
  ];
  for (const [name, text, on] of promised)
    test(`late content: an answer without content whose fields promise some (${name}) is the last of its connection`, () => {
      assert.deepEqual(readEverywhere(text, on).end, { isReusable: false });
    });

  test("whoever stops the parser is told nothing more", () => {
    for (const stopAt of ["head", "content"]) {
      const told: string[] = [];
      const parser: ResponseParser = new ResponseParser({
        onHead() {
          told.push("head");
          if (stopAt === "head") parser.stop();
        },
        onContent() {
          told.push("content");
          parser.stop();
        },
        onEnd: () => void told.push("end"),
        onMalformed: (why) => void told.push(why),
      });
      for (const rest of [
        "Content-Length: 1\r\n\r\na",
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz",
      ]) {
        told.length = 0;
        parser.begin("GET");
        parser.feed(bytes(`${ok}${rest}`), false);
        parser.eof();
        if (stopAt === "head") assert.deepEqual(told, ["head"]);
        else assert.ok(told.length <= 2 || rest.startsWith("Content-Length: 0"), told.join());
      }
    }
  });
});
