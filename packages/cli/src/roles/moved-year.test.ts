// A year that has ended, moved away from a gateway by the very commands of docs/audit.md "Room over the years": what starts and verifies then, and what does not.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleId, sampleIdentity, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { runBinary } from "../program.test-support.ts";
import { openNodeLog } from "./node-log.ts";

const bounded = { timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "sallyport-moved-year-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = fileURLToPath(new URL("../../../../", import.meta.url));
const thisYear = new Date().getUTCFullYear();
const year = thisYear - 1;
const gateway = join(folder, "gateway");
const key = join(folder, "gateway.vkey");
/** Of a gateway: where its checkpoints are copied. */
const copiesOf = (data: string) => `${data}-checkpoints`;

/** As a gateway opens its log at a start, by the clock of today. */
function open(dataDirectory: string, checkpointCopy: string | null = copiesOf(dataDirectory)) {
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const { tenant, environment, region, node } = sampleIdentity;
  const identity = { tenant, environment, region, node } as Parameters<typeof openNodeLog>[0]["identity"];
  return openNodeLog({ dataDirectory, checkpointCopy, identity, logger: silent, ended: assert.ifError });
}

/** A start and an end. */
async function run(data: string, checkpointCopy?: null): Promise<void> {
  await (await open(data, checkpointCopy)).close();
}

const verify = (data: string) =>
  runBinary(["--json", "audit", "verify", join(data, "log"), "--key", key, "--older", copiesOf(data)]);

before(async () => {
  mkdirSync(gateway);
  const old = Log.open({
    ...{
      disk: realDisk(),
      directory: join(gateway, "log"),
      identity: sampleIdentity,
      now: () => Date.UTC(year, 11, 31),
    },
    ...{ checkpointCopies: copiesOf(gateway), lowSpaceBytes: 0, reserveBytes: 0 },
  });
  for (let n = 0; n < 600; n++) old.append([{ leaf: sampleLeaf("crossing", n) }]);
  // Under way when the year ends.
  old.append([{ leaf: sampleLeaf("intent", 700) }]);
  old.close();
  const opened = await open(gateway);
  await opened.append(sampleLeaf("crossing", 800));
  writeFileSync(key, `${opened.verifierKey}\n`);
  await opened.close();
});

/** A gateway of its own from which the year is moved as the page says, and where it went. */
async function moved(name: string) {
  const data = join(folder, name);
  const away = join(folder, `${name}-away`);
  cpSync(gateway, data, { recursive: true });
  cpSync(copiesOf(gateway), copiesOf(data));
  mkdirSync(away);
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  const binary = `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${join(root, "packages/cli/src/main.ts")}" "$@"\n`;
  writeFileSync(join(bin, "sallyport"), binary, { mode: 0o755 });
  const page = readFileSync(join(root, "docs/audit.md"), "utf8");
  const [, commands = ""] = /### Room over the years[\s\S]*?```sh\n([\s\S]*?)```/.exec(page) ?? [];
  assert.match(commands, /"\$log\/\$year\/removed"/);
  const log = join(data, "log");
  const env = { PATH: `${bin}:${process.env.PATH}`, log, away, year: String(year) };
  const said = await new Promise<string>((resolve, reject) => {
    execFile("/bin/sh", ["-euc", commands], { cwd: folder, env, timeout: 100_000 }, (error, out, err) =>
      error === null ? resolve(out) : reject(new Error(`${out}${err}`, { cause: error })),
    );
  });
  return { data, log, away, said };
}

test(
  "a gateway starts, goes on and verifies after a year was moved away as the page says, and the year verifies where it went",
  bounded,
  async () => {
    const { data, log, away, said } = await moved("as-said");
    assert.match(said, new RegExp(`/${year}\n[\\s\\S]*removed +its 603 leaves are not here`));
    assert.deepEqual(readdirSync(join(log, String(year))).toSorted(), ["checkpoint", "head", "removed", "state"]);
    const opened = await open(data);
    assert.match(opened.origin, new RegExp(`/${thisYear}$`));
    await opened.append(sampleLeaf("crossing", 801));
    assert.equal((await opened.find(sampleId(800))).length, 1);
    assert.deepEqual(await opened.find(sampleId(5)), [], "of the year that was moved nothing is found here");
    assert.equal((await opened.find(sampleId(700))).length, 1, "the outcome alone: it was written once, before");
    await opened.close();
    const here = await verify(data);
    assert.equal(here.exit, 0, here.out);
    const { origins, problems } = JSON.parse(here.out);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      origins.map(({ removed, size }: { removed?: boolean; size: number }) => [removed ?? false, size > 0]),
      [
        [true, true],
        [false, true],
      ],
    );
    const there = await runBinary(["audit", "verify", away, "--key", key, "--live"]);
    assert.equal(there.exit, 0, there.out);
    const shown = await runBinary(["audit", "show", sampleId(5), "--log", away]);
    assert.equal(shown.exit, 0, shown.err);
  },
);

test(
  "what is shown to control is the year's end as ever; whoever reads its records is told that they are not here",
  bounded,
  async () => {
    const { log } = await moved("shown");
    const faults: unknown[] = [];
    const held = openHeldLogs({ directories: () => [log], fault: (error) => faults.push(error) });
    const [old, present] = await held.origins();
    assert.deepEqual([old?.size, present?.origin.endsWith(`/${thisYear}`)], [603, true]);
    await assert.rejects(held.read(old?.origin ?? "", 0, 10), { code: "log-corrupt" });
    await held.close();
    assert.deepEqual(faults, []);
  },
);

test("a start without the state of the year before is refused until it is put back", bounded, async () => {
  const { data, log, away } = await moved("stateless");
  const state = join(log, String(year), "state");
  rmSync(state);
  await assert.rejects(run(data), { code: "log-rolled-back" });
  cpSync(join(away, String(year), "state"), state);
  await run(data);
  assert.equal((await verify(data)).exit, 0);
});

test(
  "a folder that is gone altogether is named by the start where checkpoints are copied, and by verification where they are not",
  bounded,
  async () => {
    const { data, log } = await moved("gone");
    rmSync(join(log, String(year)), { recursive: true });
    await assert.rejects(run(data), (error: Error) => {
      assert.ok(error.message.includes(`${join(log, String(year))} is missing; restore it`), error.message);
      return true;
    });
    await run(data, null);
    const { exit, out } = await verify(data);
    assert.equal(exit, 1);
    const kinds = JSON.parse(out).problems.map(({ kind }: { kind: string }) => kind);
    assert.deepEqual(kinds.toSorted(), ["crossing", "missing-origin"]);
  },
);
