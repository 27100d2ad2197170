// `audit verify --policy` as the binary answers it: met, and by whom and when; not met, and why; a file that is none; a log whose cosigned end was cut off.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  askInProcess,
  closeTestLogs,
  cosign,
  grow,
  keeperOf,
  openTestLog,
  openTestWitness,
} from "@sallyport/kernel/witness/witnessed-log.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-audit-policy-"));
const log = join(folder, "log");
const year = String(new Date().getUTCFullYear());
const older = join(folder, "older");
let vkey = "";
let otherLog = "";
const names = ["notary", "auditor", "partner"] as const;
const keys: Record<string, string> = {};
let files = 0;

/** A log that two of three witnesses cosigned, and that has grown a little since. */
before(async () => {
  const young = await openTestLog(log);
  await grow(young, 10, 500);
  await young.close();
  cpSync(log, older, { recursive: true });
  const stranger = await openTestLog(join(folder, "stranger"));
  otherLog = stranger.verifierKey;
  await stranger.close();
  const opened = await openTestLog(log);
  const witnesses = names.map((name) =>
    openTestWitness(mkdtempSync(join(folder, "w-")), `witness.example/${name}`, Date.now),
  );
  for (const [i, { witness }] of witnesses.entries()) keys[names[i] ?? ""] = witness.verifierKey;
  const asked = witnesses.slice(0, 2).map(({ witness }) => askInProcess(witness, keeperOf(opened.verifierKey)));
  const { cosigning, faults } = cosign(opened, log, asked, Date.now);
  await grow(opened, 20);
  await cosigning.round();
  assert.deepEqual(faults, []);
  await grow(opened, 5, 100);
  vkey = opened.verifierKey;
  await opened.close();
  for (const { close } of witnesses) close();
});
after(async () => {
  await closeTestLogs();
  rmSync(folder, { recursive: true, force: true });
});

const lines = (...who: readonly string[]) => who.map((name) => `witness ${name} ${keys[name]}`);
function policy(...text: readonly string[]): string {
  const path = join(folder, `policy-${files++}`);
  writeFileSync(path, text.map((line) => `${line}\n`).join(""));
  return path;
}
const verify = (path: string, ...more: readonly string[]) =>
  runBinary(["audit", "verify", log, "--key", vkey, "--policy", path, ...more]);
const quorum = (asked: number) => [`group team ${asked} ${names.join(" ")}`, "quorum team"];

test("two of three: met, with how many leaves that covers, by whom and when", bounded, async () => {
  const path = policy(...lines(...names), ...quorum(2));
  const [words, json] = await Promise.all([verify(path), verify(path, "--json")]);
  assert.equal(words.exit, 0, words.err);
  const said = /^policy +met at (\d+) of (\d+) leaves, cosigned by notary \((\S+)\), auditor \((\S+)\)$/m.exec(
    words.out,
  );
  assert.ok(said !== null, words.out);
  assert.ok(Number(said[1]) < Number(said[2]));
  assert.ok(Math.abs(Date.parse(said[3] ?? "") - Date.now()) < 3_600_000);
  const { policy: report } = JSON.parse(json.out);
  assert.deepEqual([report.met, report.leaves, report.why], [true, Number(said[1]), null]);
  assert.deepEqual(
    report.cosigned.map(({ name }: { name: string }) => name),
    ["notary", "auditor"],
  );
});

test(
  "three of three, or a witness that never saw the log: not met, exit 1, with those who did cosign",
  bounded,
  async () => {
    const all = await verify(policy(...lines(...names), ...quorum(3)));
    assert.equal(all.exit, 1);
    assert.match(
      all.out,
      /^policy +not met: too few of the policy's witnesses .*; cosigned by notary \(.*\), auditor/m,
    );
    assert.match(all.out, /^no: the policy is not met; the leaves by themselves are whole/m, "the log itself is sound");
    const stranger = await verify(policy(...lines("partner"), "quorum partner"));
    assert.equal(stranger.exit, 1);
    assert.match(stranger.out, /not met: .*cosigned by nobody/);
  },
);

test("attack: a witness's name with another key, or the key of another log: not met", bounded, async () => {
  const swapped = await verify(policy(`witness notary ${keys["partner"]}`, "quorum notary"));
  assert.equal(swapped.exit, 1);
  assert.match(swapped.out, /not met: too few/);
  const elsewhere = await verify(policy(`log ${otherLog}`, ...lines("notary"), "quorum notary"));
  assert.equal(elsewhere.exit, 1);
  assert.match(elsewhere.out, /not met: its checkpoint is signed by no log of the policy/);
  const own = await verify(policy(`log ${vkey}`, ...lines("notary"), "quorum notary"));
  assert.equal(own.exit, 0);
});

test(
  "attack: an older copy is put back beside what was cosigned later: the leaves are held against it",
  bounded,
  async () => {
    const cut = join(folder, "cut");
    cpSync(older, cut, { recursive: true });
    cpSync(join(log, year, "cosigned"), join(cut, year, "cosigned"));
    const path = policy(...lines(...names), ...quorum(2));
    const { exit, out } = await runBinary(["audit", "verify", cut, "--key", vkey, "--policy", path]);
    assert.equal(exit, 1);
    assert.match(out, /^truncated: /m);
    assert.doesNotMatch(out, /^yes/m);
  },
);

test("a file that is no policy is bad use, with its line and the fix", bounded, async () => {
  for (const [text, says] of [
    [["witness notary x", "quorum notary"], /:1: not a policy: not a verifier key of a witness/],
    [[...lines("notary"), "quorum auditor"], /:2: not a policy: a name that no line before this one defines/],
    [[...lines("notary")], /no quorum line/],
    [[...lines("notary", "notary"), "quorum notary"], /:2: not a policy: the same witness key twice/],
    [[...lines(...names), "group team 4 notary auditor partner", "quorum team"], /:4: not a policy: /],
  ] as const) {
    const { exit, err } = await verify(policy(...text));
    assert.equal(exit, 2, err);
    assert.match(err, says);
  }
  const missing = await verify(join(folder, "nowhere"));
  assert.equal(missing.exit, 2);
});
