// Promises what the records are good for once there are many: who used a leaked token, who fails where, what the rules noticed, a copy for the SIEM
// that shows its gaps, an archive under a hold, and witnesses of one another. Every answer comes from the `sallyport` command, and is held against
// what this story itself did. Trusts control to be running. docs/audit-search.md, findings.md, export.md, archive.md, witnesses.md.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ended } from "./processes.ts";
import type { Telling } from "./telling.ts";

/** What follows the log is about a second behind it; a busy machine may take longer. */
const catchUpMsMax = 60_000;
const lookAgainMs = 250;

interface Finding {
  readonly id: string;
  readonly rule: string;
  readonly subjectName: string | null;
}

interface Witnesses {
  readonly witnessed: readonly { readonly origin: string }[];
  readonly cosigners: readonly { readonly name: string; readonly leaves: number; readonly fault: string | null }[];
}

/** `stolen` is the token that the chapter of thieves tried in vain. */
export async function tellRecords(telling: Telling, stolen: string): Promise<void> {
  const { story } = telling;
  story.chapter("What the records are good for");
  await tellSearch(telling, stolen);
  await tellFindings(telling);
  await tellExport(telling);
  await story.check(
    "gateways and control cosigned one another's logs, and found nothing to contradict",
    async (expect) => {
      const everybody = (ran: Ended) => {
        const { witnessed = [], cosigners = [] } = parsed<Partial<Witnesses>>(ran, {});
        return witnessed.length >= 2 && cosigners.filter(({ leaves }) => leaves > 0).length >= 2;
      };
      const cosigned = await untilRan(telling, ["audit", "witnesses"], everybody);
      const { witnessed = [], cosigners = [] } = parsed<Partial<Witnesses>>(cosigned, {});
      for (const environment of ["production", "staging"])
        expect.ok(
          `control cosigned the log of ${environment}`,
          witnessed.some(({ origin }) => origin.includes(`/${environment}/`)),
        );
      for (const { name, fault } of cosigners) expect.equal(`why ${name} does not cosign control's log`, fault, null);
      expect.ok("both gateways cosign control's log", everybody(cosigned), cosigned.stdout);
      const found = await operate(telling, ["audit", "findings"]);
      expect.equal("exit code of audit findings", found.code, 0);
      return `${witnessed.length} by control, control's by ${cosigners.length}`;
    },
  );
  await tellArchive(telling);
}

async function tellSearch(telling: Telling, stolen: string): Promise<void> {
  const { market, story } = telling;
  const denied = story.lines.filter(({ code }) => code === "dpop-key-mismatch" || code === "token-bound-as-bearer");
  await story.check("a token leaked: who used it, and what came of it", async (expect) => {
    const file = join(market.root, "elsewhere", "leaked-token");
    writeFileSync(file, stolen, { mode: 0o600 });
    const search = ["audit", "search", "--token", file];
    const answer = await untilRan(telling, search, ({ stdout }) =>
      denied.every(({ id }) => id !== null && stdout.includes(id)),
    );
    expect.equal("exit code of audit search", answer.code, 0);
    for (const { id, code } of denied)
      expect.ok(`${code} is among them`, answer.stdout.includes(id ?? "?"), answer.stdout);
    expect.ok("and so is what it was used for rightly", answer.stdout.includes('"allow"'), answer.stdout);
    expect.ok("the token itself is not in the answer", !answer.stdout.includes(stolen));
    return `${denied.length} thieves, by crossing id`;
  });
  await story.check("requests, denials and latency of every edge, from the records", async (expect) => {
    const edges = ["audit", "edges", "--environment", "production", "--integration", "orders-to-billing"];
    const answer = await untilRan(telling, edges, ({ stdout }) => /"denied":\s*[1-9]/.test(stdout));
    expect.equal("exit code of audit edges", answer.code, 0);
    const { edges: rows = [] } = parsed<{ edges?: readonly { requests: number; denied: number }[] }>(answer, {});
    const sum = (of: (row: { requests: number; denied: number }) => number) => rows.reduce((n, row) => n + of(row), 0);
    const [requests, refused] = [sum((row) => row.requests), sum((row) => row.denied)];
    expect.ok("some passed and some did not", requests > refused && refused > 0, `${requests} and ${refused}`);
    return `orders-to-billing: ${requests} requests, ${refused} denied`;
  });
}

/** The thieves of this story are what the rules are for. */
async function tellFindings(telling: Telling): Promise<void> {
  await telling.story.check(
    "the rules noticed the stolen audience and the replay; somebody looks at one",
    async (expect) => {
      const list = ["finding", "list"];
      const both = ({ stdout }: Ended) => stdout.includes('"token-audience"') && stdout.includes('"replay"');
      const found = await untilRan(telling, list, both);
      expect.equal("exit code of finding list: there are some", found.code, 1);
      expect.ok("both rules", both(found), found.stdout);
      const findings = parsed<readonly Finding[]>(found, []);
      const replay = findings.find(({ rule }) => rule === "replay")?.id ?? "";
      const looked = await operate(telling, ["finding", "ack", replay, "--reason", "the demo's thief"]);
      expect.equal("exit code of finding ack", looked.code, 0);
      const after = await operate(telling, ["finding", "show", replay]);
      expect.ok("it is acknowledged", after.stdout.includes('"acknowledged"'), after.stdout);
      return findings.map(({ rule, subjectName }) => `${rule} by ${subjectName ?? "somebody unproven"}`).join(", ");
    },
  );
}

async function tellExport(telling: Telling): Promise<void> {
  const { market, story } = telling;
  await story.check("the SIEM's copy is whole, and one event taken out of it is missed", async (expect) => {
    const caughtUp = await untilRan(telling, ["export", "list"], ({ code }) => code === 0);
    expect.equal("exit code of export list: every sink keeps up", caughtUp.code, 0);
    const copy = join(market.root, "elsewhere", "siem.ndjson");
    const lines = readFileSync(market.siem, "utf8").split("\n").slice(0, -1);
    const verify = async (name: string, kept: readonly string[]) => {
      writeFileSync(copy, `${kept.join("\n")}\n`);
      const { code, stdout } = await market.processes.run(name, ["--json", "export", "verify", copy]);
      return { code, stdout };
    };
    expect.equal("exit code for the whole copy", (await verify("export verify", lines)).code, 0);
    const middle = lines.length >> 1;
    const gap = await verify("export verify, one event taken out", lines.toSpliced(middle, 1));
    expect.equal("exit code for the copy with a gap", gap.code, 1);
    expect.ok("the gap is named", gap.stdout.includes("missing"), gap.stdout);
    return `${lines.length} OCSF events`;
  });
}

async function tellArchive(telling: Telling): Promise<void> {
  const { market, story } = telling;
  await story.check(
    "the archive has the logs of every node, and a legal hold keeps them beyond their years",
    async (expect) => {
      const store = ["--archive-store", market.archiveFile];
      const every = ({ stdout }: Ended) =>
        ["/production/", "/staging/", "/sallyport/"].every((part) => stdout.includes(part));
      const archived = await untilRan(telling, ["audit", "archived", ...store], every);
      expect.ok("each of the three environments is there", every(archived), archived.stdout);
      const hold = ["audit", "hold", "add", "case-4711", "--environment", "production", "--years", "2000..2100"];
      const held = await operate(telling, [...hold, "--owner", "legal", "--reason", "Case 4711"]);
      expect.equal("exit code of audit hold add", held.code, 0);
      const isHeld = ({ stdout }: Ended) => stdout.includes("case-4711");
      const kept = await untilRan(telling, ["audit", "retention"], isHeld);
      expect.ok("the hold is what keeps production's log", isHeld(kept), kept.stdout);
      return "case-4711";
    },
  );
}

const operate = ({ market }: Telling, command: readonly string[]): Promise<Ended> =>
  market.processes.run(command.slice(0, 2).join(" "), ["--json", "--operator", market.operatorKeyFile, ...command]);

/** Asks until the answer is as wanted, or the time for catching up is over; the last answer either way. */
async function untilRan(
  telling: Telling,
  command: readonly string[],
  isWanted: (ran: Ended) => boolean,
): Promise<Ended> {
  const deadline = performance.now() + catchUpMsMax;
  for (;;) {
    const ran = await operate(telling, command);
    if (isWanted(ran) || performance.now() > deadline) return ran;
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs));
  }
}

/** What a command printed with `--json`; nothing of it when that is no JSON, so that the step says what was missing. */
function parsed<T>({ stdout }: Ended, nothing: T): T {
  try {
    return JSON.parse(stdout) as T;
  } catch {
    return nothing;
  }
}
