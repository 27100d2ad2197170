import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { createDialer } from "./dialer.ts";
import { createResolver, parseHosts } from "./resolver.ts";

// A small name server on loopback: what it answers is written per name and record type, so that c-ares itself is under test.
const typeA = 1;
const typeCname = 5;
const typeAaaa = 28;
interface Answer {
  readonly type: number;
  readonly ttl: number;
  /** Address as bytes, or the target's name. */
  readonly data: readonly number[] | string;
  readonly owner?: string;
}
type Zone = Readonly<
  Record<string, (type: number, nth: number) => readonly Answer[] | "servfail" | "nxdomain" | "silence">
>;
const asked: string[] = [];
let zone: Zone = {};

function printName(name: string): Buffer {
  return Buffer.concat([
    ...name.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);
}

function printAnswer(answer: Answer, owner: string): Buffer {
  const data = typeof answer.data === "string" ? printName(answer.data) : Buffer.from(answer.data);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(answer.type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(answer.ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([printName(answer.owner ?? owner), fixed, data]);
}

const server = createSocket("udp4", (query, from) => {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString());
    at += 1 + length;
  }
  const name = labels.join(".");
  const type = query.readUInt16BE(at + 1);
  const nth = asked.filter((one) => one === `${name}/${type}`).length;
  asked.push(`${name}/${type}`);
  const answers = zone[name]?.(type, nth) ?? "nxdomain";
  if (answers === "silence") return;
  const list = typeof answers === "string" ? [] : answers;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180 | (answers === "nxdomain" ? 3 : answers === "servfail" ? 2 : 0), 2);
  header.writeUInt16BE(list.length, 6);
  header.writeUInt32BE(0, 8);
  const question = query.subarray(12, at + 5);
  server.send(Buffer.concat([header, question, ...list.map((one) => printAnswer(one, name))]), from.port, from.address);
});

let nowMs = 0;
const clock = { monotonic: () => nowMs };
const newResolver = (hosts = new Map<string, readonly string[]>()) =>
  createResolver({ clock, hosts, servers: [`127.0.0.1:${server.address().port}`] });
before(async () => {
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => server.close());

const v4 = (ttl: number, ...bytes: number[]): Answer => ({ type: typeA, ttl, data: bytes });
const v6 = (ttl: number, last: number): Answer => ({
  type: typeAaaa,
  ttl,
  data: [0x26, 0x06, 0x47, ...new Array<number>(12).fill(0), last],
});
const only =
  (type: number, ...answers: Answer[]) =>
  (wanted: number) =>
    wanted === type ? answers : [];

test("all A and AAAA records of a name come back, through CNAMEs", async () => {
  zone = {
    "both.test": (type) => (type === typeA ? [v4(60, 8, 8, 8, 8), v4(60, 8, 8, 4, 4)] : [v6(60, 1)]),
    "alias.test": only(
      typeA,
      { type: typeCname, ttl: 60, data: "inner.test" },
      { ...v4(60, 10, 0, 0, 5), owner: "inner.test" },
    ),
  };
  const resolver = newResolver();
  assert.deepEqual([...(await resolver.resolve("both.test", 2000))].sort(), ["2606:4700::1", "8.8.4.4", "8.8.8.8"]);
  assert.deepEqual(await resolver.resolve("alias.test", 2000), ["10.0.0.5"]);
});

test("CNAME to a private address: the dialer refuses the alias", async () => {
  zone = {
    "alias.test": only(
      typeA,
      { type: typeCname, ttl: 60, data: "inner.test" },
      { ...v4(60, 127, 0, 0, 1), owner: "inner.test" },
    ),
  };
  const rules = { allowPrivateHosts: new Set<string>(), ownAddresses: new Set<string>() };
  const pool = createDialer({ resolver: newResolver(), clock: { monotonic: () => performance.now() } }).pool(
    "http://alias.test",
    { rules, connectionsMax: 1, connectTimeoutMs: 20_000 },
  );
  await assert.rejects(pool.request({ path: "/", method: "GET" }), { code: "address-refused" });
  await pool.destroy();
});

test("an answer is kept for its TTL and at most 30 s; TTL 0 is not kept at all", async () => {
  zone = {
    "short.test": (type, nth) => (type === typeA ? [v4(5, 8, 8, 8, nth + 1)] : []),
    "long.test": (type, nth) => (type === typeA ? [v4(86_400, 8, 8, 8, nth + 1)] : []),
    "zero.test": (type, nth) => (type === typeA ? [v4(0, 8, 8, 8, nth + 1)] : []),
  };
  const resolver = newResolver();
  const last = async (name: string) => (await resolver.resolve(name, 2000))[0]?.split(".")[3];
  assert.deepEqual([await last("short.test"), await last("long.test"), await last("zero.test")], ["1", "1", "1"]);
  nowMs += 4_999;
  assert.deepEqual([await last("short.test"), await last("long.test"), await last("zero.test")], ["1", "1", "2"]);
  nowMs += 1;
  assert.deepEqual([await last("short.test"), await last("long.test")], ["2", "1"]);
  nowMs += 25_000;
  assert.equal(await last("long.test"), "2");
});

test("no such name, failing servers and silence are three different faults, inside the deadline", async () => {
  zone = {
    "empty.test": () => [],
    "broken.test": () => "servfail",
    "silent.test": () => "silence",
    "half.test": (type) => (type === typeA ? [v4(60, 8, 8, 8, 8)] : "servfail"),
  };
  const resolver = newResolver();
  await assert.rejects(resolver.resolve("missing.test", 2000), { code: "name-not-found" });
  await assert.rejects(resolver.resolve("empty.test", 2000), { code: "name-not-found" });
  await assert.rejects(resolver.resolve("broken.test", 2000), { code: "resolve-failed" });
  // Without a deadline of its own, c-ares asks for as long as it likes; a busy machine is given time.
  const started = performance.now();
  await assert.rejects(resolver.resolve("silent.test", 200), { code: "resolve-failed" });
  assert.ok(performance.now() - started < 10_000);
  assert.deepEqual(
    await resolver.resolve("half.test", 2000),
    ["8.8.8.8"],
    "addresses that did come are used; each is judged",
  );
});

test("callers that ask at the same time share one lookup", async () => {
  zone = { "shared.test": only(typeA, v4(60, 8, 8, 8, 8)) };
  const resolver = newResolver();
  await Promise.all([1, 2, 3].map(() => resolver.resolve("shared.test", 2000)));
  assert.equal(asked.filter((one) => one === `shared.test/${typeA}`).length, 1);
});

test("the hosts file comes first and localhost is loopback, without asking any server", async () => {
  const hosts = parseHosts(
    "127.0.0.1 localhost # here\n10.0.0.9\tBilling.internal billing\n::1 localhost\nnonsense line\n10.0.0.10 billing\n",
  );
  const resolver = newResolver(new Map(hosts));
  const before = asked.length;
  assert.deepEqual(await resolver.resolve("localhost", 100), ["127.0.0.1", "::1"]);
  assert.deepEqual(await resolver.resolve("billing", 100), ["10.0.0.9", "10.0.0.10"]);
  assert.deepEqual(await resolver.resolve("billing.internal", 100), ["10.0.0.9"]);
  assert.deepEqual(await newResolver().resolve("api.localhost", 100), ["127.0.0.1", "::1"]);
  assert.equal(asked.length, before);
});
