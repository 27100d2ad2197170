// A provider's head that comes again on its connection says the same again, and nothing that only looks like it does.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AnswerLines } from "./answer-text.ts";
import { HeadLines } from "./request-head.ts";
import { keptHeadBytesMax, ResponseHead } from "./response-head.ts";
import { ResponseParser } from "./response-parser.ts";

const first =
  "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\nConnection: x\r\nKeep-Alive: timeout=5\r\n\r\n";

/** All that a head says. */
function said(head: ResponseHead, text: string) {
  const end = head.read(text);
  const { status, minorVersion, fields, contentLength, isChunked, saysClose, keepAliveS, why } = head;
  return end < 0
    ? { end, why }
    : { end, status, minorVersion, fields, contentLength, isChunked, saysClose, keepAliveS };
}

describe("a provider's head that comes again", () => {
  test("is not read again: each answer has the very list of fields, which nobody can change", () => {
    const head = new ResponseHead();
    const once = said(head, first);
    const { fields } = head;
    assert.ok(Object.isFrozen(fields));
    assert.deepEqual(said(head, `${first}hi`), once);
    assert.equal(head.fields, fields);
  });

  test("attack: with any byte changed, left out or put in at any place it is read as if it were the first", () => {
    for (let at = 0; at < first.length; at++) {
      const [before, behind, own] = [first.slice(0, at), first.slice(at + 1), first[at] ?? ""];
      for (const other of ["", " ", "\t", "\r", "\n", "\0", ":", "0", "1", "x", "\xff", "\r\n", own + own]) {
        const text = `${before}${other}${behind}`;
        const used = new ResponseHead();
        said(used, first);
        assert.deepEqual(said(used, text), said(new ResponseHead(), text), JSON.stringify([at, other]));
      }
      // Cut short, it is not whole, whatever came before.
      const used = new ResponseHead();
      said(used, first);
      assert.equal(used.read(before), new ResponseHead().read(before));
    }
  });

  test("attack: a refused head, an informational one or another in between is not taken for it", () => {
    for (const between of [
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
      "HTTP/1.1 500 No\r\n\r\n",
      "HTTP/2 200\r\n\r\n",
    ]) {
      const head = new ResponseHead();
      const once = said(head, first);
      said(head, between);
      assert.deepEqual(said(head, first), once);
    }
  });

  test("and its content is framed by it each time, chunks and trailers with it", () => {
    const told: string[] = [];
    const parser = new ResponseParser({
      onHead: () => told.push(`${parser.head.status}`),
      onContent: (content) => told.push(content.toString("latin1")),
      onEnd: (isReusable) => told.push(isReusable ? "end" : "last"),
      onMalformed: (why) => told.push(why),
    });
    const answers = [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n",
    ];
    for (const answer of [answers[0], answers[0], answers[1]]) {
      parser.begin("GET");
      parser.feed(Buffer.from(answer ?? "", "latin1"), true);
    }
    assert.deepEqual(told, ["200", "hi", "end", "200", "hi", "end", "200", "a", "a trailer field that frames"]);
  });

  test("is not kept where it is large", () => {
    const head = new ResponseHead();
    const large = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(keptHeadBytesMax)}\r\n\r\n`;
    said(head, large);
    const { fields } = head;
    assert.ok(!Object.isFrozen(fields));
    said(head, large);
    assert.notEqual(head.fields, fields);
  });
});

describe("field lines that were printed before", () => {
  test("splitting: they hold no line end, frame nothing, and nothing but their class makes them", () => {
    for (const bad of ["\r", "\n", "\0", "\x7f", "\u010a"]) {
      for (const headers of [
        ["x-a", `b${bad}x: y`],
        [`x${bad}`, "b"],
      ]) {
        assert.throws(() => new HeadLines(headers), TypeError);
        assert.throws(() => new AnswerLines(headers), TypeError);
      }
    }
    for (const name of ["content-length", "transfer-encoding", "connection"]) {
      assert.throws(() => new HeadLines([name, "1"]), TypeError, name);
      assert.throws(() => new AnswerLines([name, "1"]), TypeError, name);
    }
    const forged = { text: "x: y\r\n\r\nGET / HTTP/1.1\r\n", hasDate: true };
    assert.throws(() => HeadLines.textOf(forged as unknown as HeadLines), TypeError);
    assert.throws(() => AnswerLines.textOf(forged as unknown as AnswerLines), TypeError);
    assert.throws(() => HeadLines.textOf(Object.create(HeadLines.prototype)), TypeError);
  });
});
