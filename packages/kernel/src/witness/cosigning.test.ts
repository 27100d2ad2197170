// A real log in its thread and its witnesses: what is collected, what is published, and every way of taking history back, caught.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseWitnessKey, verifyCosignatures } from "@sallyport/protocol/audit/cosignature.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import { verifyLogDirectory } from "../log/verify.ts";
import type { AskedWitness } from "./cosigning.ts";
import { cosignedNotesMax, withCosigned } from "./own-log.ts";
import {
  askInProcess,
  closeTestLogs,
  cosign,
  grow,
  keeperOf,
  openTestLog,
  openTestWitness,
} from "./witnessed-log.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-cosigning-"));
after(async () => {
  await closeTestLogs();
  rmSync(folder, { recursive: true, force: true });
});
const fresh = () => mkdtempSync(join(folder, "c-"));
const year = (directory: string, name: string) => readFileSync(join(directory, String(thisYear), name), "utf8");
const thisYear = new Date().getUTCFullYear();
const sizeOf = (note: string) => parseCheckpointBody(parseNote(note)?.text ?? "")?.size;

/** Which of the keys cosigned the note. */
function cosigners(note: string, verifierKeys: readonly string[]): readonly string[] {
  const keys = verifierKeys.flatMap((text) => parseWitnessKey(sha256, text) ?? []);
  const verdict = verifyCosignatures(noteCrypto, note, keys);
  assert.ok(verdict.kind === "ok");
  return verdict.cosigned.map(({ witness }) => witness.name);
}

test("the published checkpoint carries the lines of every witness, survives a restart, and verifies as before", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  const [a, b] = [openTestWitness(fresh(), "witness.example/a"), openTestWitness(fresh(), "witness.example/b")];
  await grow(log, 300);
  const asked = [a, b].map(({ witness }) => askInProcess(witness, keeperOf(log.verifierKey)));
  const { cosigning, faults } = cosign(log, directory, asked);
  await cosigning.round();
  const keys = [a.witness.verifierKey, b.witness.verifierKey];
  const both = ["witness.example/a", "witness.example/b"];
  assert.deepEqual(cosigners(year(directory, "checkpoint"), keys).toSorted(), both);
  await grow(log, 300, 300);
  await cosigning.round();
  assert.deepEqual(cosigners(year(directory, "checkpoint"), keys).toSorted(), both);
  assert.deepEqual(faults, []);
  const { verifierKey } = log;
  const cosigned = year(directory, "checkpoint");
  await log.close();
  assert.equal(year(directory, "checkpoint"), cosigned, "nothing was appended, so the close signs nothing new");
  assert.ok(verifyLogDirectory(directory, { verifierKey }).ok);
  const again = await openTestLog(directory);
  await again.close();
  assert.ok(verifyLogDirectory(directory, { verifierKey, olderCheckpoints: [cosigned] }).ok);
  assert.equal(year(directory, "cosigned"), `${cosigned}\n`, "one newer note with every line has replaced the first");
  a.close();
  b.close();
});

test("a restarted log goes on from what its witnesses cosigned, without asking them for the size", async () => {
  const directory = fresh();
  const w = openTestWitness(fresh());
  const asked: string[] = [];
  const spied = (verifierKey: string): AskedWitness => {
    const witness = askInProcess(w.witness, keeperOf(verifierKey));
    return {
      ...witness,
      submit: (body) => {
        asked.push(body.slice(0, body.indexOf("\n")));
        return witness.submit(body);
      },
    };
  };
  for (const from of [0, 50]) {
    const log = await openTestLog(directory);
    await grow(log, 50, from);
    await cosign(log, directory, [spied(log.verifierKey)]).cosigning.round();
    await log.close();
  }
  assert.deepEqual(asked, ["old 0", "old 52"]);
  w.close();
});

test("a witness that does not answer delays no append and no other witness, is left in peace for a while, and catches up", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  const [good, slow] = [
    openTestWitness(fresh(), "witness.example/good"),
    openTestWitness(fresh(), "witness.example/slow"),
  ];
  let isAway = true;
  let tries = 0;
  const away = askInProcess(slow.witness, keeperOf(log.verifierKey));
  const asked: AskedWitness = {
    ...away,
    submit: (body) => {
      tries += 1;
      return isAway ? Promise.reject(new Error("connection refused")) : away.submit(body);
    },
  };
  const { cosigning, faults, wait } = cosign(log, directory, [
    asked,
    askInProcess(good.witness, keeperOf(log.verifierKey)),
  ]);
  for (let i = 0; i < 5; i++) {
    await grow(log, 5, i * 5);
    await cosigning.round();
  }
  assert.equal(tries, 1, "its pause lasts 5 s at first");
  assert.deepEqual(faults, ["witness.example/slow: connection refused"]);
  assert.equal(good.witness.name, cosigners(year(directory, "checkpoint"), [good.witness.verifierKey])[0]);
  isAway = false;
  wait(5_000);
  await cosigning.round();
  assert.equal(cosigning.standings().find(({ name }) => name === "witness.example/slow")?.fault, null);
  assert.equal(cosigners(year(directory, "checkpoint"), [slow.witness.verifierKey]).length, 1);
  await log.close();
  good.close();
  slow.close();
});

/** A log of 40 leaves whose copy is kept, grown to 80 and cosigned there; then the copy is put back. */
async function rolledBack() {
  const directory = fresh();
  const backup = join(fresh(), "backup");
  const first = await openTestLog(directory);
  await grow(first, 40);
  await first.close();
  cpSync(directory, backup, { recursive: true });
  const second = await openTestLog(directory);
  await grow(second, 40, 100);
  const w = openTestWitness(fresh());
  await cosign(second, directory, [askInProcess(w.witness, keeperOf(second.verifierKey))]).cosigning.round();
  await second.close();
  rmSync(directory, { recursive: true });
  cpSync(backup, directory, { recursive: true });
  return { directory, w };
}

test("attack: an older copy of the log is put back, key and all: the log's own client and the witness both say rolled-back, with both notes", async () => {
  const { directory, w } = await rolledBack();
  const log = await openTestLog(directory);
  const { cosigning, found, faults } = cosign(log, directory, [askInProcess(w.witness, keeperOf(log.verifierKey))]);
  await cosigning.round();
  assert.deepEqual(
    [found, w.found].map((list) => list.map(({ code, kept, shown }) => [code, sizeOf(kept), sizeOf(shown)])),
    [[["rolled-back", 83, 43]], [["rolled-back", 83, 43]]],
  );
  assert.match(faults[0] ?? "", /another history .*rolled-back/);
  assert.doesNotMatch(year(directory, "checkpoint"), /witness\.example/);
  await log.close();
  w.close();
});

test("attack: put back and grown beyond what was cosigned, so that no size gives it away: a split view, never cosigned", async () => {
  const { directory, w } = await rolledBack();
  const log = await openTestLog(directory);
  await grow(log, 60, 500);
  const { cosigning, found } = cosign(log, directory, [askInProcess(w.witness, keeperOf(log.verifierKey))]);
  await cosigning.round();
  assert.deepEqual(
    found.map(({ code, kept, shown }) => [code, sizeOf(kept), sizeOf(shown)]),
    [["split-view", 83, 103]],
  );
  assert.deepEqual(
    w.found.map(({ code }) => code),
    ["split-view"],
  );
  assert.equal(sizeOf((await w.witness.kept(log.origin)) ?? ""), 83);
  await log.close();
  w.close();
});

test("attack: put back and grown to the very size that was cosigned: a fork, by two signatures of the log's own", async () => {
  const { directory, w } = await rolledBack();
  const log = await openTestLog(directory);
  await grow(log, 40, 500);
  const { cosigning, found } = cosign(log, directory, [askInProcess(w.witness, keeperOf(log.verifierKey))]);
  await cosigning.round();
  assert.deepEqual(
    [...found, ...w.found].map(({ code, kept, shown }) => [code, sizeOf(kept), sizeOf(shown)]),
    // The witness was asked twice: as if it had cosigned nothing, then from the size it named.
    Array(3).fill(["forked", 83, 83]),
  );
  await log.close();
  w.close();
});

test("attack: a copy of the directory runs beside it: whichever comes second is refused, and it knows", async () => {
  const directory = fresh();
  const first = await openTestLog(directory);
  await grow(first, 10);
  await first.close();
  const copy = join(fresh(), "copy");
  cpSync(directory, copy, { recursive: true });
  const w = openTestWitness(fresh());
  const [one, two] = [await openTestLog(directory), await openTestLog(copy)];
  await grow(one, 5, 100);
  await grow(two, 9, 200);
  const asked = askInProcess(w.witness, keeperOf(one.verifierKey));
  const [mine, theirs] = [cosign(one, directory, [asked]), cosign(two, copy, [asked])];
  await mine.cosigning.round();
  await theirs.cosigning.round();
  assert.deepEqual([mine.found, theirs.found.map(({ code }) => code)], [[], ["split-view"]]);
  await Promise.all([one.close(), two.close()]);
  w.close();
});

test("attack: a witness that was itself put back: it is told from the log, with its own cosignature as evidence", async () => {
  const directory = fresh();
  const place = fresh();
  const log = await openTestLog(directory);
  const before = openTestWitness(place);
  const older = join(fresh(), "older");
  await grow(log, 5);
  const ask = (witness: typeof before.witness) => [askInProcess(witness, keeperOf(log.verifierKey))];
  await cosign(log, directory, ask(before.witness)).cosigning.round();
  cpSync(place, older, { recursive: true });
  await grow(log, 5, 100);
  await cosign(log, directory, ask(before.witness)).cosigning.round();
  before.close();
  rmSync(place, { recursive: true });
  cpSync(older, place, { recursive: true });
  const put = openTestWitness(place);
  const { cosigning, found } = cosign(log, directory, ask(put.witness));
  await grow(log, 5, 200);
  await cosigning.round();
  assert.deepEqual(
    found.map(({ code, kept, shown }) => [code, sizeOf(kept), sizeOf(shown)]),
    [["witness-rolled-back", 12, 7]],
  );
  assert.deepEqual(put.found, []);
  await log.close();
  put.close();
});

test("attack: a witness that answers with anything but its own cosignature, or with a checkpoint of a stranger, moves nothing", async () => {
  const directory = fresh();
  const log = await openTestLog(directory);
  await grow(log, 3);
  const w = openTestWitness(fresh());
  const asked = askInProcess(w.witness, keeperOf(log.verifierKey));
  const answers = [
    { status: 200, body: "" },
    { status: 200, body: "\u2014 witness.example/w1 AAAA\n" },
    { status: 409, body: "many\n" },
    { status: 409, body: "99\n" },
    { status: 422, body: "" },
    { status: 500, body: "down" },
    { status: 301, body: "" },
  ];
  for (const answer of answers) {
    const lying: AskedWitness = { ...asked, submit: async () => answer, kept: async () => "log\n1\nAA==\n\n" };
    const { cosigning, found, faults } = cosign(log, directory, [lying]);
    await cosigning.round();
    assert.equal(faults.length, 1, JSON.stringify(answer));
    assert.deepEqual(found, [], "no finding without a checkpoint that this log signed");
  }
  assert.doesNotMatch(year(directory, "checkpoint"), /witness\.example/);
  await log.close();
  w.close();
});

test("what is kept beside the log: a cosigned checkpoint stays until a newer one has every line it has, at most 16", () => {
  const note = (size: number, ...names: readonly string[]) =>
    `o\n${size}\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n${names.map((name) => `\u2014 ${name} AAAAAAA=\n`).join("")}`;
  const [both, a, b] = [note(1, "a", "b"), note(2, "a"), note(3, "b")];
  let kept = [both, a, b].reduce<readonly string[]>(withCosigned, []);
  assert.deepEqual(kept, [both, a, b]);
  kept = withCosigned(kept, note(4, "a", "b"));
  assert.deepEqual(kept, [note(4, "a", "b")]);
  const many = Array.from({ length: 40 }, (_, i) => note(i, `n${i}`)).reduce<readonly string[]>(withCosigned, []);
  assert.equal(many.length, cosignedNotesMax);
});
