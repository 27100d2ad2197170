// Control's witness over both dialects: of many that begin from one state one is cosigned, keys and evidence are kept once, and whose log it is decides.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { beforeEach, test } from "node:test";
import { sha256, verifierFor } from "@sallyport/kernel/log/log-crypto.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { LogFinding } from "@sallyport/kernel/witness/finding.ts";
import { Witness } from "@sallyport/kernel/witness/witness.ts";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { leafHash } from "@sallyport/protocol/audit/merkle.ts";
import { signNote } from "@sallyport/protocol/audit/note.ts";
import { printSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import type { ControlCommands } from "../commands.ts";
import { isOriginOf } from "./judge-checkpoint.ts";
import { storedTrees } from "./stored-trees.ts";
import { findingsPerReporterMax } from "./witness-store.ts";
import { isControlOrigin } from "./witnessing.ts";

const commands = new URL("../commands.ts", import.meta.url);
const origin = "sallyport.local/main/production/gw-1/gateway/2026";

function keyOf(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey: raw, sign: (text: Uint8Array) => new Uint8Array(sign(null, text, privateKey)) };
}

forEachDialect((dialect, open) => {
  let store: Store<ControlCommands>;
  const log = keyOf(origin);
  const finding: LogFinding = { code: "forked", origin, witness: "w", kept: "a", shown: "b" };

  beforeEach(async () => {
    store = await open<ControlCommands>({ commands, clock: { now: () => 1_000, monotonic: () => 0 } });
  });

  const witness = (found: LogFinding[], name = "w") =>
    new Witness({
      state: storedTrees(store),
      signer: keyOf(name),
      now: () => 5_000,
      found: async (one) => void found.push(one),
    });
  const submitter = { isKeeper: true, keys: async (name: string) => [verifierFor(name, log.publicKey)] };
  const one = (text: string) =>
    signNote(sha256, printCheckpointBody(origin, 1, leafHash(sha256, Buffer.from(text))), log);

  test(`attack: 40 checkpoints of one size at once, to two control nodes over one ${dialect} store: exactly one is cosigned`, async () => {
    const found: LogFinding[] = [];
    const nodes = [witness(found, "control-1"), witness(found, "control-2")];
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        nodes[i % 2]?.add(printSubmission({ oldSize: 0, proof: [], note: one(`leaf ${i}`) }), submitter),
      ),
    );
    assert.equal(answers.filter((answer) => answer?.status === 200).length, 1);
    assert.ok(answers.every((answer) => answer?.status === 200 || answer?.status === 409));
    assert.equal((await store.run("listWitnessed", null)).length, 1);
  });

  test("what was cosigned is found by its origin's hash, and the same size may be cosigned again, never another root", async () => {
    const found: LogFinding[] = [];
    const first = witness(found);
    const ask = (oldSize: number, text: string) =>
      first.add(printSubmission({ oldSize, proof: [], note: one(text) }), submitter);
    assert.deepEqual(
      [(await ask(0, "a")).status, (await ask(1, "a")).status, (await ask(1, "b")).status],
      [200, 200, 422],
    );
    assert.deepEqual(
      found.map(({ code }) => code),
      ["forked"],
    );
    const [row] = await store.run("listWitnessed", null);
    assert.equal(row?.note, await first.kept(origin));
  });

  test("a gateway's witness key is the first one it named", async () => {
    assert.equal(await store.run("pinWitnessKey", { node: "gw-1", key: "one" }), "one");
    assert.equal(await store.run("pinWitnessKey", { node: "gw-1", key: "two" }), "one");
  });

  test("evidence is kept once of each kind, on record, and one gateway fills no table", async () => {
    const by = (node: string, witnessName: string) =>
      store.run("keepLogFinding", { ...finding, witness: witnessName, tenant: "main", by: node });
    assert.equal(await by("gw-1", "w"), true);
    assert.equal(await by("gw-1", "w"), false);
    const claim = await store.run("claimOutbox", { node: "control", limit: 10, leaseMs: 1_000 });
    const [raised] = await store.run("listFindings", { tenant: "main" });
    assert.deepEqual(
      claim.rows.map(({ action, actor, object }) => [action, actor, object]),
      [
        ["log-finding.keep", "gateway:gw-1", "log-finding/forked"],
        ["finding.raise", "built-in", `finding/log-forked/${raised?.id}`],
      ],
    );
    assert.deepEqual(
      [raised?.severity, raised?.environment, raised?.subject, raised?.facts, raised?.count],
      ["critical", "sallyport", { kind: "origin", name: finding.origin }, { code: "forked", by: "gw-1" }, 1],
    );
    for (let i = 1; i < findingsPerReporterMax; i++) assert.equal(await by("gw-1", `w${i}`), true);
    assert.equal(await by("gw-1", "one more"), false);
    assert.equal(await by("control", "control's own"), true);
    assert.equal((await store.run("listLogFindings", null)).length, findingsPerReporterMax + 1);
    const all = await store.run("listFindings", { tenant: "main" });
    assert.deepEqual(
      all.map(({ id, count }) => [id, count]),
      [[raised?.id, findingsPerReporterMax + 1]],
      "one finding, however many witnesses say it",
    );
  });

  test("attack: a gateway reports a log whose name breaks lines; the finding names it by its hash", async () => {
    const broken = "sallyport.local\r\nBcc: x@evil.example/main/sallyport/control-1/control/2026";
    await store.run("keepLogFinding", { ...finding, origin: broken, tenant: "main", by: "gw-1" });
    const [raised] = await store.run("listFindings", { tenant: "main" });
    assert.match(raised?.subject.name ?? "", /^sha256:[0-9a-f]{64}$/);
  });
});

test("a node's own log, in every year, and nobody else's; control's logs are those of the environment sallyport", () => {
  const address = { tenant: "main", environment: "production", group: "g", node: "gw-1" };
  assert.ok(isOriginOf(address, origin));
  for (const other of [
    origin.replace("gw-1", "gw-2"),
    origin.replace("gateway", "control"),
    origin.replace("2026", "x"),
    `${origin}/2`,
  ])
    assert.ok(!isOriginOf(address, other), other);
  assert.ok(isControlOrigin("main", "h/main/sallyport/control-1/control/2026"));
  for (const other of [
    origin,
    "h/other/sallyport/c/control/2026",
    "h/main/sallyport/c/control/2026/x",
    "h/main/sallyport/c/control",
  ])
    assert.ok(!isControlOrigin("main", other), other);
});
