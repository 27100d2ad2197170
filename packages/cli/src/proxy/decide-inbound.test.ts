import assert from "node:assert/strict";
import { test } from "node:test";
import { decideInbound, hashSecret, type InboundRules, keptHeaders } from "./decide-inbound.ts";

const rules: InboundRules = {
  hosts: new Set(["127.0.0.1:9000", "localhost:9000"]),
  allowedOrigins: new Set(["https://console.example"]),
  secretHash: null,
};
const status = (
  headers: Readonly<Record<string, string>>,
  change: Partial<InboundRules & { method: string; target: string }> = {},
) => {
  const { method = "GET", target = "/billing/v1", ...more } = change;
  const given = { method, target, headers: { host: "127.0.0.1:9000", ...headers } };
  return decideInbound(given, { ...rules, ...more })?.status ?? null;
};

test("a program of this machine that calls the proxy by its name is carried", () => {
  assert.equal(status({}), null);
  assert.equal(status({ host: "LOCALHOST:9000" }), null);
  assert.equal(status({ host: "anything" }, { hosts: null }), null);
});

test("attack: a page whose name was rebound to this machine sends its own Host (DNS rebinding)", () => {
  for (const host of ["evil.example:9000", "127.0.0.1:9001", "127.0.0.1", "localhost.evil.example:9000", ""])
    assert.equal(status({ host }), 421, host);
});

test("attack: a web page fetches from the proxy", () => {
  assert.equal(status({ origin: "https://evil.example" }), 403);
  assert.equal(status({ origin: "null" }), 403);
  for (const site of ["cross-site", "same-site", "same-origin"]) assert.equal(status({ "sec-fetch-site": site }), 403);
  assert.equal(status({ "sec-fetch-site": "none" }), null);
  assert.equal(status({ origin: "https://console.example", "sec-fetch-site": "cross-site" }), null);
});

test("a request that brings its own credentials is refused, saying why", () => {
  for (const name of ["authorization", "dpop", "proxy-authorization", "sallyport-identity"])
    assert.equal(status({ [name]: "x" }), 400, name);
});

test("attack: another user of the machine without the shared secret", () => {
  const secretHash = hashSecret("correct horse battery");
  assert.equal(status({}, { secretHash }), 403);
  assert.equal(status({ "sallyport-proxy-token": "wrong" }, { secretHash }), 403);
  assert.equal(status({ "sallyport-proxy-token": "correct horse battery" }, { secretHash }), null);
});

test("attack: the proxy as a forward proxy, a tunnel or for a method that does not cross", () => {
  for (const target of [
    "http://evil.example/",
    "//evil.example/",
    "evil.example:443",
    "*",
    "/a b",
    "/a#b",
    "",
    "/\\evil.example/",
  ])
    assert.equal(status({}, { target }), 400, target);
  for (const method of ["CONNECT", "TRACE", "get"]) assert.equal(status({}, { method }), 405, method);
});

test("hop-by-hop fields, framing and the shared secret end at the proxy; everything else goes on as it came", () => {
  const raw = [
    ...["Host", "127.0.0.1:9000", "Connection", "keep-alive, X-Hop", "X-Hop", "1", "TE", "trailers"],
    ...["Content-Length", "3", "Sallyport-Proxy-Token", "s", "X-Two", "a", "x-two", "b", "Content-Type", "text/plain"],
  ];
  assert.deepEqual(keptHeaders(raw, "keep-alive, X-Hop"), ["X-Two", "a", "x-two", "b", "Content-Type", "text/plain"]);
});
