// Promises the audit log's figures as one JSON line: durable appends per second through the thread, offline verification, batch latency.
// Trusts the disk it runs on: a medium that lies about fdatasync makes the first figure worthless. Records are 400 bytes.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { sampleIdentity } from "@sallyport/kernel/log/sample-leaves.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";

export interface AuditFigures {
  /** Records per second, each acknowledged after its fdatasync, many in flight. */
  readonly append_per_s: number;
  /** Leaves per second of the offline verifier, on the cores it finds. */
  readonly verify_per_s: number;
  /** 99th percentile of the time from append to acknowledgement with 256 in flight, milliseconds: gathering, hand-over, fdatasync and the way back of one batch. */
  readonly batch_p99_ms: number;
}

const recordBytes = 400;
const recordsPerRound = 200_000;
const rounds = 5;
/** So many that the log is never idle: its throughput. */
const saturating = 8_192;
/** Two leaves for each of 128 requests under way. */
const realistic = 256;
/** A crossing of exactly 400 bytes is shorter than real ones, which name policies and hashes; an `admin` leaf is brought to that length by its object. */
function record(n: number): Uint8Array {
  const leaf = (object: string) =>
    printLeaf({
      t: "admin",
      id: `gw-1-0${String(n).padStart(25, "0")}`,
      at: 1_795_305_600_000 + n,
      tenant: "main",
      environment: "production",
      region: "eu",
      node: "gw-1",
      actor: "2026:abcdefghijklmnopqrstuQ",
      action: "integration.activate",
      object,
      facts: "5a".repeat(32),
    });
  const short = leaf("integration/a");
  return leaf(`integration/a${"b".repeat(recordBytes - short.length)}`);
}

async function appendRound(
  log: OpenedLog,
  records: readonly Uint8Array[],
  { inFlight, count }: { readonly inFlight: number; readonly count: number },
): Promise<{ perSecond: number; p99: number }> {
  const waits = new Float64Array(count);
  const started = performance.now();
  let next = 0;
  const writer = async () => {
    while (next < count) {
      const n = next++;
      const at = performance.now();
      const leaf = records[n % records.length];
      if (leaf === undefined) throw new Error("no records");
      await log.append(leaf);
      waits[n] = performance.now() - at;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, writer));
  const seconds = (performance.now() - started) / 1000;
  waits.sort();
  return { perSecond: count / seconds, p99: waits[Math.floor(count * 0.99)] ?? 0 };
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Medians of five rounds on a fresh log in the temporary directory (or `parent`), which is removed. */
export async function benchAudit(parent: string = tmpdir()): Promise<AuditFigures> {
  const directory = mkdtempSync(join(parent, "sallyport-bench-audit-"));
  const records = Array.from({ length: 50_000 }, (_, n) => record(n));
  try {
    const log = await openLog({ directory: join(directory, "log"), identity: sampleIdentity });
    const appended: number[] = [];
    const waited: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const full = await appendRound(log, records, { inFlight: saturating, count: recordsPerRound });
      appended.push(full.perSecond);
      const usual = await appendRound(log, records, { inFlight: realistic, count: recordsPerRound / 10 });
      waited.push(usual.p99);
    }
    await log.close();
    const verified: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      const report = verifyLogDirectory(join(directory, "log"), { verifierKey: log.verifierKey });
      if (!report.ok) throw new Error(`the log of the benchmark does not verify: ${report.firstBad?.message}`);
      verified.push((report.leaves / (performance.now() - started)) * 1000);
    }
    return {
      append_per_s: Math.round(median(appended)),
      verify_per_s: Math.round(median(verified)),
      batch_p99_ms: Number(median(waited).toFixed(1)),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify({ bench: "audit", figures: await benchAudit() })}\n`);
}
