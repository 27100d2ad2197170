// Keys of kept payloads, reading and erasing, over a real control store on both dialects and a real log of a gateway in the archive; and the attacks on them.
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { Log } from "@sallyport/kernel/log/log.ts";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import { forEachDialect, type StorePlace } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { PayloadDirection } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { payloadContext } from "@sallyport/protocol/audit/payload.ts";
import type { PayloadKeyAnswer } from "@sallyport/protocol/channel/messages.ts";
import pg from "pg";
import type { AdminFault } from "../admin/actions.ts";
import { Pseudonyms } from "../audit/pseudonyms.ts";
import { restoreEpoch } from "../backup/restore-epoch.ts";
import type { ControlCommands } from "../commands.ts";
import type { ControlParts } from "../control-parts.ts";
import { openControlSecrets } from "../secrets/control-secrets.ts";
import { createPayloadActions } from "./payload-actions.ts";
import { PayloadKeyring } from "./payload-keys.ts";
import type { PayloadPart } from "./read-payload.ts";

const commands = new URL("../commands.ts", import.meta.url);
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const tenant = "main";
const environment = "production";
const production = { tenant, environment };
const dayMs = 86_400_000;
const start = Date.UTC(2026, 10, 30, 15);
const operator = "operator:ada";
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-payloads-"));
  folders.push(folder);
  return folder;
}

/** Lays so many rows like that of one key beside it, as a gateway would have had them made one by one. */
async function copyKey(place: StorePlace, kid: string, copies: number): Promise<void> {
  const sql = `INSERT INTO payload_key (tenant, environment, kid, subject, made_at, made_year, ends_at, public_key, sealed, locked)
    WITH RECURSIVE copy (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ${copies})
    SELECT tenant, environment, kid || '-' || n, subject, made_at, made_year, ends_at, public_key, sealed, locked
    FROM payload_key, copy WHERE kid = '${kid}'`;
  if ("path" in place) {
    const database = new DatabaseSync(place.path, { timeout: 60_000 });
    database.exec(sql);
    database.close();
    return;
  }
  const client = new pg.Client({ connectionString: place.url });
  await client.connect();
  await client.query(`SET search_path TO ${place.schema}`);
  await client.query(sql);
  await client.end();
}

forEachDialect((_dialect, open) => {
  async function setup(place: StorePlace = open.newPlace(), directory = newFolder(), at = { ms: start }) {
    const clock = { now: () => at.ms, monotonic: () => at.ms };
    const store = await open<ControlCommands>({ commands, clock, place });
    const { keyring } = await openControlSecrets({ store, kekFile: join(directory, "kek.key"), clock, random });
    const pseudonyms = new Pseudonyms(tenant, keyring, clock);
    const payloadKeys = new PayloadKeyring({ store, keyring, clock, random });
    const archive = join(directory, "archive");
    // Only what these actions touch is there.
    const actions = createPayloadActions({
      ...{ tenant, store, clock, pseudonyms, payloadKeys, archive: { directory: archive } },
      identities: new Map([[environment, null]]),
    } as unknown as ControlParts);
    const log = join(archive, tenant, environment, "gw-1");
    mkdirSync(log, { recursive: true, mode: 0o700 });
    return {
      at,
      store,
      place,
      directory,
      log,
      ids: new Map<number, string>(),
      payloadKeys,
      actions,
      pseudonym: (value: string) => pseudonyms.of(environment, "data-subject", value),
    };
  }
  type Bed = Awaited<ReturnType<typeof setup>>;

  const keyFor = async (bed: Bed, person: string, days = 90): Promise<PayloadKeyAnswer> =>
    (await bed.payloadKeys.publicKey(production, { subject: await bed.pseudonym(person), days })) ??
    assert.fail("no key");

  interface Kept {
    readonly n: number;
    readonly person: string;
    readonly key: PayloadKeyAnswer;
    readonly content: string;
    readonly direction?: PayloadDirection;
    /** What a gateway that is somebody else's does differently. */
    readonly forged?: { readonly sealedFor?: number; readonly leafKey?: string };
  }

  /** The id of the n-th crossing of a bed, made when it is first asked for: ids say their time. */
  function idOf({ ids, at }: Bed, n: number): string {
    let time = "";
    for (let left = at.ms, i = 0; i < 10; i++, left = Math.floor(left / 32)) time = `${alphabet[left % 32]}${time}`;
    const id = ids.get(n) ?? `gw-1-${time}${String(n).padStart(16, "0")}`;
    ids.set(n, id);
    return id;
  }

  /** As a gateway seals and records it; in the log of the node as the archive holds it. */
  async function keep(bed: Bed, kept: readonly Kept[]): Promise<void> {
    const identity = { ...production, region: "eu", node: "gw-1", role: "gateway", version: "0.1.0" } as const;
    const log = Log.open({
      disk: realDisk(),
      directory: bed.log,
      identity,
      now: () => bed.at.ms,
      lowSpaceBytes: 0,
      reserveBytes: 0,
    });
    for (const { n, person, key, content, direction = "request", forged = {} } of kept) {
      const sealer = createRecipientSealer({ recipient: Buffer.from(key.key, "base64url"), random });
      const place = { ...production, node: "gw-1", direction };
      const sealed = Uint8Array.from(
        sealer.seal(payloadContext({ ...place, id: idOf(bed, forged.sealedFor ?? n) }), Buffer.from(content)),
      );
      const named = {
        key: forged.leafKey ?? sealer.recipient,
        content: hash("sha256", sealed, "hex"),
        bytes: sealed.length,
      };
      sealer.forget();
      const leaf = {
        t: "payload",
        id: idOf(bed, n),
        at: bed.at.ms,
        region: "eu",
        ...place,
        dataSubject: await bed.pseudonym(person),
        ...named,
        endsAt: key.endsAt,
      } as const;
      log.append([{ leaf: printLeaf(leaf), reference: sealed }, { leaf: crossingLeaf(idOf(bed, n), bed.at.ms) }]);
    }
    log.close();
  }

  /** The sample crossing under another id and time. */
  function crossingLeaf(id: string, at: number): Uint8Array {
    const text = Buffer.from(sampleLeaf("crossing", 1)).toString("latin1");
    return Buffer.from(text.replace(/"id":"[^"]+"/, `"id":"${id}"`).replace(/"at":\d+/, `"at":${at}`), "latin1");
  }

  const read = async (bed: Bed, n: number): Promise<readonly PayloadPart[]> =>
    (await bed.actions.payload(idOf(bed, n))).payloads;
  const records = async (bed: Bed) =>
    (await bed.store.run("claimOutbox", { node: "n", limit: 200, leaseMs: 1_000 })).rows.filter(({ action }) =>
      action.startsWith("payload."),
    );
  const erase = (bed: Bed, subject: string) => bed.actions.erase(operator, { subject, reason: "asked to" });

  test("a key is one data subject's, one environment's and one day's; its time is whole days, and it is asked for again within a minute", async () => {
    const bed = await setup();
    const ada = await keyFor(bed, "ada");
    assert.deepEqual(await keyFor(bed, "ada"), ada);
    assert.equal(ada.endsAt, Date.UTC(2026, 10, 30) + 91 * dayMs);
    assert.equal(ada.freshMs, 60_000);
    const others = [await keyFor(bed, "bob"), await keyFor(bed, "ada", 30)];
    const subject = await bed.pseudonym("ada");
    others.push(
      (await bed.payloadKeys.publicKey({ tenant, environment: "staging" }, { subject, days: 90 })) ?? assert.fail(),
    );
    bed.at.ms = Date.UTC(2026, 10, 30, 23, 59, 59, 900);
    assert.equal((await keyFor(bed, "ada")).freshMs, 100, "not into the next day");
    bed.at.ms = Date.UTC(2026, 11, 1);
    others.push(await keyFor(bed, "ada"));
    assert.equal(new Set([ada, ...others].map(({ key }) => key)).size, 5);
  });

  test("attack: a gateway asks for one data subject after the other: there is an end to it, until the day is over, and no other environment is in it", async () => {
    const { store, directory, at } = await setup();
    const clock = { now: () => at.ms, monotonic: () => at.ms };
    const { keyring } = await openControlSecrets({ store, kekFile: join(directory, "kek.key"), clock, random });
    const keys = new PayloadKeyring({ store, keyring, clock, random, keysMax: 3 });
    const ask = (n: number, of = environment) =>
      keys.publicKey({ tenant, environment: of }, { subject: `2026:${String(n).padStart(21, "0")}A`, days: 1 });
    for (let n = 0; n < 3; n++) assert.ok((await ask(n)) !== null);
    assert.equal(await ask(3), null);
    assert.ok((await ask(0)) !== null, "who has a key goes on");
    assert.ok((await ask(3, "staging")) !== null);
    at.ms += dayMs;
    assert.ok((await ask(3)) !== null);
  });

  test("an operator reads what was kept, in both directions; of what was never kept, and of another node, there is no word", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    await keep(bed, [
      { n: 1, person: "ada", key, content: '{"a":1}' },
      { n: 1, person: "ada", key, content: '{"b":2}', direction: "response" },
    ]);
    const part = (direction: PayloadDirection, content: string) => ({
      direction,
      state: "kept",
      content,
      endsAt: key.endsAt,
    });
    const [first] = await read(bed, 1);
    assert.deepEqual(first, part("request", '{"a":1}'));
    for (const id of [idOf(bed, 2), idOf(bed, 1).replace("gw-1", "gw-2"), "01KBA000000000000000000001"])
      await assert.rejects(bed.actions.payload(id), { code: "not-found" });
  });

  test("erasure destroys every key of a person and no other's: the payloads cannot be read, the log verifies, and the record names nobody", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    await keep(bed, [
      { n: 1, person: "ada", key, content: '{"a":1}' },
      { n: 2, person: "bob", key: await keyFor(bed, "bob"), content: '{"b":1}' },
    ]);
    bed.at.ms += 2 * dayMs;
    await keep(bed, [{ n: 3, person: "ada", key: await keyFor(bed, "ada", 30), content: '{"c":1}' }]);
    bed.at.ms += dayMs;
    const erased = await erase(bed, "ada");
    const subject = await bed.pseudonym("ada");
    assert.deepEqual(erased, { keys: 2, subjects: [{ environment, subject }] });
    for (const n of [1, 3])
      assert.deepEqual(await read(bed, n), [{ direction: "request", state: "erased", at: bed.at.ms }]);
    assert.equal((await read(bed, 2))[0]?.state, "kept");
    const note = readFileSync(join(bed.log, "2026", "checkpoint"), "utf8");
    const { publicKey } = loadLogKey(realDisk(), bed.log);
    const verifierKey = printVerifierKey(sha256, note.split("\n", 1)[0] ?? "", publicKey);
    assert.deepEqual(verifyLogDirectory(bed.log, { verifierKey }).problems, []);
    const [record, ...more] = await records(bed);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [record?.action, record?.object, record?.facts],
      ["payload.erase", `data-subject/${subject}`, { keys: 2, reason: "asked to" }],
    );
    // What comes afterwards is under a new key, and can be read.
    const later = await keyFor(bed, "ada");
    assert.notEqual(later.key, key.key);
    await keep(bed, [{ n: 4, person: "ada", key: later, content: '{"d":1}' }]);
    assert.equal((await read(bed, 4))[0]?.state, "kept");
    assert.equal((await erase(bed, "nobody we know")).keys, 0);
  });

  test("attack: a gateway has more keys made for one person than anybody keeps, so that an erasure leaves some: it leaves none", async () => {
    const bed = await setup();
    const of = { ...production, subject: await bed.pseudonym("c-1") };
    const made = { ...of, publicKey: new Uint8Array(32), sealed: new Uint8Array(40).fill(7), keysMax: 20_000 };
    await bed.store.run("addPayloadKey", { ...made, kid: "k", endsAt: bed.at.ms + 1 });
    await copyKey(bed.place, "k", 10_050);
    assert.equal((await bed.store.run("readPayloadKey", { ...of, kid: "k-10050" })).kind, "found");
    const { keys } = await erase(bed, "c-1");
    assert.equal(keys, 10_051);
    for (const kid of ["k", "k-1", "k-10050"])
      assert.equal((await bed.store.run("readPayloadKey", { ...of, kid })).kind, "gone", kid);
  });

  test("a person is found under the pseudonyms of every year that keys are under, and by one pseudonym alone", async () => {
    const bed = await setup();
    const former = await bed.pseudonym("ada");
    await keyFor(bed, "ada", 900);
    bed.at.ms = Date.UTC(2027, 1, 1);
    const present = await bed.pseudonym("ada");
    assert.notEqual(former, present);
    await keyFor(bed, "ada", 900);
    await keyFor(bed, "bob", 900);
    const bob = await bed.pseudonym("bob");
    const erased = await erase(bed, "ada");
    assert.equal(erased.keys, 2);
    assert.deepEqual(erased.subjects.map(({ subject }) => subject).sort(), [former, present].sort());
    assert.equal((await bed.actions.erase(operator, { pseudonym: bob, environment, reason: "again" })).keys, 1);
  });

  test("attack: erasure under a legal hold: refused with the name of the hold and who answers for it, and nothing of it is done", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    await keep(bed, [{ n: 1, person: "ada", key, content: '{"a":1}' }]);
    const scope = { origin: null, environment, fromYear: 2026, toYear: 2026 };
    const hold = { tenant, id: "acme-v-us", ...scope, owner: "legal", reason: "case", actor: operator };
    await bed.store.run("placeHold", hold);
    // A key of next year, which the hold does not cover, goes no more than the rest.
    bed.at.ms = Date.UTC(2027, 0, 5);
    await keyFor(bed, "ada");
    await assert.rejects(erase(bed, "ada"), (fault: AdminFault) => {
      assert.equal(fault.code, "conflict");
      assert.match(fault.message, /legal hold acme-v-us/);
      assert.match(fault.fix, /legal/);
      return true;
    });
    assert.equal((await read(bed, 1))[0]?.state, "kept");
    assert.deepEqual(await records(bed), []);
    await bed.store.run("releaseHold", { tenant, id: "acme-v-us", reason: "settled", actor: operator });
    assert.equal((await erase(bed, "ada")).keys, 2);
  });

  test("keys go when their days are over, recorded, and no sooner; what a hold covers stays until it is released", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada", 1);
    await keep(bed, [{ n: 1, person: "ada", key, content: '{"a":1}' }]);
    await keyFor(bed, "bob", 2);
    const end = () => bed.store.run("endPayloadKeys", { tenant });
    bed.at.ms = key.endsAt - 1;
    assert.equal(await end(), 0);
    bed.at.ms = key.endsAt;
    const hold = {
      tenant,
      id: "h",
      origin: "sallyport.local/main/production/gw-1/gateway/2026",
      environment: null,
      fromYear: null,
      toYear: null,
    };
    await bed.store.run("placeHold", { ...hold, owner: "legal", reason: "case", actor: operator });
    assert.equal(await end(), 0, "held");
    assert.equal((await read(bed, 1))[0]?.state, "kept");
    await bed.store.run("releaseHold", { tenant, id: "h", reason: "settled", actor: operator });
    assert.equal(await end(), 1);
    assert.deepEqual(await read(bed, 1), [{ direction: "request", state: "expired", at: key.endsAt }]);
    assert.equal(await end(), 0);
    assert.deepEqual(
      (await records(bed)).map(({ action, object, facts, environment: of }) => [action, object, facts, of]),
      [["payload.expire", "payload-key/2026", { keys: 1 }, environment]],
    );
  });

  test("attack: an erased payload is read from the disk: the store's files do not hold its key any more, not even sealed", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    await keep(bed, [{ n: 1, person: "ada", key, content: '{"card":"canary-4929"}' }]);
    await keyFor(bed, "bob");
    const subject = await bed.pseudonym("ada");
    const kid = createRecipientSealer({ recipient: Buffer.from(key.key, "base64url"), random }).recipient;
    const found = await bed.store.run("readPayloadKey", { ...production, subject, kid });
    assert.ok(found.kind === "found" && found.sealed.length > 100);
    await erase(bed, "ada");
    assert.deepEqual(await bed.store.run("readPayloadKey", { ...production, subject, kid }), {
      kind: "gone",
      erasedAt: start,
    });
    await bed.store.close();
    if ("path" in bed.place)
      for (const file of [bed.place.path, `${bed.place.path}-wal`])
        assert.equal(existsSync(file) && readFileSync(file).includes(found.sealed), false, file);
    assert.equal(filesHold(bed.directory, "canary-4929"), false);
  });

  test("attack: an erased key is read from where its row once stood, before the store's pages were divided and joined", async () => {
    const bed = await setup();
    const subject = await bed.pseudonym("ada");
    const sealed: Uint8Array[] = [];
    for (let n = 1; n <= 240; n++) {
      const { key } = await keyFor(bed, n % 4 === 0 ? "ada" : "bob", n);
      if (n % 4 !== 0) continue;
      const kid = createRecipientSealer({ recipient: Buffer.from(key, "base64url"), random }).recipient;
      const found = await bed.store.run("readPayloadKey", { ...production, subject, kid });
      sealed.push(found.kind === "found" ? found.sealed : assert.fail());
    }
    // With the rows between them gone, those that stay move together.
    assert.equal((await erase(bed, "bob")).keys, 180);
    assert.equal((await erase(bed, "ada")).keys, sealed.length);
    await bed.store.close();
    if (!("path" in bed.place)) return;
    const files = [bed.place.path, `${bed.place.path}-wal`].filter(existsSync).map((file) => readFileSync(file));
    const held = sealed.filter((one) => files.some((bytes) => bytes.includes(one)));
    assert.equal(held.length, 0, `of ${sealed.length} erased keys`);
  });

  test("attack: a gateway goes on with the key of somebody who was erased: what it seals can be read by nobody", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    bed.at.ms += 1_000;
    await erase(bed, "ada");
    bed.at.ms += 59_000;
    await keep(bed, [{ n: 1, person: "ada", key, content: '{"a":1}' }]);
    assert.deepEqual(await read(bed, 1), [{ direction: "request", state: "erased", at: start + 1_000 }]);
  });

  test("attack: a gateway passes off the ciphertext of another crossing, or names another person's key: neither opens", async () => {
    const bed = await setup();
    const [ada, bob] = [await keyFor(bed, "ada"), await keyFor(bed, "bob")];
    const bobsKey = createRecipientSealer({ recipient: Buffer.from(bob.key, "base64url"), random }).recipient;
    await keep(bed, [
      { n: 1, person: "ada", key: ada, content: '{"a":1}', forged: { sealedFor: 2 } },
      { n: 3, person: "ada", key: bob, content: '{"b":1}' },
      { n: 4, person: "ada", key: ada, content: '{"c":1}', forged: { leafKey: bobsKey } },
    ]);
    for (const n of [1, 3, 4])
      assert.deepEqual(await read(bed, n), [{ direction: "request", state: "damaged" }], String(n));
  });

  test("attack: a second node hands out keys while the first erases: what was handed out before is gone, and no key is left that opens nothing", async () => {
    const first = await setup();
    const second = await setup(first.place, first.directory, first.at);
    for (let round = 0; round < 10; round++) {
      const before = await keyFor(second, "ada");
      const [, ...after] = await Promise.all([
        erase(first, "ada"),
        ...Array.from({ length: 4 }, () => keyFor(second, "ada")),
      ]);
      const subject = await first.pseudonym("ada");
      const openerOf = (key: PayloadKeyAnswer) => {
        const sealer = createRecipientSealer({ recipient: Buffer.from(key.key, "base64url"), random });
        return second.payloadKeys.opener({ ...production, subject }, sealer.recipient);
      };
      assert.equal((await openerOf(before)).kind, "gone");
      // Throws where a row is there and its private half is not.
      for (const key of after) await openerOf(key);
    }
  });

  test("attack: a backup brings keys back: they open nothing and are given to nobody before an operator says that erasures were made again", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    await keep(bed, [
      { n: 1, person: "ada", key, content: '{"a":1}' },
      { n: 2, person: "bob", key: await keyFor(bed, "bob"), content: '{"b":1}' },
    ]);
    const epoch = restoreEpoch(bed.at.ms, new Uint8Array(2), await bed.store.run("highestNumber", null));
    await bed.store.run("fenceRestore", {
      tenant,
      epoch,
      backup: "b1",
      backupAt: start,
      states: "hold",
      actor: "local:root",
    });
    assert.deepEqual(await read(bed, 1), [{ direction: "request", state: "locked" }]);
    assert.notEqual((await keyFor(bed, "ada")).key, key.key);
    assert.equal((await erase(bed, "ada")).keys, 2, "also a locked key is destroyed");
    assert.equal((await bed.actions.unlockPayloads(operator, "all made again")).keys, 1);
    assert.equal((await read(bed, 1))[0]?.state, "erased");
    assert.equal((await read(bed, 2))[0]?.state, "kept");
    assert.deepEqual(
      (await records(bed)).map(({ action }) => action),
      ["payload.erase", "payload.unlock"],
    );
  });

  test("attack: a person's key is moved to another row of the store: it opens nothing there", async () => {
    const bed = await setup();
    const key = await keyFor(bed, "ada");
    const kid = createRecipientSealer({ recipient: Buffer.from(key.key, "base64url"), random }).recipient;
    const opened = bed.payloadKeys.opener({ ...production, subject: await bed.pseudonym("bob") }, kid);
    await assert.rejects(opened, { code: "envelope-refused" });
  });
});

function filesHold(directory: string, word: string): boolean {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .some((entry) => readFileSync(join(entry.parentPath, entry.name)).includes(word));
}
