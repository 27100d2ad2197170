// Promises that the log proves what it says: whole it verifies, one flipped byte is located, and cut and signed anew with the real key it is
// still caught by a checkpoint kept elsewhere. Works on copies of the production gateway's log. Trusts `sallyport audit`. docs/audit.md.
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openLog } from "@sallyport/kernel/log/log-thread.ts";
import type { Telling } from "./telling.ts";

/** Header of a segment; then frames of u32 length, u32 checksum and `length` bytes (docs/formats/leaf.md "Segment"). */
const segmentHeaderBytes = 61;
const frameHeadBytes = 8;
/** How much of the log the forger leaves. */
const keptPart = 0.6;

/** Three questions to `sallyport audit verify`, each on a copy. */
export async function tellLog(telling: Telling): Promise<void> {
  const { market, story } = telling;
  story.chapter("The log");
  const elsewhere = market.checkpointCopies.production;
  const copy = (name: string) => {
    const to = join(market.root, name);
    cpSync(join(market.directories.production, "log"), to, {
      recursive: true,
      filter: (path) => !/lock(-\w+)?$/.test(path),
    });
    return to;
  };
  const [whole, bent, cut] = [copy("log-copy"), copy("log-bent"), copy("log-cut")];
  await story.check("a copy of the production log verifies, against the checkpoints kept elsewhere", async (expect) => {
    const report = await verify(telling, whole, elsewhere);
    expect.equal("exit code", report.code, 0);
    expect.ok("it holds the story", report.leaves > 20, report.text);
    return `${report.leaves} leaves`;
  });
  await story.check("one byte flipped in a copy is located", async (expect) => {
    const { file, offset } = flipOneByte(bent);
    const report = await verify(telling, bent, elsewhere);
    expect.equal("exit code", report.code, 1);
    expect.ok("the file is named", report.text.includes(file), report.text);
    expect.ok("the place is named", report.offset !== null, report.text);
    return `${file}: flipped byte ${offset}, named byte ${report.offset}`;
  });
  await story.check(
    "the log cut and signed anew with the real key is caught by the checkpoint kept elsewhere",
    async (expect) => {
      await cutAndSignAnew(cut);
      const alone = await verify(telling, cut, null);
      expect.equal("exit code with nothing kept elsewhere: the signature is genuine", alone.code, 0);
      const report = await verify(telling, cut, elsewhere);
      expect.equal("exit code against the checkpoint kept elsewhere", report.code, 1);
      return `${alone.leaves} leaves are left, the checkpoint promised more`;
    },
  );
}

interface Verified {
  readonly code: number | null;
  readonly text: string;
  readonly leaves: number;
  readonly offset: number | null;
}

async function verify({ market }: Telling, directory: string, elsewhere: string | null): Promise<Verified> {
  const against = elsewhere === null ? [] : ["--checkpoint", elsewhere];
  const ended = await market.processes.run("audit verify", [
    "--json",
    "audit",
    "verify",
    directory,
    "--live",
    ...against,
  ]);
  let report: { readonly leaves?: number; readonly firstBad?: { readonly offset?: number | null } | null } = {};
  try {
    // The shape of VerifyReport (packages/kernel/src/log/verify.ts).
    report = JSON.parse(ended.stdout) as typeof report;
  } catch {
    // Whatever it printed is in the text of the step.
  }
  const offset = report.firstBad?.offset ?? null;
  return { code: ended.code, text: ended.stdout + ended.stderr, leaves: report.leaves ?? 0, offset };
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
  for (const name of ["head", "checkpoint", "state", "tile"])
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
