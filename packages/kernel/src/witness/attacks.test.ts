// Witnesses outside that lie, and logs that are shown in two ways, over real sockets: what a client keeps, what it says, and what a reader's policy makes of it.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { printWitnessKey, signCosignature } from "@sallyport/protocol/audit/cosignature.ts";
import { type NoteSigner, parseNote } from "@sallyport/protocol/audit/note.ts";
import { parseSubmission } from "@sallyport/protocol/audit/witness-request.ts";
import { createDialer } from "../dial/dialer.ts";
import type { OpenedLog } from "../log/log-client.ts";
import { sha256 } from "../log/log-crypto.ts";
import { realDisk } from "../log/real-disk.ts";
import { verifyLogDirectory } from "../log/verify.ts";
import type { AskedWitness } from "./cosigning.ts";
import {
  type Answered,
  closeServedWitnesses,
  type Given,
  serveAnswers,
  serveWitness,
} from "./http-witness.test-support.ts";
import { openHttpWitness } from "./http-witness.ts";
import { cosignedNotes, judgeLog, quorumPolicy } from "./judge-log.ts";
import { OutsideSet } from "./outside-set.ts";
import { closeTestLogs, cosign, grow, keeperOf, openTestLog, openTestWitness } from "./witnessed-log.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-witness-attacks-"));
const opened: { close(): Promise<void> }[] = [];
after(async () => {
  for (const one of opened) await one.close();
  await closeServedWitnesses();
  await closeTestLogs();
  rmSync(folder, { recursive: true, force: true });
});
const fresh = () => mkdtempSync(join(folder, "a-"));
const now = 1_800_000_000_000;
const seconds = now / 1_000;
const dialer = createDialer();
const thisYear = String(new Date().getUTCFullYear());

function keyOf(name: string): NoteSigner {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey: raw, sign: (text) => new Uint8Array(sign(null, text, privateKey)) };
}
const vkeyOf = ({ name, publicKey }: NoteSigner) => printWitnessKey(sha256, name, publicKey);

function ask(url: string, key: string, timeoutMs = 5_000): AskedWitness {
  const witness = openHttpWitness(dialer, { url, key, allowPrivate: true }, timeoutMs);
  opened.push(witness);
  return witness;
}

const cosignedAt = (directory: string) => cosignedNotes(realDisk(), directory);
const bodyOf = (given: Given) => parseSubmission(given.body)?.body ?? assert.fail("no submission");

/** A log of a few leaves and a witness in whose place `answer` speaks. */
async function lied(answer: (given: Given, liar: NoteSigner) => Promise<Answered | null>, timeoutMs?: number) {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const liar = keyOf("witness.example/liar");
  const served = await serveAnswers((given) => answer(given, liar));
  const tried = cosign(log, directory, [ask(served.url, vkeyOf(liar), timeoutMs)]);
  await tried.cosigning.round();
  return { directory, log, served, liar, ...tried };
}

/** Nothing of what was answered is beside the log, and the log goes on. */
async function assertNothingKept({ directory, log, found, faults }: Awaited<ReturnType<typeof lied>>, why: RegExp) {
  assert.match(faults.join("\n"), why);
  assert.deepEqual(found, []);
  assert.ok(!existsSync(join(directory, thisYear, "cosigned")));
  await grow(log, 1, 50);
  const { verifierKey } = log;
  await log.close();
  assert.doesNotMatch(readFileSync(join(directory, thisYear, "checkpoint"), "utf8"), /liar/);
  assert.ok(verifyLogDirectory(directory, { verifierKey }).ok);
}

const answers: readonly (readonly [string, RegExp, (given: Given, liar: NoteSigner) => Answered])[] = [
  [
    "bytes that are no UTF-8",
    /encoded data was not valid/,
    () => ({ status: 200, body: Uint8Array.of(0xe2, 0x80, 0xff) }),
  ],
  ["an answer of 600 KiB", /longer than 524288 bytes/, () => ({ status: 200, body: "\u2014 x AAAA\n".repeat(60_000) })],
  ["a page of HTML", /no cosignature by its key/, () => ({ status: 200, body: "<html>welcome</html>\n" })],
  ["a redirect", /it answered 307/, () => ({ status: 307, headers: { location: "http://127.0.0.1:1/" }, body: "" })],
  ["a conflict without a size", /it answered 409/, () => ({ status: 409, body: "" })],
  [
    "a line of its key over another origin",
    /no cosignature by its key/,
    (given, liar) => ({
      status: 200,
      body: signCosignature(sha256, bodyOf(given).replace(/^[^\n]+/, "log.example/other"), seconds, liar),
    }),
  ],
  [
    "a line of its key over another size",
    /no cosignature by its key/,
    (given, liar) => ({
      status: 200,
      body: signCosignature(sha256, bodyOf(given).replace(/\n\d+\n/, "\n1\n"), seconds, liar),
    }),
  ],
  [
    "a cosignature dated a year ahead",
    /dated 2028-/,
    (given, liar) => ({
      status: 200,
      body: signCosignature(sha256, bodyOf(given), seconds + 366 * 86_400, liar),
    }),
  ],
  [
    "a cosignature dated a year ago",
    /dated 2026-/,
    (given, liar) => ({
      status: 200,
      body: signCosignature(sha256, bodyOf(given), seconds - 365 * 86_400, liar),
    }),
  ],
  [
    "a cosignature beyond any calendar",
    /beyond any calendar/,
    (given, liar) => ({
      status: 200,
      body: signCosignature(sha256, bodyOf(given), Number.MAX_SAFE_INTEGER, liar),
    }),
  ],
];
for (const [what, why, answer] of answers)
  test(`attack: a witness answers with ${what}: nothing is kept, and the log goes on`, async () => {
    await assertNothingKept(await lied(async (given, liar) => answer(given, liar)), why);
  });

test("attack: a witness that never answers is given up, and the others are not held up by it", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const good = openTestWitness(fresh(), "witness.example/good");
  const [silent, honest] = [
    await serveAnswers(async () => null),
    await serveWitness(good.witness, keeperOf(log.verifierKey, false), [log.origin]),
  ];
  const key = vkeyOf(keyOf("witness.example/silent"));
  const asked = [ask(silent.url, key, 150), ask(honest.url, good.witness.verifierKey)];
  const { cosigning, faults } = cosign(log, directory, asked);
  await cosigning.round();
  assert.equal(silent.asked.length, 1);
  assert.match(faults.join("\n"), /^witness\.example\/silent: /);
  assert.match(readFileSync(join(directory, thisYear, "checkpoint"), "utf8"), /witness\.example\/good/);
  await cosigning.round();
  assert.equal(silent.asked.length, 1, "it is left in peace for a while");
  await log.close();
  good.close();
});

test("attack: a witness shows an old cosignature again, of the checkpoint before: nothing newer is thought witnessed", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  const liar = keyOf("witness.example/liar");
  let first: string | null = null;
  const served = await serveAnswers(async (given) => {
    first ??= signCosignature(sha256, bodyOf(given), seconds, liar);
    return { status: 200, body: first };
  });
  await grow(log, 3);
  const { cosigning, faults } = cosign(log, directory, [ask(served.url, vkeyOf(liar))]);
  await cosigning.round();
  const before = cosignedAt(directory)[0] ?? assert.fail("the first one is good");
  await grow(log, 3, 50);
  await cosigning.round();
  assert.match(faults.join("\n"), /no cosignature by its key/);
  assert.equal(cosigning.standings()[0]?.cosigned.get(log.origin), Number(before.split("\n")[1]));
  assert.doesNotMatch(readFileSync(join(directory, thisYear, "checkpoint"), "utf8"), /liar/);
  await log.close();
});

test("attack: a witness names another size each time: two requests a round, then a pause, never a loop", async () => {
  let size = 0;
  const { served, faults, found, cosigning, wait, log } = await lied(async () => {
    size = (size + 1) % 3;
    return { status: 409, body: `${size}\n` };
  });
  assert.equal(served.asked.length, 2);
  assert.deepEqual([faults.length, found], [1, []]);
  await cosigning.round();
  assert.equal(served.asked.length, 2);
  wait(5_000);
  await cosigning.round();
  assert.equal(served.asked.length, 4);
  await log.close();
});

test("attack: a witness's key is swapped in the estate: what the old one says is not taken for the new one's, and a reader with the old key sees it", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const honest = openTestWitness(fresh(), "witness.example/w1");
  const served = await serveWitness(honest.witness, keeperOf(log.verifierKey, false), [log.origin]);
  const thief = keyOf("witness.example/w1");
  const stolen = await serveAnswers(async (given) =>
    given.method === "POST"
      ? { status: 200, body: signCosignature(sha256, bodyOf(given), seconds, thief) }
      : { status: 404, body: "" },
  );
  const set = new OutsideSet(() => dialer, []);
  opened.push(set);
  const named = (url: string, key: string) => [{ url, key, allowPrivate: true }];
  const reader = (key: string) => {
    const at = { verifierKey: log.verifierKey, now };
    const verdict = judgeLog(quorumPolicy([key], 1), cosignedAt(directory), at);
    return verdict?.kind === "ok" ? verdict.checkpoint.size : verdict?.why;
  };
  const round = async (url: string, key: string) => {
    set.take(named(url, key));
    const tried = cosign(log, directory, set.asked());
    await tried.cosigning.round();
    return tried.faults;
  };
  assert.deepEqual(await round(served.url, honest.witness.verifierKey), []);
  const size = log.size();
  await grow(log, 5, 50);
  assert.match(
    (await round(served.url, vkeyOf(thief))).join(),
    /no cosignature by its key|another history|does not follow/,
  );
  assert.deepEqual(await round(stolen.url, vkeyOf(thief)), []);
  assert.equal(reader(vkeyOf(thief)), log.size(), "the thief's own reader is deceived");
  assert.equal(reader(honest.witness.verifierKey), size, "a reader with the key of before is not");
  await log.close();
  honest.close();
});

test("attack: a witness shows a checkpoint that it did not cosign, or that another log signed, in place of a cosignature: nothing is held against the log", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const copy = join(fresh(), "copy");
  cpSync(directory, copy, { recursive: true, filter: (path) => !path.endsWith("lock") });
  const [fork, stranger] = [await openTestLog(copy), await openTestLog(fresh())];
  for (const other of [fork, stranger]) await grow(other, 9, 200);
  const liar = keyOf("witness.example/liar");
  const line = (note: string, by = liar) => signCosignature(sha256, parseNote(note)?.text ?? "", seconds, by);
  const [forked, strange] = [await fork.checkpoint(), await stranger.checkpoint()];
  const shown = {
    forked: forked,
    elsewhere: forked + line(forked, keyOf(liar.name)),
    strange: strange + line(strange),
  };
  for (const [what, kept] of Object.entries(shown)) {
    const served = await serveAnswers(async ({ method }) =>
      method === "POST" ? { status: 422, body: "" } : { status: 200, body: kept },
    );
    const { cosigning, found, faults } = cosign(log, directory, [ask(served.url, vkeyOf(liar))]);
    await cosigning.round();
    assert.match(faults.join("\n"), /shows no checkpoint that this log and it signed/, what);
    assert.deepEqual(found, [], what);
  }
  const served = await serveAnswers(async ({ method }) =>
    method === "POST" ? { status: 422, body: "" } : { status: 200, body: forked + line(forked) },
  );
  const { cosigning, found } = cosign(log, directory, [ask(served.url, vkeyOf(liar))]);
  await cosigning.round();
  assert.deepEqual(
    found.map(({ code }) => code),
    ["rolled-back"],
    "what both signed is certain",
  );
  await Promise.all([log, fork, stranger].map((one) => one.close()));
});

/** Two copies of one log that went on differently, and witnesses: one of them cosigns whatever it is shown. */
async function forked(honest: number) {
  const one = fresh();
  const first = await openTestLog(one);
  await grow(first, 10);
  await first.close();
  const two = join(fresh(), "copy");
  cpSync(one, two, { recursive: true });
  const logs: readonly [OpenedLog, OpenedLog] = [await openTestLog(one), await openTestLog(two)];
  await grow(logs[0], 5, 100);
  await grow(logs[1], 5, 200);
  const liar = keyOf("witness.example/liar");
  const willing = await serveAnswers(async (given) => ({
    status: 200,
    body: signCosignature(sha256, bodyOf(given), seconds, liar),
  }));
  const witnesses = Array.from({ length: honest }, (_, i) => openTestWitness(fresh(), `witness.example/h${i}`));
  const from = keeperOf(logs[0].verifierKey, false);
  const served = await Promise.all(witnesses.map(({ witness }) => serveWitness(witness, from, [logs[0].origin])));
  const asked = [
    ask(willing.url, vkeyOf(liar)),
    ...served.map(({ url }, i) => ask(url, witnesses[i]?.witness.verifierKey ?? "")),
  ];
  const keys = [vkeyOf(liar), ...witnesses.map(({ witness }) => witness.verifierKey)];
  const met = (directory: string, quorum: number) => {
    const at = { verifierKey: logs[0].verifierKey, now };
    return judgeLog(quorumPolicy(keys, quorum), cosignedAt(directory), at)?.kind === "ok";
  };
  const close = async () => {
    await Promise.all(logs.map((log) => log.close()));
    for (const { close: end } of witnesses) end();
  };
  return { directories: [one, two] as const, logs, asked, met, close };
}

test("attack: a log is shown to two readers in two ways, and one of four witnesses cosigns both: with three of four only one reader is satisfied", async () => {
  const { directories, logs, asked, met, close } = await forked(3);
  // Each copy reaches as many honest witnesses as it can: the first comes to all, the second is late.
  const mine = cosign(logs[0], directories[0], asked);
  await mine.cosigning.round();
  const theirs = cosign(logs[1], directories[1], asked);
  await theirs.cosigning.round();
  assert.deepEqual([met(directories[0], 3), met(directories[1], 3)], [true, false]);
  assert.ok(met(directories[1], 1), "a quorum of one would have believed both");
  assert.deepEqual([mine.found, [...new Set(theirs.found.map(({ code }) => code))]], [[], ["forked"]]);
  // Both notes are signed by the log: whoever has the two has the proof.
  const { kept, shown } = theirs.found[0] ?? assert.fail("no finding");
  const [a, b] = [parseNote(kept)?.text.split("\n"), parseNote(shown)?.text.split("\n")];
  assert.deepEqual([a?.[0], a?.[1]], [b?.[0], b?.[1]]);
  assert.notEqual(a?.[2], b?.[2]);
  await close();
});

test("attack: each half of the witnesses is shown its own history: a quorum of half believes both, a majority neither or one", async () => {
  const { directories, logs, asked, met, close } = await forked(3);
  const [, a, b, c] = asked;
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  await cosign(logs[0], directories[0], [a, b]).cosigning.round();
  await cosign(logs[1], directories[1], [c]).cosigning.round();
  assert.deepEqual([met(directories[0], 1), met(directories[1], 1)], [true, true]);
  assert.deepEqual([met(directories[0], 2), met(directories[1], 2)], [true, false]);
  await close();
});

test("attack: a cosignature dated in the future does not count for a reader, though everything else about it is right", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const { witness, close } = openTestWitness(fresh(), "witness.example/w1", () => now + 3 * 86_400_000);
  const served = await serveWitness(witness, keeperOf(log.verifierKey, false), [log.origin]);
  const early = cosign(log, directory, [ask(served.url, witness.verifierKey)], () => now + 3 * 86_400_000);
  await early.cosigning.round();
  assert.deepEqual(early.faults, []);
  const policy = quorumPolicy([witness.verifierKey], 1);
  const at = (ms: number) => judgeLog(policy, cosignedAt(directory), { verifierKey: log.verifierKey, now: ms });
  const today = at(now);
  assert.deepEqual(today?.kind === "refused" && today.why, "no-quorum");
  assert.equal(at(now + 3 * 86_400_000)?.kind, "ok");
  await log.close();
  close();
});
