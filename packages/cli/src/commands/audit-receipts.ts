// Promises receipts of crossings and proofs of single leaves, made from a log directory and checked with nothing but a key or a policy.
// Trusts the directory only as far as its published checkpoints; when checking, the key or policy alone. Specified in docs/receipts.md.
import type { checkProof } from "@sallyport/kernel/log/prove.ts";
import type { ReceiptRefusal, ReceiptTrust, ReceiptVerdict } from "@sallyport/protocol/audit/receipt.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";
import { readFile, readKey, terminalOf, writeNew } from "./audit-files.ts";
import { archivedLogOf } from "./audit-held.ts";
import { parsedPolicy } from "./audit-policy.ts";

const examples = {
  prove: `
Of a crossing: one file, the receipt (docs/formats/receipt.md), the same that the gateway gives to the caller.
  sallyport audit prove gw-1-01KAMZZZZZ0000000000000000 --log .sallyport/gateway/log --out order-4711.receipt
Of any other leaf: its proof (c2sp.org/tlog-proof@v1) in <file>, and the leaf in <file>.leaf.
  sallyport audit prove 17 --log .sallyport/control/log --out leaf-17.proof
`,
  checkProof: `
Anyone can run this, with nothing but the file and the verifier key of the gateway's log, or a witness policy:
  sallyport audit check-proof order-4711.receipt --key gateway.vkey
  sallyport audit check-proof order-4711.receipt --policy partner.policy --crossing gw-1-01KAMZZZZZ0000000000000000
`,
};

/** `audit prove` and `audit check-proof`. */
export function receiptCommands(group: Command): void {
  proveCommand(group);
  checkProofCommand(group);
}

interface ProveFlags {
  readonly log: string;
  readonly out: string;
  readonly archive?: string;
}

function proveCommand(group: Command): void {
  group
    .command("prove <leaf>")
    .description("make the receipt of a crossing by its id, or prove one leaf by its index in the newest origin")
    .requiredOption("--log <directory>", "log directory, for example .sallyport/gateway/log")
    .requiredOption("--out <file>", "where to write it; never overwritten")
    .option("--archive <node>", "the archived log of this node; --log is then control's data directory")
    .addHelpText("after", examples.prove)
    .action(async (leaf: string, flags: ProveFlags, command: Command) => {
      const directory = flags.archive === undefined ? flags.log : await archivedLogOf(flags.log, flags.archive);
      const isIndex = /^\d{1,15}$/.test(leaf);
      const { makeReceipt } = await import("@sallyport/kernel/receipts/make-receipt.ts");
      const receipt = isIndex ? null : makeReceipt(directory, leaf);
      const terminal = terminalOf(command);
      if (receipt !== null) {
        writeNew(flags.out, receipt);
        terminal.result({ crossing: leaf, receipt: flags.out }, () => [`${flags.out}: the receipt of ${leaf}`]);
        return;
      }
      const { prove } = await import("@sallyport/kernel/log/prove.ts");
      const proven = prove(directory, isIndex ? { index: Number(leaf) } : { id: leaf });
      writeNew(flags.out, proven.proof);
      writeNew(`${flags.out}.leaf`, proven.leaf);
      const { origin, index } = proven;
      terminal.result({ origin, index, proof: flags.out, leaf: `${flags.out}.leaf` }, () => [
        `${flags.out}: leaf ${index} of ${origin}`,
        `${flags.out}.leaf: the leaf itself`,
      ]);
    });
}

type ProofRefusal = Extract<ReturnType<typeof checkProof>, { readonly kind: "refused" }>["why"];

const refusals: Readonly<Record<ProofRefusal | ReceiptRefusal, string>> = {
  "not-included": "the leaf is not the one the proof is for, or one of the two was changed",
  "malformed-proof": "the file is not a proof of the form c2sp.org/tlog-proof@v1",
  "malformed-receipt": "the file is not a whole receipt: it was cut or changed",
  malformed: "the checkpoint in it cannot be read",
  unsigned: "none of the keys has signed the checkpoint in it; is it another gateway's?",
  "bad-signature": "a signature under the checkpoint is not the one of its key: the checkpoint was changed",
  "foreign-origin": "the checkpoint is of another log than the key",
  "foreign-leaf": "the leaf is of another node, environment or tenant than the log that signed it",
  "malformed-leaf": "the leaf in it is none of a crossing in its one spelling",
  "unknown-version": "the leaf in it is of a newer form than this program knows: update it",
  "mixed-leaves": "the leaves in it are not the decision and the end of one crossing",
  "not-ended": "it says how the crossing was decided and not how it ended",
  "other-crossing": "it is of another crossing than the one asked for",
  "no-quorum":
    "too few of the policy's witnesses have cosigned the checkpoint in it; they need some seconds, so fetch or prove it again",
};

interface CheckFlags {
  readonly key?: string;
  readonly policy?: string;
  readonly leaf?: string;
  readonly crossing?: string;
}

function checkProofCommand(group: Command): void {
  group
    .command("check-proof <file>")
    .description("did a log that this key or policy names sign what a receipt or proof says? exit 0 yes, 1 no")
    .option("--key <key>", "verifier key (<origin>+<id>+<base64>), or a file that holds it")
    .option("--policy <file>", "logs to believe, and which witnesses must have cosigned (C2SP tlog-policy)")
    .option("--crossing <id>", "the crossing it has to be of")
    .option("--leaf <file>", "the leaf of a proof that does not bring it along; default: <file>.leaf")
    .addHelpText("after", examples.checkProof)
    .action(async (file: string, flags: CheckFlags, command: Command) => {
      if (flags.key === undefined && flags.policy === undefined)
        throw new CommandEnd(exitCode.badUse, "nothing says whom to believe", "give --key, or --policy with log lines");
      const text = readFile(file).toString("utf8");
      const { parseReceipt } = await import("@sallyport/protocol/audit/receipt.ts");
      const { parseProof } = await import("@sallyport/protocol/audit/tlog-proof.ts");
      const isBare = flags.leaf !== undefined || (parseReceipt(text) === null && parseProof(text) !== null);
      await (isBare ? checkBare(file, text, flags, command) : checkWhole(text, flags, command));
    });
}

async function checkWhole(text: string, flags: CheckFlags, command: Command): Promise<void> {
  const { verifyReceipt } = await import("@sallyport/protocol/audit/receipt.ts");
  const { noteCrypto } = await import("@sallyport/kernel/log/log-crypto.ts");
  const trust = await trustOf(flags);
  const verdict = verifyReceipt(noteCrypto, text, { trust, crossing: flags.crossing ?? null, now: Date.now() });
  if (verdict.kind === "refused") return refuse(verdict.why, command);
  terminalOf(command).result({ valid: true, ...verdict }, () => receiptWords(verdict, flags));
}

async function trustOf({ key, policy }: CheckFlags): Promise<ReceiptTrust> {
  const { parseVerifierKey } = await import("@sallyport/protocol/audit/note.ts");
  const { sha256 } = await import("@sallyport/kernel/log/log-crypto.ts");
  const read = key === undefined ? null : parseVerifierKey(sha256, readKey(key));
  if (read === null && key !== undefined)
    throw new CommandEnd(exitCode.badUse, "the verifier key is not one of a log", "it is <origin>+<key id>+<base64>");
  return { keys: read === null ? [] : [read], policy: policy === undefined ? null : await parsedPolicy(policy) };
}

function receiptWords(verdict: Extract<ReceiptVerdict, { readonly kind: "ok" }>, flags: CheckFlags): readonly string[] {
  const { crossing, decided, ended, proven } = verdict;
  const code = decided.code === null ? "" : ` (${decided.code})`;
  return [
    `yes: ${crossing} is in the log as follows`,
    `  decided   ${new Date(decided.at).toISOString()} ${decided.verdict}${code}: ${decided.operation ?? "no operation"}`,
    `  ended     ${new Date(ended.at).toISOString()} ${ended.outcome}, status ${ended.status}`,
    ...proven.flatMap(({ origin, index, size, leaf, cosigned }) => [
      `  leaf ${index} of the ${size} that ${origin} signed, ${cosignedWords(cosigned, flags)}`,
      `  ${leaf}`,
    ]),
  ];
}

function cosignedWords(cosigned: Readonly<Record<string, number>>, { policy }: CheckFlags): string {
  if (policy === undefined) return "by its key alone: no --policy names witnesses";
  const names = Object.keys(cosigned);
  return names.length === 0 ? "cosigned by nobody that was asked for" : `cosigned by ${names.join(", ")}`;
}

/** A proof of one leaf, which lies beside it. */
async function checkBare(file: string, text: string, flags: CheckFlags, command: Command): Promise<void> {
  if (flags.key === undefined || flags.policy !== undefined || flags.crossing !== undefined)
    throw new CommandEnd(
      exitCode.badUse,
      `${file} is the proof of a single leaf`,
      "--policy and --crossing are for receipts of crossings; give --key alone",
    );
  const { checkProof } = await import("@sallyport/kernel/log/prove.ts");
  const leaf = readFile(flags.leaf ?? `${file}.leaf`);
  const verdict = checkProof(text, readKey(flags.key), leaf);
  if (verdict.kind === "refused") return refuse(verdict.why, command);
  const { origin, size } = verdict.checkpoint;
  terminalOf(command).result({ valid: true, index: verdict.index, origin, size }, () => [
    `yes: leaf ${verdict.index} of the ${size} that ${origin} signed`,
    `  ${leaf.toString("latin1")}`,
  ]);
}

function refuse(why: keyof typeof refusals, command: Command): never {
  const detail = refusals[why];
  terminalOf(command).result({ valid: false, why, detail }, () => [`no: ${why}: ${detail}`]);
  throw new CommandEnd(exitCode.no, "");
}
