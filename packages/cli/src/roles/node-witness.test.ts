// A gateway's witness before control's log, real logs on a real disk: a restore, another key, a year that was cut before the next one began, and the turn
// of the year itself; and the estate's witnesses, kept while control is away.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { NodeIdentity } from "@sallyport/gateway/join/node-identity.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { closedCopy, completeCopy, writeCopied } from "@sallyport/kernel/log/closed-copy.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { prove } from "@sallyport/kernel/log/prove.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { type AskedWitness, Cosigning } from "@sallyport/kernel/witness/cosigning.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import { OwnLog } from "@sallyport/kernel/witness/own-log.ts";
import { parseWitnessKey, printWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { EstateWitnesses, parseNamedWitnesses } from "./estate-witnesses.ts";
import { type NodeWitness, openNodeWitness } from "./node-witness.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-node-witness-"));
const opened: { close(): Promise<void> | void }[] = [];
after(async () => {
  for (const one of opened.reverse()) await one.close();
  rmSync(folder, { recursive: true, force: true });
});
const fresh = () => mkdtempSync(join(folder, "n-"));
const november = Date.UTC(2026, 10, 22);
const january = Date.UTC(2027, 0, 15);
const disk = realDisk();

/** Control's log, the thread left out so that its clock is the test's. */
function controlLog(directory: string, node: string, clock: { now: number }): Log {
  const place = { tenant: "main", environment: "sallyport", region: "default" } as const;
  const identity = { ...place, node, role: "control", version: "0.1.0" } as const;
  const log = Log.open({ disk, directory, identity, now: () => clock.now, lowSpaceBytes: 0, reserveBytes: 0 });
  opened.push({ close: () => log.close() });
  return log;
}
const verifierKey = (log: Log) => printVerifierKey(sha256, log.origin, log.publicKey);
const grow = (log: Log, from: number, count: number) =>
  log.append(Array.from({ length: count }, (_, i) => ({ leaf: sampleLeaf("crossing", from + i) })));

interface Node {
  readonly witness: NodeWitness;
  readonly data: string;
  findings(): readonly LogFinding[];
}

async function openNode(data = fresh()): Promise<Node> {
  // Of all an identity holds, whose node it is.
  const identity = { tenant: "main", environment: "production", node: "gw-1" } as NodeIdentity;
  const own = { ...identity, region: "default", role: "gateway", version: "0.1.0" } as const;
  const log: OpenedLog = await openLog({ directory: join(data, "log"), identity: own, checkpointIntervalMs: 0 });
  const witness = openNodeWitness({
    dataDirectory: data,
    identity,
    log,
    channel: {
      ask: async () => ({ status: 503, body: "" }),
      post: async () => {
        throw new Error("control is away");
      },
    } as unknown as Parameters<typeof openNodeWitness>[0]["channel"], // it is asked nothing else here
    dialer: createDialer(),
    witnesses: [],
    logger: { info: () => {}, warn: () => {}, error: () => {} },
  });
  opened.push(log, witness);
  const files = join(data, "witness", "findings");
  return {
    witness,
    data,
    findings: () => listOf(files).map((name) => JSON.parse(readFileSync(join(files, name), "utf8"))),
  };
}

function listOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    return [];
  }
}

/** As control asks a gateway over the channel. */
function asked(node: Node, log: Log, directory: string): AskedWitness {
  let kept: string | null = null;
  const put = async (body: string) => {
    const year = Number(log.origin.slice(-4));
    const begins = () => {
      const { leaf, proof } = prove(directory, { index: 0, year });
      return { leaf: Buffer.from(leaf).toString("latin1"), proof };
    };
    const question = { key: verifierKey(log), body, begins: body.startsWith("old 0\n") ? begins() : null };
    const reply = await node.witness.answer(question);
    kept = reply.kept;
    return reply;
  };
  return {
    name: "gw-1",
    key: async () => parseWitnessKey(sha256, (await put("")).key),
    submit: put,
    kept: async () => kept,
  };
}

/** One round of control's log to the gateway; of years before `since` nothing is shown. */
async function round(node: Node, log: Log, directory: string, since = 2000) {
  const faults: string[] = [];
  const found: LogFinding[] = [];
  const handle = {
    verifierKey: verifierKey(log),
    checkpoint: async () => log.checkpoint(),
    publish: async (note: string) => log.publish(note),
  };
  const own = new OwnLog(handle, disk, directory);
  const trees = own.trees.bind(own);
  // Whoever owns the log decides what of it a witness gets to see.
  own.trees = async () => (await trees()).filter(({ origin }) => Number(origin.slice(-4)) >= since);
  const cosigning = new Cosigning({
    log: own,
    witnesses: () => [asked(node, log, directory)],
    monotonic: () => 0,
    now: Date.now,
    random: { bytes: (length) => new Uint8Array(length) },
    found: async (finding) => void found.push(finding),
    fault: (who, why) => void faults.push(`${who}: ${why}`),
  });
  await cosigning.round();
  return { faults, found, cosigned: cosigning.standings()[0]?.cosigned ?? new Map<string, number>() };
}

const sizeOf = (note: string) => Number(note.split("\n")[1]);

/** What a restore does: the copied log under `before`, and a new one that goes on from it. */
function restore(from: string, to: string, node: string): Log {
  mkdirSync(join(to, "before"), { recursive: true });
  for (const { path, bytes } of closedCopy(disk, from).files()) writeCopied(disk, join(to, "before"), path, bytes);
  completeCopy(disk, join(to, "before"));
  return controlLog(to, node, { now: november });
}

test("the turn of the year: the last checkpoint of the old origin and the first of the new are both cosigned, and nothing is found", async () => {
  const node = await openNode();
  const directory = fresh();
  const clock = { now: november };
  const log = controlLog(directory, "control-a", clock);
  grow(log, 0, 20);
  assert.deepEqual((await round(node, log, directory)).faults, []);
  grow(log, 100, 7);
  clock.now = january;
  grow(log, 200, 3);
  assert.match(log.origin, /control-a\/control\/2027$/);
  const { faults, found, cosigned } = await round(node, log, directory);
  assert.deepEqual([faults, found, node.findings()], [[], [], []]);
  const old = log.origin.replace("2027", "2026");
  const last = sizeOf(readFileSync(join(directory, "2026", "checkpoint"), "utf8"));
  assert.deepEqual([...cosigned].sort(), [
    [old, last],
    [log.origin, log.signed],
  ]);
  // Its client knows what was cosigned in either year, and asks nothing again.
  assert.match(readFileSync(join(directory, "2026", "cosigned"), "utf8"), /gw-1\/witness/);
  assert.match(readFileSync(join(directory, "2027", "checkpoint"), "utf8"), /gw-1\/witness/);
});

test("attack: the end of a year is cut off before the next one begins: the link of the first leaf gives it away, with both checkpoints", async () => {
  const node = await openNode();
  const whole = fresh();
  const clock = { now: november };
  const log = controlLog(whole, "control-a", clock);
  grow(log, 0, 20);
  log.checkpoint();
  const cut = fresh();
  // An older copy, key and all, taken while the log stood at 20.
  for (const name of readdirSync(whole)) copyInto(join(whole, name), join(cut, name));
  grow(log, 100, 30);
  assert.deepEqual((await round(node, log, whole)).faults, []);
  const kept = log.signed;
  const again = controlLog(cut, "control-a", { now: january });
  grow(again, 300, 2);
  assert.match(again.origin, /2027$/);
  // The old year is not shown at all: what the new one says of it is enough.
  await round(node, again, cut, 2027);
  const findings = node.findings();
  assert.deepEqual(
    findings.map(({ code, origin }) => `${code} ${origin.slice(-4)}`),
    ["rolled-back 2026"],
  );
  const [finding] = findings;
  assert.equal(sizeOf(finding?.kept ?? ""), kept);
  assert.equal(finding?.shown.split("\n")[0], again.origin);
});

function copyInto(from: string, to: string): void {
  try {
    const names = readdirSync(from);
    mkdirSync(to, { recursive: true });
    for (const name of names) copyInto(join(from, name), join(to, name));
  } catch {
    if (!from.endsWith("lock")) writeFileSync(to, readFileSync(from), { mode: 0o600 });
  }
}

test("a restore from before what was cosigned is said, names both logs, and the new one is cosigned all the same", async () => {
  const node = await openNode();
  const directory = fresh();
  const log = controlLog(directory, "control-a", { now: november });
  grow(log, 0, 20);
  log.checkpoint();
  const to = fresh();
  const restored = restore(directory, to, "control-b");
  grow(log, 100, 30);
  await round(node, log, directory);
  const kept = log.signed;
  grow(restored, 300, 2);
  const { faults, cosigned } = await round(node, restored, to);
  assert.deepEqual(faults, []);
  assert.equal(cosigned.get(restored.origin), restored.signed);
  const [finding, ...more] = node.findings();
  assert.deepEqual([finding?.code, finding?.origin, more], ["restored", log.origin, []]);
  assert.equal(sizeOf(finding?.kept ?? ""), kept);
  assert.equal(finding?.shown.split("\n")[0], restored.origin);
});

test("a restore of everything that was cosigned is no finding", async () => {
  const node = await openNode();
  const directory = fresh();
  const log = controlLog(directory, "control-a", { now: november });
  grow(log, 0, 20);
  await round(node, log, directory);
  const to = fresh();
  const restored = restore(directory, to, "control-b");
  grow(restored, 300, 2);
  assert.deepEqual((await round(node, restored, to)).faults, []);
  assert.deepEqual(node.findings(), []);
});

test("attack: a control node's log signed by another key, in this year or the next: refused, with both checkpoints as evidence", async () => {
  const node = await openNode();
  const directory = fresh();
  const log = controlLog(directory, "control-a", { now: november });
  grow(log, 0, 5);
  await round(node, log, directory);
  for (const now of [november, january]) {
    const other = fresh();
    const forged = controlLog(other, "control-a", { now });
    grow(forged, 50, 9);
    const { faults, cosigned } = await round(node, forged, other);
    assert.match(faults.join("\n"), /answered 403/);
    assert.equal(cosigned.size, 0);
  }
  const findings = node.findings();
  assert.deepEqual(findings.map(({ code, origin }) => [code, origin.slice(-4)]).toSorted(), [
    ["key-changed", "2026"],
    ["key-changed", "2027"],
  ]);
  assert.ok(findings.every(({ kept, shown }) => sizeOf(kept) === log.signed && sizeOf(shown) > 0));
});

test("attack: a log that is not control's is not cosigned by a gateway, whatever key comes with it", async () => {
  const node = await openNode();
  const directory = fresh();
  const identity = { tenant: "main", environment: "production", region: "r", node: "gw-2", version: "0.1.0" } as const;
  for (const [role, environment] of [
    ["gateway", "production"],
    ["control", "production"],
  ] as const) {
    const place = join(directory, `${role}-${environment}`);
    mkdirSync(place);
    const options = { disk, directory: place, now: () => november, lowSpaceBytes: 0, reserveBytes: 0 };
    const log = Log.open({ ...options, identity: { ...identity, role, environment } });
    opened.push({ close: () => log.close() });
    grow(log, 0, 3);
    assert.match((await round(node, log, place)).faults.join("\n"), /answered 404/);
  }
});

const key = printWitnessKey(sha256, "witness.example/w1", new Uint8Array(32).fill(7));
const named = { url: "https://witness.example", key, allowPrivate: false };

test("the estate's witnesses are kept on disk and read back; what cannot be read is nothing", () => {
  const place = fresh();
  const kept = new EstateWitnesses(disk, place);
  assert.deepEqual(kept.read(), []);
  assert.equal(kept.keep([named]), true);
  assert.equal(kept.keep([named]), false, "it is not written again");
  assert.deepEqual(new EstateWitnesses(disk, place).read(), [named]);
  writeFileSync(join(place, "outside.json"), "{");
  assert.deepEqual(new EstateWitnesses(disk, place).read(), []);
});

test("attack: what control says of witnesses is taken whole or not at all", () => {
  assert.deepEqual(parseNamedWitnesses({ key: "x", outside: [named] }), [named]);
  assert.deepEqual(parseNamedWitnesses({ outside: [] }), []);
  for (const said of [
    null,
    "outside",
    {},
    { outside: null },
    { outside: [null] },
    { outside: [named, { ...named, url: "ftp://x" }] },
    { outside: [{ ...named, key: "x" }] },
    { outside: [{ ...named, allowPrivate: "yes" }] },
    { outside: [{ url: named.url, key }] },
  ])
    assert.equal(parseNamedWitnesses(said), null, JSON.stringify(said));
  assert.equal(parseNamedWitnesses({ outside: Array(50).fill(named) })?.length, 8);
});
