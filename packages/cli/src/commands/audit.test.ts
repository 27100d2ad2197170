import assert from "node:assert/strict";
import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-audit-"));
const log = join(folder, "log");
const keyFile = join(folder, "gateway.vkey");
const older = join(folder, "older");
const crossing = sampleId(3);
let folders = 0;

before(async () => {
  const opened = await openLog({ directory: log, identity: sampleIdentity, checkpointIntervalMs: 0 });
  for (let n = 0; n < 20; n++) {
    await opened.append(sampleLeaf("intent", n));
    await opened.append(sampleLeaf("outcome", n));
    if (n === 9) writeFileSync(older, await opened.checkpoint());
  }
  writeFileSync(keyFile, `${opened.verifierKey}\n`);
  await opened.close();
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A copy of the log in which `spoil` changed something. */
function copy(spoil: (year: string) => void = () => {}): string {
  const directory = join(folder, `copy-${folders++}`);
  cpSync(log, directory, { recursive: true });
  const [year = ""] = readdirSync(directory).filter((name) => /^\d{4}$/.test(name));
  spoil(join(directory, year));
  return directory;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function firstSegment(year: string): string {
  return join(year, "wal", readdirSync(join(year, "wal")).find((name) => name.endsWith(".wal")) ?? "");
}

test(
  "audit verify says size, root, signer, extension and completeness of a sound log, and is exit 0",
  bounded,
  async () => {
    const verify = ["audit", "verify", log];
    const [full, own, json] = await Promise.all([
      runBinary([...verify, "--key", keyFile, "--older", older]),
      runBinary(verify),
      runBinary([...verify, "--key", readFileSync(keyFile, "utf8").trim(), "--json"]),
    ]);
    assert.deepEqual([full.exit, full.err], [0, ""]);
    for (const said of [
      /^origin +sallyport\.local\/main\/production\/gw-1\/gateway\/\d{4}$/m,
      /checkpoint +(\d+) of \1 leaves, root [0-9a-f]{64}/,
      /^signer +sallyport\.local/m,
      /^extends +checkpoints of 1 file kept elsewhere/m,
      /^crossings +20: 20 intents, 20 outcomes, 0 of them found at recovery, 0 open/m,
      /^yes: \d+ leaves are whole, unchanged and complete/m,
    ])
      assert.match(full.out, said);
    assert.equal(own.exit, 0);
    assert.match(own.out, /nothing outside vouches for it/);
    assert.match(own.out, /no older checkpoint was given/);
    const report = JSON.parse(json.out);
    assert.deepEqual([report.ok, report.problems, report.keyFrom, report.counts.crossings], [true, [], "given", 20]);
    // What a script reads is what the signed note says, letter for letter.
    const [year = ""] = readdirSync(log).filter((name) => /^\d{4}$/.test(name));
    const [, size, root] = readFileSync(join(log, year, "checkpoint"), "utf8").split("\n");
    const [origin] = report.origins;
    assert.deepEqual([String(origin.size), origin.root, origin.checkpoint.root], [size, root, root]);
  },
);

test("audit verify is exit 1 and names the first bad leaf when one byte of a leaf was changed", bounded, async () => {
  const spoiled = copy((year) =>
    flip(firstSegment(year), readFileSync(firstSegment(year)).indexOf('"status":200') + 9),
  );
  const [words, json] = await Promise.all([
    runBinary(["audit", "verify", spoiled, "--key", keyFile]),
    runBinary(["audit", "verify", spoiled, "--key", keyFile, "--json"]),
  ]);
  assert.equal(words.exit, 1);
  assert.match(words.out, /^no: the first bad place is \w+: .*\.wal:\d+/m);
  assert.equal(JSON.parse(json.out).ok, false);
  assert.equal(json.err, "", "the result has said it already");
});

test(
  "attack: a log made anew by whoever owns the directory passes by itself and fails against the key or the checkpoint kept elsewhere",
  bounded,
  async () => {
    const forged = join(folder, "forged");
    const opened = await openLog({ directory: forged, identity: sampleIdentity, checkpointIntervalMs: 0 });
    for (let n = 0; n < 30; n++) await opened.append(sampleLeaf("crossing", n));
    await opened.close();
    // The thief has the log's key too and signs the forged history with it.
    const resigned = join(folder, "resigned");
    cpSync(forged, resigned, { recursive: true });
    for (const name of readdirSync(resigned))
      if (/^\d{4}$/.test(name)) rmSync(join(resigned, name), { recursive: true });
    copyFileSync(join(log, "log.key"), join(resigned, "log.key"));
    const again = await openLog({ directory: resigned, identity: sampleIdentity, checkpointIntervalMs: 0 });
    for (let n = 0; n < 30; n++) await again.append(sampleLeaf("crossing", n));
    await again.close();
    const [own, key, signed, kept] = await Promise.all([
      runBinary(["audit", "verify", forged]),
      runBinary(["audit", "verify", forged, "--key", keyFile]),
      runBinary(["audit", "verify", resigned, "--key", keyFile]),
      runBinary(["audit", "verify", resigned, "--key", keyFile, "--older", older]),
    ]);
    assert.deepEqual([own.exit, key.exit, signed.exit, kept.exit], [0, 1, 0, 1]);
    assert.match(own.out, /nothing outside vouches/);
    assert.match(kept.out, /^no: /m);
  },
);

test(
  "audit verify of a part says yes to that part alone, and names what it did not look at, in words and in JSON",
  bounded,
  async () => {
    const verify = ["audit", "verify", log, "--key", keyFile];
    const [range, json, kept, since, none, beyond] = await Promise.all([
      runBinary([...verify, "--from", "10", "--to", "19"]),
      runBinary([...verify, "--from", "10", "--to", "19", "--json"]),
      runBinary([...verify, "--from-checkpoint", older]),
      runBinary([...verify, "--since", "2026-01-01", "--until", "2100-01-01"]),
      runBinary([...verify, "--until", "2020-01-01", "--json"]),
      runBinary([...verify, "--from", "1000"]),
    ]);
    assert.deepEqual([range.exit, kept.exit, since.exit], [0, 0, 0], range.out + kept.out + since.out);
    assert.match(range.out, /^ {2}part {8}leaves 10 to 19 of the \d+ that are signed/m);
    assert.match(range.out, /^unchecked {2}sallyport\.local\S+: leaves 0 to 9 and leaves 20 to \d+ of \d+/m);
    assert.match(range.out, /^unchecked {2}whether whoever has the key cut its end off/m);
    assert.match(range.out, /^yes, of the part that was asked for: 10 leaves .* of nothing else$/m);
    assert.doesNotMatch(range.out, /whole, unchanged and complete/);
    const report = JSON.parse(json.out);
    assert.deepEqual([report.ok, report.isPart, report.leaves], [true, true, 10]);
    assert.deepEqual(report.origins[0].checked, { from: 10, to: 20 });
    assert.ok(report.notChecked.length >= 4);
    assert.match(kept.out, /^unchecked {2}\S+: leaves 0 to \d+ of \d+; of those only the hashes/m);
    assert.doesNotMatch(kept.out, /whether whoever has the key/);
    assert.equal(json.err, "");
    assert.deepEqual([none.exit, beyond.exit], [1, 1]);
    assert.match(JSON.parse(none.out).nothingChecked, /nothing was checked/);
    assert.match(
      beyond.out,
      /^no: no signed leaf lies in that range, so nothing was checked: \S+ has \d+ signed leaves/m,
    );
  },
);

test(
  "audit verify takes several logs, each under its own key, and one bad one makes the whole a no",
  bounded,
  async () => {
    const directory = join(folder, "second");
    const second = await openLog({
      directory,
      identity: { ...sampleIdentity, node: "gw-2" },
      checkpointIntervalMs: 0,
    });
    const note = await second.checkpoint();
    const keys = join(folder, "all.vkeys");
    writeFileSync(keys, `${readFileSync(keyFile, "utf8")}${second.verifierKey}\n`);
    const all = join(folder, "all.checkpoints");
    writeFileSync(all, `${readFileSync(older, "utf8")}\n${note}\n`);
    await second.close();
    const spoiled = copy((year) => flip(firstSegment(year), 200));
    const both = ["audit", "verify", log, directory];
    const [good, json, bad, missing] = await Promise.all([
      runBinary([...both, "--key", keys, "--older", all]),
      runBinary([...both, "--json"]),
      runBinary(["audit", "verify", spoiled, directory, "--key", keys]),
      runBinary([...both, "--key", keyFile, readFileSync(keyFile, "utf8").trim()]),
    ]);
    assert.equal(good.exit, 0, good.out);
    assert.equal(good.out.match(/^yes: \d+ leaves are whole/gm)?.length, 2);
    assert.match(good.out, /kept elsewhere; 1 in them are of other logs/);
    assert.match(good.out, /^yes: all 2 logs/m);
    const { ok, logs } = JSON.parse(json.out);
    assert.deepEqual([ok, logs.map((one: { directory: string }) => one.directory)], [true, [log, directory]]);
    assert.equal(bad.exit, 1);
    assert.ok(bad.out.endsWith(`no: 1 of 2 logs: ${spoiled}\n`), bad.out);
    assert.match(bad.out, /^yes: \d+ leaves are whole/m);
    assert.equal(missing.exit, 2);
    assert.match(missing.err, /none of the 2 keys is of it/);
  },
);

test(
  "attack: the log of one node stands in for another's: the archive's folder names it, and of directories it counts the logs",
  bounded,
  async () => {
    const archived = join(folder, "control", "archive", "main", "production");
    for (const node of ["gw-1", "gw-2"]) cpSync(log, join(archived, node), { recursive: true });
    const twice = copy();
    const verify = ["audit", "verify", join(folder, "control"), "--key", keyFile, "--archive"];
    const [own, other, both] = await Promise.all([
      runBinary([...verify, "gw-1"]),
      runBinary([...verify, "gw-2"]),
      runBinary(["audit", "verify", log, twice, "--key", keyFile]),
    ]);
    assert.deepEqual([own.exit, other.exit, both.exit], [0, 1, 0], own.err + other.out);
    assert.match(other.err, /gw-2 does not hold the log of main\/production\/gw-2 but \S+\/gw-1\/gateway\/\d{4}/);
    assert.match(both.out, /^yes: all 2 directories, which hold one log, each/m);
  },
);

test(
  "audit verify of a running log says no, and that --live exists; where more is wrong it does not",
  bounded,
  async () => {
    const directory = join(folder, "running");
    const opened = await openLog({ directory, identity: sampleIdentity, checkpointIntervalMs: 0 });
    await opened.append(sampleLeaf("crossing", 1));
    await opened.checkpoint();
    await opened.append(sampleLeaf("intent", 2));
    const [closed, live] = await Promise.all([
      runBinary(["audit", "verify", directory]),
      runBinary(["audit", "verify", directory, "--live"]),
    ]);
    assert.deepEqual([closed.exit, live.exit], [1, 0], closed.out + live.out);
    assert.match(closed.out, /^no: .*beyond the published checkpoint/m);
    assert.match(closed.out, /^fix: .*ask again with --live/m);
    assert.doesNotMatch(live.out, /^fix: /m);
    const spoiled = join(folder, "running-spoiled");
    cpSync(directory, spoiled, { recursive: true });
    await opened.close();
    const [year = ""] = readdirSync(spoiled).filter((name) => /^\d{4}$/.test(name));
    flip(firstSegment(join(spoiled, year)), 200);
    const wrong = await runBinary(["audit", "verify", spoiled]);
    assert.equal(wrong.exit, 1);
    assert.doesNotMatch(wrong.out, /^fix: /m);
  },
);

test("audit verify is exit 2 where there is no log, no key or no such file", bounded, async () => {
  const [none, key, file] = await Promise.all([
    runBinary(["audit", "verify", join(folder, "none")]),
    runBinary(["audit", "verify", log, "--key", "a+b+c"]),
    runBinary(["audit", "verify", log, "--older", join(folder, "none")]),
  ]);
  for (const { exit, out, err } of [none, key, file])
    assert.deepEqual([exit, out, err.startsWith("error: ")], [2, "", true]);
});

test(
  "audit show prints the leaves of a crossing as they were hashed, and is exit 1 when the log holds none",
  bounded,
  async () => {
    const [words, json, none] = await Promise.all([
      runBinary(["audit", "show", crossing, "--log", log]),
      runBinary(["audit", "show", crossing, "--log", log, "--json"]),
      runBinary(["audit", "show", sampleId(99), "--log", log]),
    ]);
    assert.equal(words.exit, 0);
    for (const leaf of [sampleLeaf("intent", 3), sampleLeaf("outcome", 3)])
      assert.ok(words.out.includes(Buffer.from(leaf).toString("latin1")));
    assert.deepEqual(
      JSON.parse(json.out).map(({ leaf }: { leaf: { t: string } }) => leaf.t),
      ["intent", "outcome"],
    );
    assert.equal(none.exit, 1);
    assert.match(none.err, /holds no leaf/);
  },
);

test(
  "a receipt made by audit prove is one file, which anyone checks with the key, and binds exactly its crossing",
  bounded,
  async () => {
    const receipt = join(folder, "receipt");
    const made = await runBinary(["audit", "prove", crossing, "--log", log, "--out", receipt]);
    assert.equal(made.exit, 0, made.err);
    assert.match(readFileSync(receipt, "utf8"), /^c2sp\.org\/tlog-proof@v1\nextra /);
    const altered = join(folder, "altered");
    copyFileSync(receipt, altered);
    flip(altered, 120);
    const quorum = join(folder, "quorum.policy");
    writeFileSync(quorum, `log ${readFileSync(keyFile, "utf8").trim()}\nquorum none\n`);
    const check = (file: string, ...more: string[]) => runBinary(["audit", "check-proof", file, ...more]);
    const [sound, json, policy, changed, other, none, again] = await Promise.all([
      check(receipt, "--key", keyFile),
      check(receipt, "--key", keyFile, "--json"),
      check(receipt, "--policy", quorum, "--crossing", crossing),
      check(altered, "--key", keyFile),
      check(receipt, "--key", keyFile, "--crossing", sampleId(4)),
      check(receipt),
      runBinary(["audit", "prove", crossing, "--log", log, "--out", receipt]),
    ]);
    assert.deepEqual(
      [sound, json, policy, changed, other, none, again].map(({ exit }) => exit),
      [0, 0, 0, 1, 1, 2, 2],
      `${sound.err} ${policy.err} ${policy.out}`,
    );
    assert.ok(sound.out.includes(crossing));
    assert.match(sound.out, /decided {3}\S+ allow: billing:invoice\.read/);
    const { valid, proven } = JSON.parse(json.out);
    assert.deepEqual([valid, proven.length], [true, 2]);
    assert.match(changed.out, /^no: /);
    assert.match(other.out, /^no: other-crossing: /);
    assert.match(again.err, /cannot be written/);
  },
);

test("a single leaf, which is no crossing's, has its proof and lies beside it", bounded, async () => {
  const proof = join(folder, "leaf-0");
  const made = await runBinary(["audit", "prove", "0", "--log", log, "--out", proof]);
  assert.equal(made.exit, 0, made.err);
  const altered = join(folder, "altered-leaf");
  copyFileSync(proof, altered);
  copyFileSync(`${proof}.leaf`, `${altered}.leaf`);
  flip(`${altered}.leaf`, 40);
  const check = (file: string, ...more: string[]) =>
    runBinary(["audit", "check-proof", file, "--key", keyFile, ...more]);
  const [sound, changed, swapped, policy] = await Promise.all([
    check(proof),
    check(altered),
    check(proof, "--leaf", join(folder, "altered-leaf.leaf")),
    check(proof, "--crossing", crossing),
  ]);
  assert.deepEqual([sound.exit, changed.exit, swapped.exit, policy.exit], [0, 1, 1, 2], sound.err);
  for (const { out } of [changed, swapped])
    assert.match(out, /^no: not-included: the leaf is not the one the proof is for/);
});
