// `npm run bench -- follow`: promises what following the log costs control per record, search index, edge figures and findings in their one thread, and
// what it costs the database, beside another checkout of this repository where one is given, in turns. Trusts the disk it runs on, and /proc for the
// database's processor time. Explained in RESULTS.md.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { startPostgres } from "../tools/postgres.ts";
import { median, rounded } from "./figures.ts";
import { busyLog } from "./follow/log.ts";
import type { Measured, MeasureOptions } from "./follow/measure.ts";
import { describeMachine } from "./machine.ts";

const usage = `usage: npm run bench -- follow [--records n] [--rounds n] [--folds search,edges,findings] [--postgres] [--against folder]

  --records n    records in the log, all of them to be caught up with (default 200000)
  --rounds n     how often each is measured, in turns (default 3)
  --folds        what follows (default: search,edges,findings, as in control)
  --postgres     the index lies in a PostgreSQL of its own, and what that costs is measured too
  --against dir  another checkout, measured in turns with this one
  --profile dir  write CPU profiles to <dir>-this and <dir>-other
`;

interface Side {
  readonly name: string;
  readonly checkout: string;
  readonly all: (Measured & { readonly serverCpuMs: number })[];
}

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "200000" },
    rounds: { type: "string", default: "3" },
    folds: { type: "string", default: "search,edges,findings" },
    postgres: { type: "boolean", default: false },
    against: { type: "string" },
    profile: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const records = Number(values.records);
const directory = mkdtempSync(join(tmpdir(), "bench-follow-"));
const server = values.postgres ? await startPostgres() : null;
let schemas = 0;

/** Milliseconds of processor that the server's processes have used, those that ended included. */
function serverCpuMs(postmaster: number): number {
  const ticks = (pid: string, fields: readonly number[]) => {
    if (!existsSync(`/proc/${pid}/stat`)) return 0;
    const all = statOf(pid);
    return fields.reduce((sum, field) => sum + Number(all[field] ?? 0), 0);
  };
  const children = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && parentOf(pid) === postmaster);
  // In hundredths of a second; user, system, and those of children that ended.
  const total =
    ticks(String(postmaster), [11, 12, 13, 14]) + children.reduce((sum, pid) => sum + ticks(pid, [11, 12]), 0);
  return total * 10;
}

/** Fields of /proc/<pid>/stat behind the name. */
function statOf(pid: string): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function parentOf(pid: string): number {
  try {
    return Number(statOf(pid)[1]);
  } catch {
    // Ended meanwhile.
    return 0;
  }
}

async function postmasterOf(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  const parent = parentOf(String(rows[0]?.pid));
  await client.end();
  return parent;
}

function measure(side: Side, postmaster: number | null): void {
  const dataDirectory = join(directory, `data-${side.name}`);
  rmSync(dataDirectory, { recursive: true, force: true });
  cpSync(join(directory, "source"), dataDirectory, { recursive: true });
  renameSync(join(dataDirectory, "log"), join(dataDirectory, "log-to-come"));
  schemas += 1;
  const index = server === null ? null : { url: server.url, schema: `bench_${schemas}_search` };
  const options: MeasureOptions = { checkout: side.checkout, dataDirectory, folds: values.folds.split(","), index };
  const before = postmaster === null ? 0 : serverCpuMs(postmaster);
  const flags = values.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${values.profile}-${side.name}`];
  const file = join(import.meta.dirname, "follow/measure.ts");
  const run = spawnSync(process.execPath, [...flags, file, JSON.stringify(options)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (run.status !== 0) throw new Error(`${side.name} could not be measured`);
  const after = postmaster === null ? 0 : serverCpuMs(postmaster);
  // One line, of measure.ts.
  side.all.push({ ...(JSON.parse(run.stdout) as Measured), serverCpuMs: after - before });
}

function figuresOf({ all }: Side) {
  const perS = (ms: number) => rounded((records / ms) * 1_000, 0);
  return {
    per_cpu_s: perS(median(all.map(({ cpuMs }) => cpuMs))),
    per_cpu_s_best: perS(Math.min(...all.map(({ cpuMs }) => cpuMs))),
    per_s: perS(median(all.map(({ ms }) => ms))),
    per_s_best: perS(Math.min(...all.map(({ ms }) => ms))),
    server_cpu_us: rounded((median(all.map(({ serverCpuMs }) => serverCpuMs)) * 1_000) / records, 1),
  };
}

try {
  const log = await busyLog(join(directory, "source"), 1);
  await log.append(records);
  await log.close();
  const postmaster = server === null ? null : await postmasterOf(server.url);
  const sides: Side[] = [{ name: "this", checkout: resolve(import.meta.dirname, ".."), all: [] }];
  if (values.against !== undefined) sides.push({ name: "other", checkout: resolve(values.against), all: [] });
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const side of sides) measure(side, postmaster);
  }
  const figures = Object.fromEntries(sides.map((side) => [side.name, figuresOf(side)]));
  for (const [name, figure] of Object.entries(figures))
    process.stdout.write(`${name.padEnd(6)} ${JSON.stringify(figure)}\n`);
  const machine = describeMachine();
  const what = { store: server === null ? "sqlite" : "postgres", folds: values.folds, records };
  process.stdout.write(`${JSON.stringify({ bench: "follow", ...what, figures: { machine, ...figures } })}\n`);
} finally {
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
}
