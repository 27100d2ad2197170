// What worker threads count together, under threads that ask as fast as they can: docs/workers.md.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { defaultAdmissionLimits } from "../admit/admission.ts";
import { defaultDoorLimits } from "../listen/bounds.ts";
import { type CountingOrder, type CountingReport, sumSteps } from "./counting-thread.test-support.ts";
import {
  allocateNodeMemory,
  memoryKey,
  openSharedAdmission,
  openSharedDoor,
  openSharedSessions,
} from "./node-memory.ts";
import { SharedInFlight } from "./shared-in-flight.ts";
import { allocateSharedTable, SharedTable } from "./shared-table.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const clock = { ms: 5_000, now: () => 0, monotonic: () => clock.ms };
const memoryOf = (more: Partial<Parameters<typeof allocateNodeMemory>[0]> = {}) =>
  allocateNodeMemory({
    random,
    clock,
    tables: undefined,
    admission: undefined,
    door: undefined,
    knowsPlaces: true,
    ...more,
  });

test("attack: of each name exactly its burst is given out over three threads, in a table whose slots change hands all the time", async () => {
  const memory = memoryOf({ tables: { rateSlots: 16_384, replaySlots: 1_024, signatureSlots: 1_024 } });
  const order: CountingOrder = { memory, names: 4_000, asks: 3, burst: 2 };
  const entry = new URL("./counting-thread.test-support.ts", import.meta.url);
  const reports = await Promise.all(
    Array.from({ length: 3 }, async () => {
      // The thread posts nothing else.
      const [report] = (await once(new Worker(entry, { workerData: order }), "message")) as [CountingReport];
      return report;
    }),
  );
  const sums = Array.from({ length: order.names }, (_, name) =>
    reports.reduce((sum, { permits }) => sum + (permits[name] ?? 0), 0),
  );
  assert.deepEqual(new Set(sums), new Set([order.burst]));
  const table = new SharedTable(memory.sources, memoryKey(memory, "sums"));
  assert.equal(
    table.known("sum", ({ words, at }) => words[at]),
    3 * sumSteps,
  );
  assert.equal(
    reports.reduce((sum, { doubled }) => sum + doubled, 0),
    0,
  );
});

test("a source is bounded over two openers of the memory, and one that leaves makes room", () => {
  const memory = memoryOf();
  const limits = { ...defaultAdmissionLimits, inFlightMax: 3, inFlightPerPrefixMax: 2, requestsPerPrefixMax: 100 };
  const [one, two] = [openSharedAdmission(memory, limits, clock), openSharedAdmission(memory, limits, clock)];
  assert.equal(one.enter("a"), null);
  assert.equal(two.enter("a"), null);
  assert.equal(one.enter("a")?.code, "too-many-from-source");
  assert.equal(two.enter("b"), null);
  assert.equal(one.enter("c")?.code, "overloaded");
  assert.equal(one.inFlight, 3);
  two.leave("a");
  assert.equal(one.enter("a"), null);
});

test("attack: bad credentials at one worker turn their source away at the other, for the pause and no longer", () => {
  const memory = memoryOf();
  const limits = { ...defaultAdmissionLimits, badCredentialsPerPrefixMax: 3, badCredentialsPauseMs: 1_000 };
  const [one, two] = [openSharedAdmission(memory, limits, clock), openSharedAdmission(memory, limits, clock)];
  for (const door of [one, two, one]) door.countBadCredential("a");
  assert.equal(two.enter("a")?.code, "too-many-from-source");
  assert.equal(two.enter("b"), null);
  clock.ms += 1_001;
  assert.equal(two.enter("a"), null);
});

test("attack: what is worth many bad credentials is worth as many at every worker", () => {
  const memory = memoryOf();
  const limits = { ...defaultAdmissionLimits, badCredentialsPerPrefixMax: 60 };
  const [one, two] = [openSharedAdmission(memory, limits, clock), openSharedAdmission(memory, limits, clock)];
  one.countBadCredential("a", 30);
  assert.equal(two.enter("a"), null);
  two.countBadCredential("a", 30);
  assert.equal(one.enter("a")?.code, "too-many-from-source");
});

test("attack: a session that is in two places at once is seen, also where each place came to a worker of its own", () => {
  const memory = memoryOf();
  const [one, two] = [openSharedSessions(memory), openSharedSessions(memory)];
  assert.ok(one !== undefined && two !== undefined);
  const berlin = { country: "DE", point: { latitude: 52.5, longitude: 13.4, radiusKm: 10 } };
  const sydney = { country: "AU", point: { latitude: -33.9, longitude: 151.2, radiusKm: 10 } };
  assert.deepEqual(one.see("s", berlin, 1_000), { countryChanged: false, impossibleTravel: false });
  assert.deepEqual(two.see("s", sydney, 2_000), { countryChanged: true, impossibleTravel: true });
  assert.deepEqual(one.see("s", null, 3_000), { countryChanged: false, impossibleTravel: true }, "and stays so");
  assert.deepEqual(one.see("t", null, 3_000), { countryChanged: false, impossibleTravel: false });
  assert.deepEqual(two.see("t", { country: "ZZ", point: null }, 3_000), {
    countryChanged: false,
    impossibleTravel: false,
  });
  assert.deepEqual(
    one.see("t", sydney, 3_000),
    { countryChanged: true, impossibleTravel: false },
    "no points, no speed",
  );
});

test("connections and handshakes of a source are counted over both, and an end is counted once", () => {
  const memory = memoryOf();
  const limits = { ...defaultDoorLimits, connectionsPerPrefixMax: 2, handshakesMax: 1 };
  const [one, two] = [openSharedDoor(memory, limits, clock), openSharedDoor(memory, limits, clock)];
  const source = { address: "192.0.2.1", prefix: "192.0.2.0/24", addressClass: "public-v4" } as const;
  const first = one.enter(source, true);
  assert.ok(typeof first === "object");
  assert.equal(two.enter(source, true), "handshakes");
  first.secured();
  first.secured();
  const second = two.enter(source, true);
  assert.ok(typeof second === "object");
  assert.equal(one.enter(source, false), "source-connections");
  first.left();
  first.left();
  assert.ok(typeof one.enter(source, false) === "object");
  assert.equal(two.enter(source, false), "source-connections");
});

test("a table that is full of what is under way lets nothing more in, and forgets nothing of it", () => {
  const table = new SharedTable(allocateSharedTable({ slots: 4, width: 1 }), random.bytes(32));
  const places = new SharedInFlight(table);
  const held = ["a", "b", "c", "d"].map((name) => places.take(name, 9));
  assert.ok(held.every((place) => place !== null));
  assert.equal(places.take("e", 9), null);
  held[1]?.giveBack();
  assert.notEqual(places.take("e", 9), null);
  assert.deepEqual(
    ["a", "c", "d", "e"].map((name) => places.countOf(name)),
    [1, 1, 1, 1],
  );
});
