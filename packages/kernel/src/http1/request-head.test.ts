import assert from "node:assert/strict";
import { test } from "node:test";
import { HeadLines, requestHead } from "./request-head.ts";

const parts = { method: "GET", path: "/v1/a?b=c", host: "billing.internal:8080", headers: ["x-a", "b"], content: null };

test("a head is a line, the origin's Host, the fields in order and our framing", () => {
  assert.equal(requestHead(parts), "GET /v1/a?b=c HTTP/1.1\r\nhost: billing.internal:8080\r\nx-a: b\r\n\r\n");
  const end = (method: string, content: number | null | "chunked") =>
    requestHead({ ...parts, method, headers: [], content })
      .split("\r\n")
      .slice(2)
      .join("|");
  assert.equal(end("GET", null), "|");
  assert.equal(end("GET", 3), "content-length: 3||");
  assert.equal(end("POST", null), "content-length: 0||");
  assert.equal(end("DELETE", null), "|");
  assert.equal(end("PUT", "chunked"), "transfer-encoding: chunked||");
});

test("lines printed before stand first and are the same as when printed with the head", () => {
  const headers = ["x-a", "b", "x-c", "d"];
  const lines = [new HeadLines(["x-a", "b"]), new HeadLines([]), new HeadLines(["x-c", "d"])];
  assert.equal(
    requestHead({ ...parts, lines, headers: ["x-e", "f"] }),
    requestHead({ ...parts, headers: [...headers, "x-e", "f"] }),
  );
});

test("request splitting: no CR, LF, NUL or byte above 0x7e leaves in a method, path, name or value", () => {
  for (const bad of ["\r", "\n", "\r\n", "\0", "\x7f", "\x80", "é", "\u010a", "\u560d\u560a", "\v", "\f"]) {
    for (const change of [
      { method: `GE${bad}T` },
      { path: `/a${bad}b` },
      { headers: [`x${bad}`, "b"] },
      { headers: ["x-a", `b${bad}`] },
      { headers: ["x-a", `${bad}b`] },
      { headers: ["x-a", "b", "x-b", `a${bad}Transfer-Encoding: chunked`] },
    ])
      assert.throws(() => requestHead({ ...parts, ...change }), TypeError, JSON.stringify([bad, change]));
  }
});

test("a path that is another target, a method that opens a tunnel and a name without a value are refused", () => {
  for (const path of ["", "a", "*", "http://evil.example/", "/a b", "/a HTTP/1.1", "/a#b", "/a\tb"])
    assert.throws(() => requestHead({ ...parts, path }), TypeError, path);
  for (const method of ["", "CONNECT", "GET /x", "G T", "GET\t"])
    assert.throws(() => requestHead({ ...parts, method }), TypeError, method);
  for (const name of ["", " x", "x ", "x:", "x y"])
    assert.throws(() => requestHead({ ...parts, headers: [name, "b"] }), TypeError, name);
  assert.throws(() => requestHead({ ...parts, headers: ["x-a"] }), TypeError);
});

test("nobody but the pool says where a message goes and ends: Host, lengths, codings and connection fields are refused", () => {
  for (const name of [
    "Host",
    "content-length",
    "Transfer-Encoding",
    "connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "UPGRADE",
    "expect",
  ])
    assert.throws(() => requestHead({ ...parts, headers: [name, "1"] }), TypeError, name);
});
