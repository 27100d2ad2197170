// Retention and legal holds over a real control store and real archive stores, with clocks that are moved by years.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { archiveLog } from "@sallyport/kernel/archive/archive-log.ts";
import { checkpointName, keyName, listSegmentsFrom } from "@sallyport/kernel/archive/archived-log.ts";
import { openFake } from "@sallyport/kernel/archive/contract/for-each-archive.test-support.ts";
import { startFakeS3 } from "@sallyport/kernel/archive/contract/s3-fake.test-support.ts";
import { openDirectoryArchive } from "@sallyport/kernel/archive/directory.ts";
import { ArchiveFault } from "@sallyport/kernel/archive/fault.ts";
import { fetchLog } from "@sallyport/kernel/archive/fetch-log.ts";
import { readLogSources } from "@sallyport/kernel/archive/log-source.ts";
import type { ArchiveStore } from "@sallyport/kernel/archive/port.ts";
import { completeCopy } from "@sallyport/kernel/log/closed-copy.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import { yearOfOrigin } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { ControlCommands } from "../../commands.ts";
import { decideHeld, type HoldScope, type LegalHold, placeOfOrigin, retainedUntil } from "./decide-hold.ts";
import { sweep } from "./sweep.ts";

const commands = new URL("../../commands.ts", import.meta.url);
const disk = realDisk();
const tenant = "main";
const actor = "operator:ada";
const folders: string[] = [];
const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-sweep-"));
  folders.push(folder);
  return folder;
}

/** A log of the years 2026 and 2027, with an intent that is open at the turn. */
function twoYears(): string {
  const directory = newFolder();
  const clock = { now: Date.UTC(2026, 10, 30) };
  const identity = {
    tenant,
    environment: "production",
    region: "eu",
    node: "gw-1",
    role: "gateway",
    version: "0.1.0",
  } as const;
  const log = Log.open({ disk, directory, identity, now: () => clock.now, lowSpaceBytes: 0, reserveBytes: 0 });
  const crossings = (from: number) =>
    Array.from({ length: 20 }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i) }));
  log.append([...crossings(0), { leaf: sampleLeaf("intent", 500) }]);
  clock.now = Date.UTC(2027, 2, 1);
  log.append([{ leaf: sampleLeaf("outcome", 500) }, ...crossings(100)]);
  log.close();
  return directory;
}

async function archived(archive: ArchiveStore, directory: string): Promise<readonly string[]> {
  const { sources } = readLogSources(disk, directory);
  for (const source of sources) {
    const retainUntil = retainedUntil(yearOfOrigin(source.origin), 7);
    await archiveLog({ store: archive, disk, source, keeping: { retainUntil, held: false } });
  }
  return sources.map(({ origin }) => origin);
}

const hold = (id: string, scope: Partial<HoldScope> = {}) => ({
  ...{ tenant, id, owner: "legal", reason: "case 4711", actor },
  ...{ origin: null, environment: null, fromYear: null, toYear: null, ...scope },
});

forEachDialect((dialect, open) => {
  /** A control store, an archive in a bucket with Object Lock (postgres) or a directory (sqlite), and one clock for all. */
  async function setup() {
    const clock = { at: Date.UTC(2027, 5, 1), now: () => clock.at, monotonic: () => 0 };
    const store = await open<ControlCommands>({ commands, clock });
    const fake = await startFakeS3({ objectLock: true, now: clock.at });
    closers.push(() => fake.close());
    const archive =
      dialect === "sqlite"
        ? await openDirectoryArchive({ directory: newFolder(), clock })
        : await openFake(fake, "compliance");
    closers.push(() => archive.close());
    const directory = twoYears();
    const [first = "", second = ""] = await archived(archive, directory);
    const faults: unknown[] = [];
    const options = {
      tenant,
      store,
      archive,
      retentionYears: 7,
      clock,
      fault: (error: unknown) => void faults.push(error),
    };
    const at = (now: number) => {
      clock.at = now;
      fake.now = now;
    };
    return {
      store,
      archive,
      directory,
      first,
      second,
      faults,
      at,
      sweep: (more = {}) => sweep({ ...options, ...more }),
    };
  }
  const actions = async ({ store }: Awaited<ReturnType<typeof setup>>) =>
    (await store.run("claimOutbox", { node: "n", limit: 100, leaseMs: 1_000 })).rows.map(
      ({ action, object, facts }) => ({ action, object, facts }),
    );

  test("nothing goes before its time; then the oldest year goes, recorded first, and its checkpoint and key stay", async () => {
    const has = await setup();
    const { archive, first, second } = has;
    has.at(Date.UTC(2033, 11, 31, 23, 59, 59));
    assert.deepEqual(
      (await has.sweep()).map(({ origin }) => origin),
      [first, second],
    );
    assert.deepEqual(await actions(has), []);
    has.at(Date.UTC(2034, 0, 1, 0, 0, 1));
    assert.deepEqual(
      (await has.sweep()).map(({ origin }) => origin),
      [second],
    );
    assert.deepEqual(await listSegmentsFrom(archive, first, { from: 0 }), []);
    assert.ok((await archive.get(checkpointName(first))) !== null && (await archive.get(keyName(first))) !== null);
    assert.ok((await listSegmentsFrom(archive, second, { from: 0 })).length > 0);
    const [{ action, object, facts } = assert.fail()] = await actions(has);
    assert.deepEqual(
      [action, object, facts],
      [
        "log.remove",
        `log/${first.replaceAll("/", ":")}`,
        { origin: first, leaves: 23, retainedUntil: Date.UTC(2034, 0, 1) },
      ],
    );
    const [removal] = await has.store.run("listRemovals", null);
    assert.deepEqual(
      [removal?.origin, removal?.leaves, removal?.finishedAt],
      [first, 23, Date.UTC(2034, 0, 1, 0, 0, 1)],
    );
    // Once: the next sweep finds nothing to do, and archiving again brings nothing back.
    await has.sweep();
    await archived(archive, has.directory);
    assert.equal((await actions(has)).length, 1);
    assert.deepEqual(await listSegmentsFrom(archive, first, { from: 0 }), []);
    assert.deepEqual(has.faults, []);
  });

  test("the years that stay still verify, and say which year is gone", async () => {
    const has = await setup();
    const verifierKey = readLogSources(disk, has.directory).sources.at(-1)?.verifierKey ?? assert.fail();
    const [oldest] = readLogSources(disk, has.directory).sources;
    has.at(Date.UTC(2034, 0, 2));
    await has.sweep();
    const fetched = newFolder();
    await fetchLog({ store: has.archive, disk }, has.second, fetched);
    completeCopy(disk, fetched);
    const report = verifyLogDirectory(fetched, { verifierKey, olderCheckpoints: [oldest?.note ?? ""] });
    assert.deepEqual(report.problems, []);
    assert.deepEqual(
      report.origins.map(({ removed = false, size }) => [removed, size]),
      [
        [true, 23],
        [false, 22],
      ],
    );
    // Attack: the year that stayed is taken too, with the excuse of the one that went.
    rmSync(join(fetched, "2027", "wal"), { recursive: true });
    writeFileSync(join(fetched, "2027", "removed"), "{}\n");
    const [taken] = verifyLogDirectory(fetched, { verifierKey }).problems;
    assert.match(taken?.message ?? "", /the newest year/);
    // Attack: a year in the middle is taken.
    const middle = newFolder();
    await fetchLog({ store: has.archive, disk }, has.second, middle);
    const { cpSync } = await import("node:fs");
    cpSync(has.directory, middle, { recursive: true });
    rmSync(join(middle, "2026", "removed"));
    rmSync(join(middle, "2027", "wal"), { recursive: true });
    writeFileSync(join(middle, "2027", "removed"), "{}\n");
    const [problem] = verifyLogDirectory(middle, { verifierKey }).problems;
    assert.equal(problem?.kind, "chain");
    assert.match(problem?.message ?? "", /oldest first/);
  });

  test("attack: what a hold covers is not removed by retention, nor by anybody with the store, until it is released", async () => {
    const has = await setup();
    const { archive, first } = has;
    assert.equal(
      (await has.store.run("placeHold", hold("acme-v-us", { environment: "production", toYear: 2026 }))).kind,
      "done",
    );
    has.at(Date.UTC(2034, 0, 2));
    const [kept] = await has.sweep();
    assert.deepEqual([kept?.origin, kept?.heldBy], [first, "acme-v-us"]);
    // The store was told: its own refusal is the second wall.
    const [segment] = await listSegmentsFrom(archive, first, { from: 0 });
    await assert.rejects(
      archive.remove(segment?.name ?? ""),
      (error: unknown) => error instanceof ArchiveFault && error.code === "archive-held",
    );
    assert.equal(
      (await has.store.run("beginRemoval", { tenant, origin: first, leaves: 1, retainedUntil: 0 })).kind,
      "held",
    );
    const released = await has.store.run("releaseHold", { tenant, id: "acme-v-us", reason: "settled", actor });
    assert.equal(released.kind, "done");
    await has.sweep();
    assert.deepEqual(await listSegmentsFrom(archive, first, { from: 0 }), []);
    assert.deepEqual(
      (await actions(has)).map(({ action }) => action),
      ["hold.place", "hold.release", "log.remove"],
    );
    assert.deepEqual(has.faults, []);
  });

  test("attack: a control store put back to before a hold lifts none: the store goes on refusing", async () => {
    const has = await setup();
    const { archive, first } = has;
    await has.store.run("placeHold", hold("acme-v-us"));
    await has.sweep();
    const restored = await open<ControlCommands>({
      commands,
      clock: { now: () => Date.UTC(2034, 0, 2), monotonic: () => 0 },
    });
    has.at(Date.UTC(2034, 0, 2));
    const kept = await has.sweep({ store: restored });
    assert.deepEqual(
      kept.map(({ origin, heldBy }) => [origin, heldBy]),
      [
        [first, null],
        [has.second, null],
      ],
    );
    const [segment] = await listSegmentsFrom(archive, first, { from: 0 });
    assert.equal((await archive.stat(segment?.name ?? ""))?.held, true);
    assert.match(String(has.faults[0]), /legal hold/);
    // Refused, it has taken nothing: the log still comes back whole.
    const fetched = newFolder();
    const { trees } = await fetchLog({ store: archive, disk }, first, fetched);
    assert.ok((trees[0]?.segments ?? 0) > 0);
    // Placed again by hand, it can be released.
    await restored.run("placeHold", hold("acme-again"));
    await has.sweep({ store: restored });
    await restored.run("releaseHold", { tenant, id: "acme-again", reason: "settled", actor });
    await has.sweep({ store: restored });
    assert.deepEqual(await listSegmentsFrom(archive, first, { from: 0 }), []);
  });

  test("a hold that is placed while a log is being removed stops the rest, and that is said", async () => {
    const has = await setup();
    has.at(Date.UTC(2034, 0, 2));
    const archive: ArchiveStore = {
      ...has.archive,
      remove: async (name) => {
        await has.store.run("placeHold", hold("late"));
        return has.archive.remove(name);
      },
    };
    const [kept] = await has.sweep({ archive });
    assert.equal(kept?.origin, has.first);
    assert.match(String(has.faults[0]), /a hold was placed while/);
    assert.equal((await has.store.run("listRemovals", null))[0]?.finishedAt, null);
  });

  test("a longer retention is told to what is there already; a shorter one takes nothing back", async () => {
    const has = await setup();
    const name = async () => (await listSegmentsFrom(has.archive, has.first, { from: 0 }))[0]?.name ?? "";
    await has.sweep({ retentionYears: 10 });
    assert.equal((await has.archive.stat(await name()))?.retainUntil, Date.UTC(2037, 0, 1));
    await has.sweep({ retentionYears: 7 });
    assert.equal((await has.archive.stat(await name()))?.retainUntil, Date.UTC(2037, 0, 1));
    has.at(Date.UTC(2034, 0, 2));
    const [kept] = await has.sweep({ retentionYears: 7 });
    assert.equal(kept?.origin, has.first);
    assert.match(String(has.faults[0]), /retained until 2037/);
  });

  test("a hold has one name for ever, and who placed and released it stays on record", async () => {
    const { store } = await setup();
    assert.equal((await store.run("placeHold", hold("case-1"))).kind, "done");
    assert.equal((await store.run("placeHold", hold("case-1"))).kind, "exists");
    assert.equal((await store.run("releaseHold", { tenant, id: "case-2", reason: "r", actor })).kind, "not-found");
    await store.run("releaseHold", { tenant, id: "case-1", reason: "r", actor });
    assert.equal((await store.run("releaseHold", { tenant, id: "case-1", reason: "r", actor })).kind, "released");
    assert.equal((await store.run("placeHold", hold("case-1"))).kind, "exists");
    const [kept] = await store.run("listHolds", { tenant });
    assert.deepEqual(
      [kept?.owner, kept?.reason, kept?.actor, typeof kept?.releasedAt],
      ["legal", "case 4711", actor, "number"],
    );
  });
});

test("a hold covers what it says: one log, or an environment and years, and control's own log with each environment", () => {
  const of = (scope: Partial<HoldScope>, more: Partial<LegalHold> = {}): LegalHold => ({
    ...hold("h", scope),
    placedAt: 1,
    releasedAt: null,
    ...more,
  });
  const log = (environment: string, year: number) => `sallyport.local/main/${environment}/gw-1/gateway/${year}`;
  const covers = (one: LegalHold, origin: string) => decideHeld([one], placeOfOrigin(origin)) !== null;
  const cases: readonly (readonly [LegalHold, string, boolean])[] = [
    [of({}), log("production", 2026), true],
    [of({}, { releasedAt: 2 }), log("production", 2026), false],
    [of({}, { tenant: "other" }), log("production", 2026), false],
    [of({ origin: log("production", 2026) }), log("production", 2026), true],
    [of({ origin: log("production", 2026) }), log("production", 2027), false],
    [of({ environment: "production" }), log("production", 2026), true],
    [of({ environment: "production" }), log("staging", 2026), false],
    [of({ environment: "production" }), log("sallyport", 2026), true],
    [of({ fromYear: 2026, toYear: 2027 }), log("production", 2026), true],
    [of({ fromYear: 2026, toYear: 2027 }), log("production", 2027), true],
    [of({ fromYear: 2026, toYear: 2027 }), log("production", 2028), false],
    [of({ fromYear: 2027 }), log("production", 2026), false],
    // What has no name that can be read may hold anything.
    [of({ environment: "production", fromYear: 2026 }), "stray", true],
  ];
  for (const [one, origin, expected] of cases)
    assert.equal(covers(one, origin), expected, `${JSON.stringify(one)} ${origin}`);
});
