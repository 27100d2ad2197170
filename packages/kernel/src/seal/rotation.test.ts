// New keys for everything of a tenant at once: what they are worth against whoever has those of before, and what goes on working.
import assert from "node:assert/strict";
import { test } from "node:test";
import { kekFromBytes } from "./key-file.ts";
import { type KeyStorage, openKeyring, type WrappedKey } from "./keyring.ts";
import { openFromRing, readRingEnvelope, ringId } from "./ring-envelope.ts";
import { seededRandom } from "./seeded.test-support.ts";

const clock = { now: () => Date.UTC(2026, 0, 1) };
const random = seededRandom(23);
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (plain: Uint8Array) => new TextDecoder().decode(plain);
const kek = () => kekFromBytes(seededRandom(1).bytes(32), "the test");
const place = { tenant: "main" };

interface Rows extends KeyStorage {
  readonly rows: WrappedKey[];
  insertAll(keys: readonly WrappedKey[]): Promise<boolean>;
}

function memoryRows(): Rows {
  const rows: WrappedKey[] = [];
  const isTaken = (key: WrappedKey) =>
    rows.some((r) => r.tenant === key.tenant && r.purpose === key.purpose && r.version === key.version);
  const insertAll = async (keys: readonly WrappedKey[]) => {
    if (keys.some(isTaken)) return false;
    rows.push(...keys);
    return true;
  };
  return { rows, insertAll, list: async () => [...rows], insert: (key) => insertAll([key]) };
}

/** Every unwrapped key there was, as a process of then has them in memory: by ring and version. */
function memoryOf(rows: readonly WrappedKey[]): (ring: string, version: number) => Uint8Array | undefined {
  const keys = new Map<string, Uint8Array>();
  const nameOf = (ring: string, version: number) => `${ring} ${version}`;
  kek().key.use((key) => {
    const master = kek();
    for (const { tenant, purpose, version, wrapped } of rows.filter((row) => row.purpose === "tenant")) {
      const context = { tenant, purpose: "wrap-tenant-key", version: String(version) };
      const plain = openFromRing({ ring: master.id, version: 1, key }, context, readRingEnvelope(wrapped));
      keys.set(nameOf(ringId(tenant, purpose), version), plain);
    }
  });
  const find = (ring: string, version: number) => keys.get(nameOf(ring, version));
  for (const { tenant, purpose, version, wrapped } of rows.filter((row) => row.purpose !== "tenant")) {
    const envelope = readRingEnvelope(wrapped);
    const key = find(ringId(tenant, "tenant"), envelope.version) ?? assert.fail("the tenant key of then is there");
    const context = { tenant, purpose: "wrap-purpose-key", of: purpose, version: String(version) };
    const under = { ring: ringId(tenant, "tenant"), version: envelope.version, key };
    keys.set(nameOf(ringId(tenant, purpose), version), openFromRing(under, context, envelope));
  }
  return find;
}

test("attack: a reader of yesterday's keys cannot read what is sealed after rotation, with today's store in hand", async () => {
  const storage = memoryRows();
  const keyring = await openKeyring(kek(), { storage, random, clock });
  const before = await keyring.seal("inbox", { ...place, row: "1" }, bytes("before"));
  await keyring.seal("outbox", place, bytes("x"));
  const yesterday = memoryOf(storage.rows);

  await keyring.rotateAll("main", storage.insertAll);
  const after = await keyring.seal("inbox", { ...place, row: "1" }, bytes("after"));
  // A purpose that is first used after the rotation hangs below the new tenant key too.
  const late = await keyring.seal("archive", place, bytes("late"));

  const opens = (purpose: string, context: Readonly<Record<string, string>>, sealed: Uint8Array) => {
    const envelope = readRingEnvelope(sealed);
    const key = yesterday(ringId("main", purpose), envelope.version);
    if (key === undefined) return null;
    const under = { ring: ringId("main", purpose), version: envelope.version, key };
    return text(openFromRing(under, { ...context, purpose }, envelope));
  };
  assert.equal(opens("inbox", { ...place, row: "1" }, before), "before", "the thief has what was sealed before");
  assert.equal(opens("inbox", { ...place, row: "1" }, after), null);
  assert.equal(opens("archive", place, late), null);
  // Nor does any key of then unwrap one of now: each new row of the store is wrapped under what came with it.
  for (const { tenant, purpose, version, wrapped } of storage.rows.filter((row) => row.purpose !== "tenant")) {
    if (yesterday(ringId(tenant, purpose), version) !== undefined) continue;
    assert.equal(yesterday(ringId(tenant, "tenant"), readRingEnvelope(wrapped).version), undefined, purpose);
  }
});

test("what was sealed before opens as it did, also in a process that missed the rotation and after a restart", async () => {
  const storage = memoryRows();
  const one = await openKeyring(kek(), { storage, random, clock });
  const two = await openKeyring(kek(), { storage, random, clock });
  const old = await one.seal("inbox", place, bytes("old"));
  const ringOfTwo = await two.ring("main", "inbox");
  assert.deepEqual(await one.rotateAll("main", storage.insertAll), [
    { purpose: "tenant", version: 2 },
    { purpose: "inbox", version: 2 },
  ]);
  const fresh = await one.seal("inbox", place, bytes("new"));
  const three = await openKeyring(kek(), { storage, random, clock });
  for (const ring of [await one.ring("main", "inbox"), ringOfTwo, await three.ring("main", "inbox")]) {
    assert.equal(text(await ring.open({}, fresh)), "new");
    assert.equal(text(await ring.open({}, old)), "old");
  }
  // Having looked, it seals under the new version as well; without having to open anything, at its next look.
  assert.equal(readRingEnvelope(ringOfTwo.seal({}, bytes("x"))).version, 2);
  await one.rotateAll("main", storage.insertAll);
  assert.equal(readRingEnvelope(ringOfTwo.seal({}, bytes("x"))).version, 2);
  await two.reload();
  assert.equal(readRingEnvelope(ringOfTwo.seal({}, bytes("x"))).version, 3);
});

test("two processes that rotate at the same moment make two rotations, and neither leaves a purpose behind", async () => {
  const storage = memoryRows();
  const [one, two] = await Promise.all([1, 2].map(() => openKeyring(kek(), { storage, random, clock })));
  assert.ok(one && two);
  await one.seal("inbox", place, bytes("x"));
  const done = await Promise.all([one, two].map((ring) => ring.rotateAll("main", storage.insertAll)));
  assert.deepEqual(done.map(([tenant]) => tenant?.version).toSorted(), [2, 3]);
  assert.deepEqual(storage.rows.map(({ purpose, version }) => `${purpose} ${version}`).toSorted(), [
    ...["inbox 1", "inbox 2", "inbox 3", "tenant 1", "tenant 2", "tenant 3"],
  ]);
});

test("pseudonyms of a year stay what they are, and another tenant's keys are left alone", async () => {
  const storage = memoryRows();
  const keyring = await openKeyring(kek(), { storage, random, clock });
  const scope = { tenant: "main", environment: "production", year: "2026" };
  const key = await keyring.pseudonymKey(scope);
  await keyring.seal("inbox", { tenant: "acme" }, bytes("x"));
  assert.deepEqual(await keyring.rotateAll("main", storage.insertAll), [{ purpose: "tenant", version: 2 }]);
  const restarted = await openKeyring(kek(), { storage, random, clock });
  assert.deepEqual(await restarted.pseudonymKey(scope), key);
  assert.equal(storage.rows.filter(({ tenant }) => tenant === "acme").length, 2);
});

test("a store that takes none of the new keys leaves everything as it was", async () => {
  const storage = memoryRows();
  const keyring = await openKeyring(kek(), { storage, random, clock });
  const sealed = await keyring.seal("inbox", place, bytes("x"));
  const rows = [...storage.rows];
  await assert.rejects(
    keyring.rotateAll("main", async () => false),
    { code: "key-store" },
  );
  await assert.rejects(
    keyring.rotateAll("main", () => Promise.reject(new Error("disk full"))),
    /disk full/,
  );
  assert.deepEqual(storage.rows, rows);
  assert.equal(text(await keyring.open("inbox", place, sealed)), "x");
  assert.equal((await keyring.seal("inbox", place, bytes("y")))[13], 1);
});

test("a key of before a rotation that is damaged is found by opening all, though nothing needs it yet", async () => {
  const storage = memoryRows();
  const keyring = await openKeyring(kek(), { storage, random, clock });
  await keyring.seal("inbox", place, bytes("x"));
  await keyring.rotateAll("main", storage.insertAll);
  (await openKeyring(kek(), { storage, random, clock })).openAll();
  for (const [index, row] of [...storage.rows.entries()].filter(([, { version }]) => version === 1)) {
    const wrapped = Uint8Array.from(row.wrapped);
    wrapped[60] = (wrapped[60] ?? 0) ^ 1;
    storage.rows[index] = { ...row, wrapped };
    const damaged = await openKeyring(kek(), { storage, random, clock });
    assert.throws(() => damaged.openAll(), { code: "envelope-refused" }, row.purpose);
    storage.rows[index] = row;
  }
});
