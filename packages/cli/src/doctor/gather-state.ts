// Promises facts of what a data directory keeps: store, logs, certificates. Opens for reading only.
// Trusts the readers of the parts themselves. Specified in docs/cli/doctor.md "Checks".
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { readOwnCheckpoint } from "@sallyport/kernel/log/checkpoint-files.ts";
import { loadLogKey } from "@sallyport/kernel/log/log-crypto.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { parseCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import type { DatedFacts, LogFacts, SqliteFacts } from "./decide-state.ts";

export function gatherSqlite(path: string): SqliteFacts {
  if (!existsSync(path)) return { kind: "absent" };
  const from = performance.now();
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      const rows = database.prepare("PRAGMA quick_check(5)").all();
      const problems = rows.map((row) => String(row["quick_check"])).filter((text) => text !== "ok");
      return { kind: "read", problems, bytes: statSync(path).size, ms: performance.now() - from };
    } finally {
      database.close();
    }
  } catch (error) {
    return { kind: "unreadable", why: wordsOf(error) };
  }
}

export function gatherLog(role: LogFacts["role"], directory: string): LogFacts {
  const years = existsSync(directory) ? readdirSync(directory).filter((name) => /^\d{4}$/.test(name)) : [];
  const year = years.sort().at(-1);
  const reserve = statSync(join(directory, "reserve"), { throwIfNoEntry: false });
  const reserveBytes = reserve?.size ?? 0;
  if (year === undefined) return { role, directory, checkpoint: null, reserveBytes };
  return { role, directory, reserveBytes, checkpoint: readCheckpoint(directory, year) };
}

function readCheckpoint(directory: string, year: string): LogFacts["checkpoint"] {
  const path = join(directory, year, "checkpoint");
  try {
    const disk = realDisk();
    const origin = parseCheckpointBody(parseNote(readFileSync(path, "utf8"))?.text ?? "")?.origin ?? "";
    const { publicKey } = loadLogKey(disk, directory);
    const found = readOwnCheckpoint(disk, path, { origin, publicKey });
    return found === null ? { why: `${path} is missing` } : { origin, leaves: found.size };
  } catch (error) {
    return { why: wordsOf(error) };
  }
}

const rejoin =
  "start the gateway while control runs: it renews itself; after its end it has to join again (sallyport gateway token)";

/** Certificates of a data directory of role all, control or gateway. */
export function gatherDates(dataDirectory: string): readonly DatedFacts[] {
  const dates: DatedFacts[] = [];
  for (const home of [dataDirectory, join(dataDirectory, "gateway")]) {
    for (const [file, member] of [
      ["identity.json", "certificate"],
      ["listener.json", "cert"],
    ] as const) {
      const pem = memberOf(join(home, "node", file), member);
      const notAfter = pem === null ? null : notAfterOf(pem);
      const what = file === "identity.json" ? "the certificate of this node" : "the certificate of its listeners";
      if (notAfter !== null)
        dates.push({ check: `date.${file.slice(0, -5)}`, what, notAfter, renews: true, fix: rejoin });
    }
  }
  for (const home of [dataDirectory, join(dataDirectory, "control")]) {
    const roots = join(home, "ca");
    for (const name of existsSync(roots) ? readdirSync(roots).filter((one) => one.endsWith(".pem")) : []) {
      const notAfter = notAfterOf(readFileSync(join(roots, name), "utf8"));
      const fix = "plan the next root: clients must trust both for a while";
      if (notAfter !== null)
        dates.push({
          check: `date.root.${name.slice(0, -4)}`,
          what: `the root ${join(roots, name)}`,
          notAfter,
          renews: false,
          fix,
        });
    }
  }
  return dates;
}

function memberOf(path: string, member: string): string | null {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    const found =
      typeof value === "object" && value !== null ? Object.entries(value).find(([name]) => name === member)?.[1] : null;
    return typeof found === "string" ? found : null;
  } catch {
    return null;
  }
}

function notAfterOf(pem: string): number | null {
  try {
    return new X509Certificate(pem).validToDate.getTime();
  } catch {
    return null;
  }
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
