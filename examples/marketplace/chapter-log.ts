// Promises that the log proves what it says: whole it verifies, one flipped byte is located, and cut and signed anew with the real key it is
// still caught by a checkpoint kept elsewhere. Works on copies of the production gateway's log. Trusts `sallyport audit`. docs/audit.md.
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import { copyRunning } from "./copy-running.ts";
import type { NodeName } from "./marketplace.ts";
import type { Telling } from "./telling.ts";

/** Header of a segment; then frames of u32 length, u32 checksum and `length` bytes (docs/formats/leaf.md "Segment"). */
const segmentHeaderBytes = 61;
const frameHeadBytes = 8;
/** How much of the log the forger leaves. */
const keptPart = 0.6;

/** Asks `sallyport audit`, offline, on copies that were made after the checkpoints that are kept elsewhere. */
export async function tellLog(telling: Telling): Promise<void> {
  const { market, story } = telling;
  story.chapter("The log");
  // First what is kept elsewhere, then the log: a running log only grows.
  const elsewhere = join(market.root, "elsewhere", "kept.checkpoints");
  cpSync(market.checkpointCopies.production, elsewhere);
  const [whole, bent, cut] = ["whole", "bent", "cut"].map((name) => copyLog(market, "production", name));
  if (whole === undefined || bent === undefined || cut === undefined) return;
  let key = "";
  await story.check(
    "a copy of the production log verifies and extends the checkpoints kept elsewhere",
    async (expect) => {
      const report = await verify(telling, whole, ["--older", elsewhere]);
      expect.equal("exit code", report.code, 0);
      expect.ok("it holds the story", report.leaves > 20, report.text);
      key = report.key;
      return `${report.leaves} leaves`;
    },
  );
  await story.check("so do the logs of staging and of control", async (expect) => {
    const copies = (["staging", "control"] as const).map((name) => copyLog(market, name, name));
    const reports = await Promise.all(copies.map((copy) => verify(telling, copy, [])));
    for (const report of reports) expect.equal("exit code", report.code, 0);
    return reports.map(({ leaves }) => `${leaves} leaves`).join(", ");
  });
  await tellReceipt(telling, whole, key);
  await story.check("one byte flipped in a copy is located", async (expect) => {
    const { file, offset } = flipOneByte(bent);
    const report = await verify(telling, bent, ["--key", key, "--older", elsewhere]);
    expect.equal("exit code", report.code, 1);
    expect.ok("the file is named", report.text.includes(file), report.text);
    expect.ok("a byte at or before the flipped one is named", report.offset !== null && report.offset <= offset);
    return `${file}: byte ${offset} flipped, the record at byte ${report.offset} named`;
  });
  await story.check(
    "the log cut and signed anew with the real key is caught by the checkpoint kept elsewhere",
    async (expect) => {
      await cutAndSignAnew(cut);
      const alone = await verify(telling, cut, ["--key", key]);
      expect.equal("exit code with nothing kept elsewhere: the signature is genuine", alone.code, 0);
      const report = await verify(telling, cut, ["--key", key, "--older", elsewhere]);
      expect.equal("exit code against the checkpoint kept elsewhere", report.code, 1);
      expect.ok("what is kept elsewhere is what caught it", report.text.includes("kept elsewhere"), report.text);
      return `${alone.leaves} leaves are left, more were promised`;
    },
  );
}

function copyLog(market: Telling["market"], node: NodeName, name: string): string {
  const to = join(market.root, `log-${name}`);
  copyRunning(join(market.directories[node], "log"), to);
  return to;
}

/** A receipt for one denial of this story, checked by somebody who has nothing but the receipt and the verifier key. */
async function tellReceipt({ market, story }: Telling, log: string, key: string): Promise<void> {
  await story.check("a receipt for one denial holds, and for a changed leaf it does not", async (expect) => {
    const id = story.lines.find(({ kind }) => kind === "deny")?.id ?? "";
    const out = join(market.root, "denial.proof");
    const proved = await market.processes.run("audit prove", [
      "--json",
      "audit",
      "prove",
      id,
      "--log",
      log,
      "--out",
      out,
    ]);
    expect.equal("exit code of audit prove", proved.code, 0);
    const check = ["--json", "audit", "check-proof", "--key", key];
    const held = await market.processes.run("audit check-proof", [...check, out]);
    expect.equal("exit code of audit check-proof", held.code, 0);
    const changed = `${out}.changed`;
    writeFileSync(
      changed,
      withLeaf(readFileSync(out, "utf8"), (leaf) => leaf.replace('"verdict":"deny"', '"verdict":"allow"')),
    );
    const refused = await market.processes.run("audit check-proof", [...check, changed]);
    expect.equal("exit code for the leaf that says allow", refused.code, 1);
    return id;
  });
}

/** The receipt with another leaf in it (docs/formats/receipt.md "What it holds"). */
function withLeaf(receipt: string, change: (leaf: string) => string): string {
  return receipt.replace(/^extra (.+)$/m, (_line, leaf: string) => {
    const changed = change(Buffer.from(leaf, "base64").toString("latin1"));
    return `extra ${Buffer.from(changed, "latin1").toString("base64")}`;
  });
}

interface Verified {
  readonly code: number | null;
  readonly text: string;
  readonly leaves: number;
  readonly offset: number | null;
  readonly key: string;
}

/** What the story reads of `audit verify --json`. */
interface PrintedReport {
  readonly leaves?: number;
  readonly verifierKey?: string;
  readonly firstBad?: { readonly offset?: number | null } | null;
}

async function verify({ market }: Telling, directory: string, flags: readonly string[]): Promise<Verified> {
  const args = ["--json", "audit", "verify", directory, "--live", ...flags];
  const { code, stdout, stderr } = await market.processes.run("audit verify", args);
  let report: PrintedReport = {};
  try {
    report = JSON.parse(stdout) as PrintedReport;
  } catch {
    // Whatever it printed is in the text of the step.
  }
  const { leaves = 0, verifierKey: key = "", firstBad } = report;
  return { code, text: stdout + stderr, leaves, offset: firstBad?.offset ?? null, key };
}

interface Segment {
  /** Folder of the newest origin. */
  readonly origin: string;
  readonly path: string;
  readonly name: string;
}

function newestSegment(directory: string): Segment {
  const last = (names: readonly string[], form: RegExp) =>
    names
      .filter((name) => form.test(name))
      .toSorted()
      .at(-1) ?? "";
  const origin = join(directory, last(readdirSync(directory), /^\d{4}$/));
  const name = last(readdirSync(join(origin, "wal")), /\.wal$/);
  return { origin, path: join(origin, "wal", name), name };
}

/** Flips one bit inside a leaf in the middle of the newest segment. */
function flipOneByte(directory: string): { readonly file: string; readonly offset: number } {
  const { path, name } = newestSegment(directory);
  const bytes = readFileSync(path);
  const offset = bytes.indexOf('"verdict":"', bytes.length >> 1) + '"verdict":"'.length;
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  return { file: name, offset };
}

/** What the owner of the directory can do: cut the end off, throw the checkpoints away, and let the real key sign what is left. */
async function cutAndSignAnew(directory: string): Promise<void> {
  const { origin, path } = newestSegment(directory);
  const [line = ""] = readFileSync(join(origin, "checkpoint"), "utf8").split("\n");
  const [originPrefix = "", tenant = "", environment = "", node = ""] = line.split("/");
  const bytes = readFileSync(path);
  truncateSync(path, frameEndBefore(bytes, bytes.length * keptPart));
  for (const name of ["head", "checkpoint", "cosigned", "state", "tile"])
    rmSync(join(origin, name), { recursive: true, force: true });
  for (const name of readdirSync(join(origin, "wal"))) if (name.endsWith(".idx")) rmSync(join(origin, "wal", name));
  const identity = { tenant, environment, region: "eu", node, role: "gateway", version: "0.1.0" } as const;
  const log = await openLog({ directory, identity, originPrefix, checkpointIntervalMs: 0 });
  await log.checkpoint();
  await log.close();
}

/** End of the last whole frame before `limit`. */
function frameEndBefore(bytes: Buffer, limit: number): number {
  let end = segmentHeaderBytes;
  while (end + frameHeadBytes < bytes.length) {
    const next = end + frameHeadBytes + bytes.readUInt32BE(end);
    if (next > limit) break;
    end = next;
  }
  return end;
}
