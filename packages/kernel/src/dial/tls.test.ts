import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { spkiHash } from "../x509/certificate.ts";
import { createLocalCa, issueLeaf } from "../x509/issue.ts";
import { DialFault, toDialFault } from "./dial-fault.ts";
import { createDialer } from "./dialer.ts";
import { dialOrigin, openSocket } from "./guarded-connector.ts";
import type { DialTls } from "./port.ts";
import { ask } from "./testing/ask-upstream.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const clock = { monotonic: () => performance.now() };
const nowMs = Date.now();
const life = { notBeforeMs: nowMs, notAfterMs: nowMs + 86_400_000 };
const caOf = (environment: string) => createLocalCa({ tenant: "main", environment, random, ...life });
const ca = caOf("production");
const stranger = caOf("stranger");

function identity(issuer: typeof ca, usage: "client" | "server", names: Parameters<typeof issueLeaf>[0]["names"]) {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = pair.publicKey.export({ format: "der", type: "spki" });
  const leaf = issueLeaf({ ca: issuer, publicKeySpki: spki, names, usage, random, ...life });
  return {
    cert: leaf.pem,
    key: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    pin: spkiHash(spki),
  };
}

const billing = identity(ca, "server", { dns: ["billing.internal"] });
const client = identity(ca, "client", { uri: "sallyport://main/production/eu/gateway-1" });
const seen: { servername: string | false | null; host: string | undefined; peer: string | undefined }[] = [];
const server = createServer(
  { cert: billing.cert, key: billing.key, ca: ca.certificatePem, requestCert: true, rejectUnauthorized: false },
  (request, response) => {
    const socket = request.socket as TLSSocket; // an https server hands out nothing else
    seen.push({
      servername: (socket as TLSSocket & { servername: string | false }).servername,
      host: request.headers.host,
      peer: socket.getPeerX509Certificate()?.subjectAltName,
    });
    response.end("ok");
  },
);
let port = 0;
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

const resolver = { resolve: async () => ["127.0.0.1"] };

async function call(host: string, tls: DialTls): Promise<string> {
  const rules = { allowPrivateHosts: new Set([host]), ownAddresses: new Set<string>() };
  const pool = createDialer({ resolver, clock }).pool(`https://${host}:${port}`, {
    rules,
    tls,
    connectionsMax: 1,
    connectTimeoutMs: 20_000,
  });
  try {
    const { body } = await pool.request({ path: "/", method: "GET" });
    return await body.text();
  } catch (error) {
    return toDialFault(error).code;
  } finally {
    await pool.destroy();
  }
}

test("the name goes into SNI and Host and is checked, while the socket goes to the judged address", async () => {
  seen.length = 0;
  assert.equal(await call("billing.internal", { ca: ca.certificatePem }), "ok");
  assert.deepEqual(seen, [{ servername: "billing.internal", host: `billing.internal:${port}`, peer: undefined }]);
});

test("another name, an unknown CA and the public roots alone are untrusted, and no request is sent", async () => {
  seen.length = 0;
  assert.equal(await call("orders.internal", { ca: ca.certificatePem }), "tls-untrusted");
  assert.equal(await call("billing.internal", { ca: stranger.certificatePem }), "tls-untrusted");
  assert.equal(await call("billing.internal", {}), "tls-untrusted");
  assert.deepEqual(seen, []);
});

test("a client certificate is presented where one is given", async () => {
  seen.length = 0;
  assert.equal(await call("billing.internal", { ca: ca.certificatePem, cert: client.cert, key: client.key }), "ok");
  assert.equal(seen[0]?.peer, "URI:sallyport://main/production/eu/gateway-1");
});

test("a pin must match as well as the chain; pinOnly takes exactly the pinned key and nothing else", async () => {
  seen.length = 0;
  const wrong = client.pin;
  assert.equal(await call("billing.internal", { ca: ca.certificatePem, pins: [wrong, billing.pin] }), "ok");
  assert.equal(await call("billing.internal", { ca: ca.certificatePem, pins: [wrong] }), "pin-mismatch");
  assert.equal(await call("billing.internal", { ca: stranger.certificatePem, pins: [billing.pin] }), "tls-untrusted");
  assert.equal(await call("control.internal", { pins: [billing.pin], pinOnly: true }), "ok");
  assert.equal(await call("control.internal", { pins: [wrong], pinOnly: true }), "pin-mismatch");
  assert.equal(seen.length, 2);
});

test("pinOnly without pins, half a client certificate and malformed pins are bugs of the caller", () => {
  const dialer = createDialer({ resolver, clock });
  const rules = { allowPrivateHosts: new Set<string>(), ownAddresses: new Set<string>() };
  const make = (tls: DialTls) => () =>
    dialer.pool("https://a.example", { rules, tls, connectionsMax: 1, connectTimeoutMs: 20_000 });
  for (const tls of [
    { pinOnly: true },
    { pinOnly: true, pins: [] },
    { pins: [] },
    { cert: "x" },
    { pins: ["short"] },
  ]) {
    assert.throws(make(tls), TypeError);
  }
});

test("our own client is held to the same proofs, and keeps a proven connection", async () => {
  const upstreamOf = (host: string, tls: DialTls) =>
    createDialer({ resolver, clock }).upstream(`https://${host}:${port}`, {
      rules: { allowPrivateHosts: new Set([host]), ownAddresses: new Set<string>() },
      tls,
      connectionsMax: 1,
      connectTimeoutMs: 20_000,
    });
  const own = { cert: client.cert, key: client.key };
  const cases: readonly [string, DialTls, string][] = [
    ["billing.internal", { ca: ca.certificatePem, ...own }, "ok"],
    ["billing.internal", { pins: [billing.pin], pinOnly: true }, "ok"],
    ["orders.internal", { ca: ca.certificatePem }, "tls-untrusted"],
    ["billing.internal", {}, "tls-untrusted"],
    ["billing.internal", { ca: stranger.certificatePem }, "tls-untrusted"],
    ["billing.internal", { ca: ca.certificatePem, pins: [client.pin] }, "pin-mismatch"],
  ];
  for (const [host, tls, expected] of cases) {
    seen.length = 0;
    const pool = upstreamOf(host, tls);
    for (let i = 0; i < 2; i++) {
      const { content, fault } = await ask(pool);
      assert.equal(fault?.split(":")[0] ?? content, expected);
    }
    assert.deepEqual(
      seen.map(({ host: named }) => named),
      expected === "ok" ? [`${host}:${port}`, `${host}:${port}`] : [],
    );
    if (tls.cert !== undefined) assert.equal(seen[0]?.peer, "URI:sallyport://main/production/eu/gateway-1");
    assert.equal(pool.counts().open, expected === "ok" ? 1 : 0);
    await pool.destroy();
  }
});

test("TLS options on a plain http origin are refused, not ignored", async () => {
  const rules = { allowPrivateHosts: new Set(["billing.internal"]), ownAddresses: new Set<string>() };
  const pool = createDialer({ resolver, clock }).pool(`http://billing.internal:${port}`, {
    rules,
    tls: { pins: [billing.pin] },
    connectionsMax: 1,
    connectTimeoutMs: 20_000,
  });
  await assert.rejects(pool.request({ path: "/", method: "GET" }), { code: "address-refused" });
  await pool.destroy();
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0, set after the start, switches nothing off", async () => {
  const kept = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    assert.equal(await call("billing.internal", {}), "tls-untrusted");
    assert.equal(await call("orders.internal", { ca: ca.certificatePem }), "tls-untrusted");
  } finally {
    if (kept === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = kept;
  }
});

test("a server that never answers the handshake is a timeout", async () => {
  const silent = createTcpServer(() => undefined);
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const origin = { secure: true, host: "slow.internal", port: (silent.address() as AddressInfo).port };
  const rules = { allowPrivateHosts: new Set(["slow.internal"]), ownAddresses: new Set<string>() };
  await assert.rejects(
    dialOrigin({ origin, rules, tls: {}, connectTimeoutMs: 50, resolver, clock, openSocket }),
    (fault) => fault instanceof DialFault && fault.problem === "upstream-timeout",
  );
  silent.close();
});

test("a process that stood still for longer than a connection may take finds the one that was made meanwhile", async (t) => {
  const listening = createTcpServer();
  t.after(() => listening.close());
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const origin = { secure: false, host: "billing.internal", port: (listening.address() as AddressInfo).port };
  // Behind this turn timers come first, then what has arrived.
  await new Promise(setImmediate);
  const timeoutMs = 300;
  const opening = openSocket({ origin, address: "127.0.0.1", tls: {}, timeoutMs });
  for (const from = performance.now(); performance.now() - from < 2 * timeoutMs; );
  const socket = await opening;
  assert.equal(socket.remotePort, origin.port);
  socket.destroy();
});

interface LimboCase {
  readonly id: string;
  readonly validation_kind: string;
  readonly expected_result: string;
  readonly validation_time: string | null;
  readonly features: readonly string[];
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly peer_certificate_key: string | null;
  readonly expected_peer_name: { readonly kind: string; readonly value: string } | null;
}
const shared = process.env["SALLYPORT_VECTORS"] ?? new URL("../../../../../shared/vectors", import.meta.url).pathname;
const limbo = join(shared, "x509-limbo", "limbo.json");
// Names and usages must never pass; the rest of the suite's strict profile (serials, key ids) is OpenSSL's to judge.
const judgedHere = /^(webpki::(san|cn|eku)|rfc5280::(nc|pc|san|eku|validity|root-)|pathlen|pathological)/;

test("x509-limbo server cases over real handshakes: no false accept of a name, usage, path length or name constraint beyond the listed ones", {
  skip: !existsSync(limbo) && `${limbo} is absent`,
}, async () => {
  const all: readonly LimboCase[] = JSON.parse(readFileSync(limbo, "utf8")).testcases;
  const cases = all.filter(
    (c) =>
      c.validation_kind === "SERVER" &&
      c.peer_certificate_key !== null &&
      c.validation_time === null &&
      judgedHere.test(c.id) &&
      c.expected_peer_name?.kind === "DNS" &&
      !c.features.includes("has-crl"),
  );
  const accepted: string[] = [];
  let refused = 0;
  for (const limboCase of cases) {
    const reached = await limboHandshake(limboCase);
    if (limboCase.expected_result === "FAILURE" && reached) accepted.push(limboCase.id);
    if (!reached) refused += 1;
  }
  assert.ok(cases.length > 50 && refused > 40, `${cases.length} cases, ${refused} refused`);
  assert.deepEqual(accepted.sort(), knownAccepts);
});

/** What OpenSSL accepts although the suite's strict profile does not; each is listed so that a change is noticed. */
const knownAccepts: readonly string[] = [
  // The common name must repeat a SAN in that profile; we never read it.
  "webpki::cn::case-mismatch",
  "webpki::cn::not-in-san",
  "webpki::cn::punycode-not-in-san",
  "webpki::cn::utf8-vs-punycode-mismatch",
  // A parameter of the validator that TLS does not have.
  "pathlen::max-chain-depth-0-exhausted",
  "pathlen::max-chain-depth-1-exhausted",
  // Criticality and presence of extensions whose meaning is honoured either way; roots are trusted because they were named.
  "rfc5280::nc::not-allowed-in-ee-critical",
  "rfc5280::nc::not-allowed-in-ee-noncritical",
  "rfc5280::nc::permitted-dns-match-noncritical",
  "rfc5280::pc::ica-noncritical-pc",
  "rfc5280::root-missing-basic-constraints",
  "rfc5280::root-non-critical-basic-constraints",
  "rfc5280::san::noncritical-with-empty-subject",
  "webpki::eku::ee-critical-eku",
  "webpki::eku::root-has-eku",
  "webpki::san::san-critical-with-nonempty-subject",
  // Internal CAs often issue servers without usages, or with any; a usage that is there and excludes servers is refused.
  "webpki::eku::ee-anyeku",
  "webpki::eku::ee-without-eku",
  // Forms of DNS names that the matching name does not depend on; no list of public suffixes is kept.
  "rfc5280::san::underscore-dns",
  "webpki::san::public-suffix-multi-label-wildcard-san",
  "webpki::san::public-suffix-private-namespace-wildcard-san",
  // OpenSSL's name constraints: a wildcard or malformed SAN beside a constraint. A constrained CA must not issue wildcards.
  "rfc5280::nc::invalid-dnsname-leading-period",
  "rfc5280::nc::nc-forbids-dnsname-wildcard-san",
  "rfc5280::nc::nc-permits-invalid-dns-san",
].sort();

async function limboHandshake(limboCase: LimboCase): Promise<boolean> {
  const peer = createTlsServer({
    cert: [limboCase.peer_certificate, ...limboCase.untrusted_intermediates].join(""),
    key: limboCase.peer_certificate_key ?? "",
  });
  peer.on("tlsClientError", () => undefined);
  peer.on("secureConnection", (socket) => socket.on("error", () => undefined));
  peer.listen(0, "127.0.0.1");
  await once(peer, "listening");
  const host = limboCase.expected_peer_name?.value ?? "";
  const origin = { secure: true, host, port: (peer.address() as AddressInfo).port };
  const rules = { allowPrivateHosts: new Set([host]), ownAddresses: new Set<string>() };
  const tls = { ca: limboCase.trusted_certs.join("") };
  try {
    const socket = await dialOrigin({ origin, rules, tls, connectTimeoutMs: 5000, resolver, clock, openSocket });
    socket.destroy();
    return true;
  } catch (fault) {
    assert.ok(fault instanceof DialFault && fault.code === "tls-untrusted", `${limboCase.id}: ${fault}`);
    return false;
  } finally {
    peer.close();
  }
}
