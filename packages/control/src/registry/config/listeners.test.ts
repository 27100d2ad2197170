// `listeners` in sallyport.yaml that answer proxies, and what operations say for them: what is read, what is refused with place and fix, and that a mistake never opens one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";

const load = (lines: readonly string[], more: Readonly<Record<string, string>> = {}) => {
  const text = `listeners:\n  edge:\n    url: https://api.acme.example\n${lines.map((line) => `    ${line}\n`).join("")}`;
  return loadEstateFrom(memoryEstateIo({ "sallyport.yaml": text, ...more }, () => Date.UTC(2026, 10, 30)));
};
const listenerOf = (loaded: ReturnType<typeof load>) => loaded.estate.environments[0]?.listeners[0];
const errorsOf = ({ findings }: ReturnType<typeof load>) =>
  findings.flatMap(({ severity, line, message }) => (severity === "error" ? [`${line}: ${message}`] : []));

test("who may ask, and how the request is told, are read as they stand", () => {
  const loaded = load(["authorizer:", "  proxy: nginx", '  trustedProxies: [10.0.3.7, "fd00:1::/64"]']);
  assert.deepEqual(errorsOf(loaded), []);
  assert.deepEqual(listenerOf(loaded), {
    name: "edge",
    serves: "gateway",
    url: "https://api.acme.example",
    region: null,
    authorizer: { proxy: "nginx", trustedProxies: ["10.0.3.7", "fd00:1::/64"] },
  });
  assert.equal(listenerOf(load([]))?.authorizer, undefined, "the nearest that serves");
});

test("services need nothing said: they prove themselves", () => {
  const loaded = load(["authorizer: { proxy: services }"]);
  assert.deepEqual(errorsOf(loaded), []);
  assert.deepEqual(listenerOf(loaded)?.authorizer, { proxy: "services", trustedProxies: [] });
});

test("Envoy over gRPC is a proxy like the others", () => {
  const loaded = load(["authorizer: { proxy: envoy-grpc, trustedProxies: [10.0.3.7] }"]);
  assert.deepEqual(errorsOf(loaded), []);
  assert.deepEqual(listenerOf(loaded)?.authorizer, { proxy: "envoy-grpc", trustedProxies: ["10.0.3.7"] });
});

const refused: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["nothing says who may ask", ["authorizer: { proxy: caddy }"], /^4: nothing says which proxies may ask/],
  ["everybody may", ['authorizer: { proxy: caddy, trustedProxies: ["0.0.0.0/0"] }'], /^4: .*everybody/],
  ["a name", ["authorizer: { proxy: caddy, trustedProxies: [edge.acme.internal] }"], /is not a network/],
  ["a proxy nobody knows", ["authorizer: { proxy: apache, trustedProxies: [10.0.0.1] }"], /not one of `nginx`/],
  [
    "a certificate with two names",
    ["authorizer: { proxy: envoy, certificate: { trust: proxies, dns: a.example, uri: spiffe://a } }"],
    /exactly one of `uri`, `dns` and `x5t`/,
  ],
  [
    "a bundle that is not there",
    ["authorizer: { proxy: envoy, certificate: { trust: proxies, dns: a.example } }"],
    /there is no bundle `proxies`/,
  ],
  [
    "a certificate that all services would share",
    ["authorizer: { proxy: services, certificate: { trust: proxies, dns: a.example } }"],
    /a service shows its own certificate/,
  ],
  [
    "a key nobody knows",
    ["authorizer: { proxy: nginx, trustedProxies: [10.0.0.1], open: true }"],
    /unknown key `open`/,
  ],
  [
    "gRPC without HTTP/2",
    ["http2: false", "authorizer: { proxy: envoy-grpc, trustedProxies: [10.0.0.1] }"],
    /^4: questions of gRPC come over HTTP\/2/,
  ],
  ["nothing below it", ["authorizer:"], /./],
];
for (const [what, lines, said] of refused)
  test(`refused: ${what}; and what is left of the listener serves nobody and answers nobody`, () => {
    const loaded = load(lines);
    assert.match(errorsOf(loaded).join("\n"), said);
    assert.equal(errorsOf(loaded).length, 1, errorsOf(loaded).join("\n"));
    const { authorizer } = listenerOf(loaded) ?? {};
    assert.ok(authorizer !== undefined, "it did not turn into one that serves");
    assert.deepEqual(authorizer.trustedProxies, []);
    assert.ok(loaded.estate.environments[0]?.broken.some(({ object }) => object === "listener/edge"));
  });

test("behind balancers: who may open a connection and say where it came from", () => {
  const loaded = load(["proxyProtocol:", '  trustedProxies: [10.0.3.7, "fd00:1::/64"]']);
  assert.deepEqual(errorsOf(loaded), []);
  assert.deepEqual(listenerOf(loaded)?.proxyProtocol, { trustedProxies: ["10.0.3.7", "fd00:1::/64"] });
  assert.equal(listenerOf(load([]))?.proxyProtocol, undefined, "the nearest that anybody reaches");
});

const refusedBehind: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["nobody", ["proxyProtocol: { trustedProxies: [] }"], /^4: /],
  ["everybody", ['proxyProtocol: { trustedProxies: ["::/0"] }'], /everybody/],
  ["a name", ["proxyProtocol: { trustedProxies: [edge.acme.internal] }"], /is not a network/],
  ["a version as a word", ["proxyProtocol: v2"], /^4: /],
  ["a key nobody knows", ["proxyProtocol: { trustedProxies: [10.0.0.1], optional: true }"], /unknown key `optional`/],
];
for (const [what, lines, said] of refusedBehind)
  test(`refused of balancers: ${what}; and what is left of the listener takes no connection`, () => {
    const loaded = load(lines);
    assert.match(errorsOf(loaded).join("\n"), said);
    assert.deepEqual(listenerOf(loaded)?.proxyProtocol, { trustedProxies: [] });
  });

test("proxies that ask are behind no balancer: each would be the other's word", () => {
  const both = [
    "authorizer: { proxy: nginx, trustedProxies: [10.0.0.1] }",
    "proxyProtocol: { trustedProxies: [10.0.0.2] }",
  ];
  const loaded = load(both);
  assert.match(errorsOf(loaded).join("\n"), /^5: proxies that ask speak HTTP/);
  assert.deepEqual(listenerOf(loaded)?.authorizer?.trustedProxies, []);
});

const system = (operation: readonly string[]) => ({
  "systems/billing.yaml": `system: billing\nurl: http://billing.internal\noperations:\n${operation.map((line) => `  ${line}\n`).join("")}`,
});

test("a body may pass unseen only where there is one and no schema is said of it", () => {
  const allowed = load([], system(["note.create:", "  match: POST /notes", "  unseenBody: allow"]));
  assert.deepEqual(errorsOf(allowed), []);
  assert.equal(allowed.estate.environments[0]?.systems[0]?.operations[0]?.unseenBody, true);
  const none = load([], system(["note.read:", "  match: GET /notes", "  unseenBody: allow"]));
  assert.deepEqual(errorsOf(none), ["6: the operation takes no body"]);
  const checked = load(
    [],
    system([
      "note.create:",
      "  match: POST /notes",
      "  unseenBody: allow",
      "  body: { contentType: application/json, schema: { type: object } }",
    ]),
  );
  assert.deepEqual(errorsOf(checked), ["6: the operation checks its body against a schema"]);
});
