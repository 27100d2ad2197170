import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { after, before, test } from "node:test";
import { DialFault, dialProblem } from "./dial-fault.ts";
import { createDialer } from "./dialer.ts";
import type { SocketRequest } from "./guarded-connector.ts";
import { openSocket } from "./guarded-connector.ts";
import type { DialRules } from "./port.ts";
import type { Resolver } from "./resolver.ts";
import { ask } from "./testing/ask-upstream.ts";

// The canary: a real server on loopback. Whatever the URL, nobody may reach it; both counters must stay 0.
const canary = { connections: 0, requests: 0 };
const server = createServer((_request, response) => {
  canary.requests += 1;
  response.end("the canary was reached");
});
server.on("connection", () => {
  canary.connections += 1;
});
let port = 0;

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port; // a TCP listener always has one
});
after(() => server.close());

const clock = { monotonic: () => performance.now() };
const none: DialRules = { allowPrivateHosts: new Set(), ownAddresses: new Set() };

function resolverOf(answers: Readonly<Record<string, readonly (readonly string[])[]>>): Resolver & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    resolve: async (host) => {
      const script = answers[host] ?? [];
      const nth = asked.filter((name) => name === host).length;
      asked.push(host);
      return script[Math.min(nth, script.length - 1)] ?? [];
    },
  };
}

const options = { rules: none, connectionsMax: 1, connectTimeoutMs: 20_000 };

/** Over our own client. */
async function refusedUpstream(origin: string, resolver: Resolver, rules = none, open = openSocket): Promise<string> {
  const pool = createDialer({ resolver, clock, openSocket: open }).upstream(origin, { ...options, rules });
  const { fault } = await ask(pool);
  await pool.destroy();
  return fault === null ? "reached" : (fault.split(":")[0] ?? "");
}

/** Over undici, and what our own client says must be the same. */
async function refusedCode(origin: string, resolver: Resolver, rules = none, open = openSocket): Promise<string> {
  const code = await refusedByPool(origin, resolver, rules, open);
  assert.equal(await refusedUpstream(origin, resolver, rules, open), code, origin);
  return code;
}

async function refusedByPool(origin: string, resolver: Resolver, rules = none, open = openSocket): Promise<string> {
  const pool = createDialer({ resolver, clock, openSocket: open }).pool(origin, { ...options, rules });
  try {
    const { body } = await pool.request({ path: "/", method: "GET" });
    await body.dump();
    return "reached";
  } catch (error) {
    assert.ok(error instanceof DialFault, String(error));
    assert.ok(!error.publicText.includes("127"), "the public text names no address");
    return error.code;
  } finally {
    await pool.destroy();
  }
}

const hostile: readonly string[] = [
  "http://127.0.0.1:PORT",
  "http://127.1:PORT",
  "http://127.0.1:PORT",
  "http://2130706433:PORT",
  "http://0x7f000001:PORT",
  "http://0x7f.0.0.1:PORT",
  "http://0x7f.1:PORT",
  "http://017700000001:PORT",
  "http://0177.0.0.1:PORT",
  "http://①②⑦.⓪.⓪.①:PORT",
  "http://１２７.0.0.1:PORT",
  "http://127。0。0。1:PORT",
  "http://%31%32%37.0.0.1:PORT",
  "http://0:PORT",
  "http://0.0.0.0:PORT",
  "http://127.0.0.1.:PORT",
  "http://localhost:PORT",
  "http://LOCALHOST:PORT",
  "http://localhost.:PORT",
  "http://ⓛocalhost:PORT",
  "http://api.localhost:PORT",
  "http://[::1]:PORT",
  "http://[0:0:0:0:0:0:0:1]:PORT",
  "http://[::]:PORT",
  "http://[::127.0.0.1]:PORT",
  "http://[::ffff:127.0.0.1]:PORT",
  "http://[::ffff:7f00:1]:PORT",
  "http://[64:ff9b::7f00:1]:PORT",
  "http://[64:ff9b:1::7f00:1]:PORT",
  "http://[2002:7f00:1::]:PORT",
  "http://[2001:0:7f00:1::]:PORT",
  "http://[fd00:ec2::254]",
  "http://169.254.169.254",
  "http://[::ffff:169.254.169.254]",
  "http://100.100.100.200",
  "http://168.63.129.16",
  "http://good.example@127.0.0.1:PORT",
  "http://good.example:pass@127.0.0.1:PORT",
  "http://127.0.0.1:PORT@good.example",
  "http://good.example\\@127.0.0.1:PORT",
  "http://127.0.0.1:PORT#@good.example",
  "http://127.0.0.1:PORT?@good.example",
  "http://[::1%25lo]:PORT",
  "http://[fe80::1%25eth0]:PORT",
  "http:127.0.0.1:PORT",
  "http:\t//127.0.0.1:PORT",
  "https://127.0.0.1:PORT",
  "gopher://127.0.0.1:PORT",
  "unix:/run/docker.sock",
  "file:///etc/passwd",
];

test(`${hostile.length} hostile spellings of an origin reach nothing: the canary counts 0`, async () => {
  const resolver = resolverOf({ localhost: [["127.0.0.1", "::1"]], "api.localhost": [["127.0.0.1"]] });
  for (const text of hostile) {
    const origin = text.replaceAll("PORT", String(port));
    assert.equal(await refusedCode(origin, resolver), "address-refused", origin);
  }
  assert.deepEqual(canary, { connections: 0, requests: 0 });
});

test("answers that poison: mixed public and private, a private CNAME target, a mapped or NAT64 answer, metadata", async () => {
  const answers: readonly (readonly string[])[] = [
    ["93.184.216.34", "127.0.0.1"],
    ["127.0.0.1", "93.184.216.34"],
    ["2606:4700::1111", "::1"],
    ["10.0.0.5"],
    ["::ffff:127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::"],
    ["169.254.169.254"],
    ["fd00:ec2::254"],
    ["0.0.0.0"],
    ["::"],
    ["127.0.0.1\n"],
    ["canary"],
  ];
  for (const answer of answers) {
    const resolver = resolverOf({ "good.example": [answer] });
    assert.equal(await refusedCode(`http://good.example:${port}`, resolver), "address-refused", answer.join());
  }
  assert.deepEqual(canary, { connections: 0, requests: 0 });
});

test("rebinding attack: the address that is dialled is the one that was judged; a second answer is judged anew", async () => {
  const dialled: string[] = [];
  const open = async (request: SocketRequest): Promise<Socket> => {
    dialled.push(request.address);
    throw new DialFault("connect-failed", "not dialled in a test");
  };
  const resolver = resolverOf({ "rebind.example": [["93.184.216.34"], ["127.0.0.1"]] });
  const origin = `http://rebind.example:${port}`;
  const pool = createDialer({ resolver, clock, openSocket: open }).pool(origin, options);
  await assert.rejects(pool.request({ path: "/", method: "GET" }), { code: "connect-failed" });
  assert.deepEqual(resolver.asked, ["rebind.example"], "one lookup for one connection");
  await assert.rejects(pool.request({ path: "/", method: "GET" }), { code: "address-refused" });
  await pool.destroy();
  assert.deepEqual(dialled, ["93.184.216.34"]);
  const again = resolverOf({ "rebind.example": [["93.184.216.34"], ["127.0.0.1"]] });
  const upstream = createDialer({ resolver: again, clock, openSocket: open }).upstream(origin, options);
  assert.match((await ask(upstream)).fault ?? "", /^connect-failed/);
  assert.match((await ask(upstream)).fault ?? "", /^address-refused/);
  await upstream.destroy();
  assert.deepEqual([dialled, again.asked.length], [["93.184.216.34", "93.184.216.34"], 2]);
  assert.deepEqual(canary, { connections: 0, requests: 0 });
});

test("a socket that ends up at another address than the judged one is refused", async () => {
  const open = (request: SocketRequest) => openSocket({ ...request, address: "127.0.0.1" });
  const resolver = resolverOf({ "good.example": [["93.184.216.34"]] });
  const before = canary.requests;
  assert.equal(await refusedCode(`http://good.example:${port}`, resolver, none, open), "address-refused");
  assert.equal(canary.requests, before, "not one byte of a request was sent");
});

test("redirect to loopback: the answer is handed back, not followed", async () => {
  const redirecting = createServer((_request, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${port}/` });
    response.end();
  });
  redirecting.listen(0, "127.0.0.1");
  await once(redirecting, "listening");
  const { port: at } = redirecting.address() as AddressInfo;
  const before = canary.requests;
  const rules: DialRules = { allowPrivateHosts: new Set(["redirect.internal"]), ownAddresses: new Set() };
  const resolver = resolverOf({ "redirect.internal": [["127.0.0.1"]] });
  const pool = createDialer({ resolver, clock }).pool(`http://redirect.internal:${at}`, { ...options, rules });
  const { statusCode, body } = await pool.request({ path: "/", method: "GET" });
  await body.dump();
  assert.equal(statusCode, 302);
  // Nor do an absolute-form path, a Host header or another origin in the request move the pool away from its origin.
  await pool
    .request({ path: "/", method: "GET", headers: { host: `127.0.0.1:${port}` } })
    .then(({ body: b }) => b.dump());
  await pool.request({ origin: `http://127.0.0.1:${port}`, path: "/", method: "GET" }).then(({ body: b }) => b.dump());
  await pool.destroy();
  const upstream = createDialer({ resolver, clock }).upstream(`http://redirect.internal:${at}`, { ...options, rules });
  const { status, fields } = await ask(upstream);
  assert.deepEqual([status, fields.includes(`http://127.0.0.1:${port}/`)], [302, true]);
  await upstream.destroy();
  redirecting.close();
  assert.equal(canary.requests, before);
});

test("proxy variables of the environment are not read", async () => {
  const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "NODE_USE_ENV_PROXY"];
  const kept = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : `http://127.0.0.1:${port}`;
  const before = canary.connections;
  const open = async (): Promise<Socket> => {
    throw new DialFault("connect-failed", "not dialled in a test");
  };
  const resolver = resolverOf({ "good.example": [["93.184.216.34"]] });
  assert.equal(await refusedCode("http://good.example", resolver, none, open), "connect-failed");
  names.forEach((name, i) => {
    if (kept[i] === undefined) delete process.env[name];
    else process.env[name] = kept[i];
  });
  assert.equal(canary.connections, before);
});

test("allowPrivate reaches the canary under its exact host, and under no other name of the same address", async () => {
  const rules: DialRules = { allowPrivateHosts: new Set(["billing.internal"]), ownAddresses: new Set() };
  const same = [["127.0.0.1"]];
  const resolver = resolverOf({ "billing.internal": same, "x.billing.internal": same, "orders.internal": same });
  for (const host of ["x.billing.internal", "orders.internal", "127.0.0.1", "billing.internal.", "localhost"]) {
    const before = canary.requests;
    assert.notEqual(await refusedCode(`http://${host}:${port}`, resolver, rules), "reached", host);
    assert.equal(canary.requests, before);
  }
  const before = canary.requests;
  assert.equal(await refusedCode(`http://billing.internal:${port}`, resolver, rules), "reached");
  assert.equal(canary.requests, before + 2, "once over each client");
});

test("this node's own listener is refused unless its host is named", async () => {
  const resolver = resolverOf({ "gateway.example": [["127.0.0.1"]] });
  const own: DialRules = { allowPrivateHosts: new Set(), ownAddresses: new Set([`127.0.0.1:${port}`]) };
  assert.equal(await refusedCode(`http://gateway.example:${port}`, resolver, own), "address-refused");
});

test("the first reachable address of several is used, and unreachable ones say so", async () => {
  const rules: DialRules = { allowPrivateHosts: new Set(["two.internal"]), ownAddresses: new Set() };
  const two = resolverOf({ "two.internal": [["127.0.0.2", "127.0.0.1"]] });
  // Nothing listens at 127.0.0.2: the canary is bound to 127.0.0.1 alone.
  assert.equal(await refusedCode(`http://two.internal:${port}`, two, rules), "reached");
  const dead = resolverOf({ "two.internal": [["127.0.0.2", "127.0.0.3"]] });
  assert.equal(await refusedCode(`http://two.internal:${port}`, dead, rules), "connect-failed");
  assert.equal(await refusedCode("http://nowhere.example", resolverOf({})), "name-not-found");
});

test("every fault becomes one of the problem codes of stage forward", () => {
  assert.equal(dialProblem(new DialFault("address-refused", "x")), "upstream-refused-address");
  assert.equal(dialProblem(new DialFault("connect-failed", "x")), "upstream-unreachable");
  assert.equal(dialProblem(new DialFault("connect-timeout", "x")), "upstream-timeout");
  assert.equal(dialProblem(new DialFault("answer-timeout", "x")), "upstream-timeout");
  assert.equal(dialProblem(new DialFault("protocol", "x")), "upstream-protocol");
  assert.equal(dialProblem(new Error("anything else")), "upstream-unreachable");
});
