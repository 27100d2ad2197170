// Promises that a receipt is believed only as far as a log signed it: its leaves are of one crossing, of that very log, and whole, or it is refused.
// Trusts the log keys and the witness policy it is given, and nothing in the receipt. Specified in docs/formats/receipt.md.
import { printHex, sameBytes } from "./base64.ts";
import { type CheckpointRefusal, parseCheckpointBody, sameLog } from "./checkpoint.ts";
import { leafHash } from "./merkle.ts";
import { type NoteCrypto, type NoteVerifier, noteKeyId, parseNote } from "./note.ts";
import { verifyInclusion } from "./proof.ts";
import { type DecidedRecord, type EndedRecord, type ReceiptLeaf, readReceiptLeaf } from "./receipt-leaf.ts";
import { judgeByPolicy, type TlogPolicy } from "./tlog-policy.ts";
import { parseProof, printProof, proofFirstLine, type TlogProof } from "./tlog-proof.ts";

/** A crossing has at most two leaves that a receipt carries: how it was decided and how it ended. */
const partsMax = 2;
export const receiptCharactersMax = 2_097_152;

/** A proof that brings its leaf along. */
export interface ReceiptPart {
  readonly leaf: Uint8Array;
  readonly proof: Pick<TlogProof, "index" | "hashes" | "checkpoint">;
}

/** One tlog-proof a leaf, the leaf in its `extra` line; an empty line between two. */
export function printReceipt(parts: readonly ReceiptPart[]): string {
  return parts.map(({ leaf, proof }) => printProof({ extra: leaf, ...proof })).join("\n");
}

/** The proofs of a receipt with their leaves; null when it is none. Believes nothing of it. */
export function parseReceipt(text: string): readonly ReceiptPart[] | null {
  if (text.length > receiptCharactersMax || !text.endsWith("\n")) return null;
  const head = `${proofFirstLine}\n`;
  const [before, ...texts] = `\n${text}`.split(`\n${head}`);
  if (before !== "" || texts.length === 0 || texts.length > partsMax) return null;
  const parts: ReceiptPart[] = [];
  for (const [at, rest] of texts.entries()) {
    // The newline of the empty line that ends a part stands before the head of the next, and went with it.
    const proof = parseProof(head + rest);
    if (proof?.extra === undefined || (at < texts.length - 1 && !rest.endsWith("\n"))) return null;
    parts.push({ leaf: proof.extra, proof });
  }
  return parts;
}

/** Whom to believe. */
export interface ReceiptTrust {
  /** Keys of logs; each speaks for every year of its log. */
  readonly keys: readonly NoteVerifier[];
  /** Its `log` lines are such keys too; its quorum must have cosigned each checkpoint. */
  readonly policy: TlogPolicy | null;
}

export type ReceiptRefusal =
  | CheckpointRefusal
  | "malformed-receipt"
  | "malformed-leaf"
  | "unknown-version"
  | "mixed-leaves"
  | "not-ended"
  | "other-crossing"
  | "foreign-leaf"
  | "not-included"
  | "no-quorum";

export interface ProvenLeaf {
  readonly origin: string;
  readonly index: number;
  /** Leaves that the checkpoint covers. */
  readonly size: number;
  /** SHA-256(0x00 ‖ leaf), lower-case hexadecimal. */
  readonly hash: string;
  /** The leaf as it was hashed. */
  readonly leaf: string;
  /** POSIX seconds of each cosignature, by the witness's name in the policy. */
  readonly cosigned: Readonly<Record<string, number>>;
}

export interface ProvenCrossing {
  readonly crossing: string;
  readonly decided: DecidedRecord;
  readonly ended: EndedRecord;
  readonly proven: readonly ProvenLeaf[];
}

export type ReceiptVerdict =
  | ({ readonly kind: "ok" } & ProvenCrossing)
  | { readonly kind: "refused"; readonly why: ReceiptRefusal };

const refused = (why: ReceiptRefusal) => ({ kind: "refused", why }) as const;

export interface ReceiptQuestion {
  readonly trust: ReceiptTrust;
  /** Id of the crossing it has to be of; null: of any. */
  readonly crossing: string | null;
  /** Milliseconds since the epoch, by the reader's clock: cosignatures of the future do not count. */
  readonly now: number;
}

/** Is this a receipt of a crossing (this one, where `crossing` is not null) that a log known to `trust` signed? */
export function verifyReceipt(
  crypto: NoteCrypto,
  text: string,
  { trust, crossing, now }: ReceiptQuestion,
): ReceiptVerdict {
  const parts = parseReceipt(text);
  if (parts === null) return refused("malformed-receipt");
  const leaves: ReceiptLeaf[] = [];
  for (const { leaf } of parts) {
    const read = readReceiptLeaf(leaf);
    if (typeof read === "string") return refused(read);
    leaves.push(read);
  }
  const told = tellCrossing(leaves);
  if (typeof told === "string") return refused(told);
  if (crossing !== null && told.crossing !== crossing) return refused("other-crossing");
  const proven: ProvenLeaf[] = [];
  for (const [at, part] of parts.entries()) {
    const leaf = leaves[at];
    const one = leaf === undefined ? ("malformed-receipt" as const) : prove(crypto, { part, leaf }, { trust, now });
    if (typeof one === "string") return refused(one);
    proven.push(one);
  }
  return isInOrder(proven) ? { kind: "ok", ...told, proven } : refused("mixed-leaves");
}

/** One `crossing`, or an `intent` and its `outcome`, in this order and of one id and place. */
function tellCrossing([first, last]: readonly ReceiptLeaf[]): Omit<ProvenCrossing, "proven"> | ReceiptRefusal {
  if (first === undefined || first.decided === null) return "mixed-leaves";
  const { id: crossing, decided } = first;
  if (first.ended !== null) return last === undefined ? { crossing, decided, ended: first.ended } : "mixed-leaves";
  if (last === undefined) return "not-ended";
  if (last.ended === null || last.decided !== null) return "mixed-leaves";
  const isOne = last.id === first.id && last.place === first.place;
  return isOne ? { crossing, decided, ended: last.ended } : "mixed-leaves";
}

function prove(
  crypto: NoteCrypto,
  { part, leaf }: { readonly part: ReceiptPart; readonly leaf: ReceiptLeaf },
  { trust, now }: Pick<ReceiptQuestion, "trust" | "now">,
): ProvenLeaf | ReceiptRefusal {
  const { index, hashes, checkpoint: note } = part.proof;
  const verdict = judgeByPolicy(crypto, quorumOf(trust), note, { logs: verifiersOf(crypto, trust, note), now });
  if (verdict.kind === "refused") return verdict.why;
  const { origin, size, root } = verdict.checkpoint;
  // A log signs for itself alone: what names another node, environment or tenant is not its to say.
  if (origin.split("/").slice(1, -1).join("/") !== `${leaf.place}/gateway`) return "foreign-leaf";
  const hash = leafHash(crypto.sha256, part.leaf);
  if (!verifyInclusion(crypto.sha256, { leafHash: hash, index, size, root, proof: hashes })) return "not-included";
  const cosigned = Object.fromEntries(verdict.cosigned);
  return { origin, index, size, hash: printHex(hash), leaf: leaf.text, cosigned };
}

/** The keys, under the name of the origin the note claims: a log's name ends in its year. */
function verifiersOf({ sha256 }: NoteCrypto, { keys, policy }: ReceiptTrust, note: string): readonly NoteVerifier[] {
  const origin = parseCheckpointBody(parseNote(note)?.text ?? "")?.origin;
  if (origin === undefined) return [];
  const named = [...keys, ...(policy?.logs ?? []).map(({ key }) => key)].filter(({ name }) => sameLog(name, origin));
  const own = named.filter(
    ({ publicKey }, at) => named.findIndex((other) => sameBytes(other.publicKey, publicKey)) === at,
  );
  return own.map(({ publicKey }) => ({ name: origin, publicKey, keyId: noteKeyId(sha256, origin, publicKey) }));
}

/** The policy without its logs, which `verifiersOf` has taken; without a policy nobody need have cosigned. */
function quorumOf({ policy }: ReceiptTrust): TlogPolicy {
  return policy === null
    ? { logs: [], witnesses: new Map(), groups: new Map(), quorum: null }
    : { ...policy, logs: [] };
}

/** The end stands behind the decision: in the same tree, or in that of a later year of the same log. */
function isInOrder([first, last]: readonly ProvenLeaf[]): boolean {
  if (first === undefined || last === undefined) return true;
  if (first.origin === last.origin) return first.index < last.index;
  return sameLog(first.origin, last.origin) && yearOf(first.origin) < yearOf(last.origin);
}

const yearOf = (origin: string) => Number(origin.slice(origin.lastIndexOf("/") + 1));
