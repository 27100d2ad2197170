// A witness over real files: the specification's answers, what is durable when, and that of two checkpoints of one size it never cosigns both.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseWitnessKey, verifyCosignatures } from "@sallyport/protocol/audit/cosignature.ts";
import { leafHash, nodeHash } from "@sallyport/protocol/audit/merkle.ts";
import { printVerifierKey, signNote } from "@sallyport/protocol/audit/note.ts";
import { originHash, printSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import type { Disk } from "../log/disk.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import { realDisk } from "../log/real-disk.ts";
import { HeldTrees } from "./held-trees.ts";
import { Witness } from "./witness.ts";
import { loadWitnessKey } from "./witness-key.ts";
import { keeperOf, openTestWitness } from "./witnessed-log.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-witness-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const fresh = () => mkdtempSync(join(folder, "w-"));
const origin = "log.example/main/production/gw-1/gateway/2026";

const pair = generateKeyPairSync("ed25519");
const publicKey = new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" }).subarray(-32));
const log = { name: origin, publicKey, sign: (text: Uint8Array) => new Uint8Array(sign(null, text, pair.privateKey)) };
const vkey = printVerifierKey(sha256, origin, publicKey);
const checkpoint = (size: number, root: Uint8Array) => signNote(sha256, printCheckpointBody(origin, size, root), log);
const hashOf = (text: string) => leafHash(sha256, Buffer.from(text));
/** Trees of two leaves. */
const two = (a: string, b: string) => checkpoint(2, nodeHash(sha256, hashOf(a), hashOf(b)));
const one = (a: string) => checkpoint(1, hashOf(a));
const submission = (oldSize: number, note: string, ...proof: readonly Uint8Array[]) =>
  printSubmission({ oldSize, proof, note });

test("a checkpoint that extends what was cosigned is cosigned with the present time, and kept with both signatures", async () => {
  const { witness, found, close } = openTestWitness(fresh());
  const first = await witness.add(submission(0, one("a")), keeperOf(vkey));
  assert.equal(first.status, 200);
  const second = await witness.add(submission(1, two("a", "b"), hashOf("b")), keeperOf(vkey));
  assert.deepEqual([second.status, second.contentType], [200, "text/plain; charset=utf-8"]);
  const key = parseWitnessKey(sha256, witness.verifierKey);
  assert.ok(key !== null);
  const kept = await witness.kept(origin);
  assert.equal(kept, two("a", "b") + second.body);
  const verdict = verifyCosignatures(noteCrypto, kept ?? "", [key]);
  assert.deepEqual(verdict.kind === "ok" && verdict.cosigned, [{ witness: key, time: 1_800_000_000 }]);
  assert.deepEqual(found, []);
  close();
});

test("another size than the one cosigned is answered with that size, as text/x.tlog.size", async () => {
  const { witness, close } = openTestWitness(fresh());
  await witness.add(submission(0, one("a")), keeperOf(vkey));
  const answer = await witness.add(submission(0, two("a", "b")), keeperOf(vkey));
  assert.deepEqual(answer, { status: 409, contentType: "text/x.tlog.size", body: "1\n" });
  close();
});

test("what was cosigned outlives the process, and the key is the same and its owner's alone", async () => {
  const place = fresh();
  const before = openTestWitness(place);
  await before.witness.add(submission(0, two("a", "b")), keeperOf(vkey));
  before.close();
  const later = openTestWitness(place);
  assert.equal(later.witness.verifierKey, before.witness.verifierKey);
  assert.equal((await later.witness.add(submission(0, one("c")), keeperOf(vkey))).body, "2\n");
  later.close();
  for (const path of [join(place, "w1.key"), join(place, "trees", originHash(sha256, origin))])
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
});

test("attack: checkpoints of one size with many roots, at once: exactly one is cosigned, and the others are evidence", async () => {
  const { witness, found, close } = openTestWitness(fresh());
  const roots = Array.from({ length: 50 }, (_, i) => submission(0, one(`leaf ${i}`)));
  const answers = await Promise.all(roots.map((text) => witness.add(text, keeperOf(vkey))));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  assert.ok(answers.every(({ status, body }) => status === 200 || (status === 409 && body === "1\n")));
  for (const text of roots) await witness.add(text.replace("old 0", "old 1"), keeperOf(vkey));
  assert.ok(found.length >= 49 && found.every(({ code }) => code === "forked"));
  assert.equal(new Set(found.map(({ kept }) => kept)).size, 1);
  close();
});

test("attack: the disk fails under a cosignature: none leaves, and the next request begins from what was durable", async () => {
  const place = fresh();
  const disk = realDisk();
  let isBroken = false;
  const failing: Disk = {
    ...disk,
    rename: (from, to) => {
      if (isBroken) throw new Error("EIO: the disk is gone");
      disk.rename(from, to);
    },
  };
  const signer = loadWitnessKey(disk, { folder: place, file: "w1", name: "witness.example/w1" });
  const state = new HeldTrees(failing, join(place, "trees"));
  const witness = new Witness({ state, signer, now: () => 1_000, found: async () => {} });
  await witness.add(submission(0, one("a")), keeperOf(vkey));
  isBroken = true;
  await assert.rejects(witness.add(submission(1, two("a", "b"), hashOf("b")), keeperOf(vkey)), /EIO/);
  isBroken = false;
  assert.equal((await witness.add(submission(1, two("a", "c"), hashOf("c")), keeperOf(vkey))).status, 200);
  state.close();
});

test("attack: a state file that was changed, or put back as another log's, stops the witness instead of letting it forget", async () => {
  const place = fresh();
  const before = openTestWitness(place);
  await before.witness.add(submission(0, one("a")), keeperOf(vkey));
  before.close();
  const path = join(place, "trees", originHash(sha256, origin));
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.slice(0, 40));
  assert.throws(() => openTestWitness(place), { code: "log-corrupt" });
  writeFileSync(path, text.replace("log.example", "Log.example"));
  assert.throws(() => openTestWitness(place), { code: "log-corrupt" });
});

test("two processes over one state would each cosign: the second does not start", () => {
  const place = fresh();
  const first = openTestWitness(place);
  assert.throws(() => openTestWitness(place), { code: "log-locked" });
  first.close();
  openTestWitness(place).close();
});

test("attack: a stranger sends an old checkpoint, or a good one with a false proof: refused, and held against nobody", async () => {
  const { witness, found, close } = openTestWitness(fresh());
  await witness.add(submission(0, two("a", "b")), keeperOf(vkey));
  const stranger = keeperOf(vkey, false);
  const three = checkpoint(3, hashOf("whatever"));
  assert.equal((await witness.add(submission(0, one("a")), stranger)).status, 409);
  assert.equal((await witness.add(submission(2, three, hashOf("x")), stranger)).status, 422);
  assert.deepEqual(found, []);
  assert.equal((await witness.add(submission(2, three, hashOf("x")), keeperOf(vkey))).status, 422);
  assert.equal((await witness.add(submission(0, one("a")), keeperOf(vkey))).status, 409);
  assert.deepEqual(
    found.map(({ code, shown }) => [code, shown]),
    [
      ["split-view", three],
      ["rolled-back", one("a")],
    ],
  );
  close();
});

test("attack: what the log signed twice is evidence whoever brings it, and what it did not sign is none", async () => {
  const { witness, found, close } = openTestWitness(fresh());
  await witness.add(submission(0, two("a", "b")), keeperOf(vkey));
  const stranger = keeperOf(vkey, false);
  assert.equal((await witness.add(submission(2, two("a", "c").replace("— log", "— Log")), stranger)).status, 403);
  assert.deepEqual(found, []);
  assert.equal((await witness.add(submission(2, two("a", "c")), stranger)).status, 422);
  assert.deepEqual(found, [
    { code: "forked", origin, witness: "witness.example/w1", kept: await witness.kept(origin), shown: two("a", "c") },
  ]);
  close();
});

test("a log this witness does not know is 404, whatever it signed, and leaves nothing behind", async () => {
  const { witness, close } = openTestWitness(fresh());
  const nobody = { isKeeper: false, keys: async () => null };
  assert.equal((await witness.add(submission(0, one("a")), nobody)).status, 404);
  assert.equal(await witness.kept(origin), null);
  close();
});

test("lines of unknown keys under a submitted checkpoint are not kept", async () => {
  const { witness, close } = openTestWitness(fresh());
  const line = one("a").split("\n\n")[1]?.replace(origin, "stranger.example") ?? "";
  assert.equal((await witness.add(submission(0, one("a") + line), keeperOf(vkey))).status, 200);
  assert.doesNotMatch((await witness.kept(origin)) ?? "", /stranger/);
  close();
});
