// Promises receipts, good and bad in every way that is told apart, out of a log and witnesses with seeded keys; the same bytes each time.
// Trusts the tree and the notes of this package. They stand in vectors/receipt.json, for verifiers in other languages too.
import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { printCheckpointBody } from "./checkpoint.ts";
import { addSignatureLines, printWitnessKey, signCosignature } from "./cosignature.ts";
import type { DecisionFields, OutcomeFields } from "./leaf.ts";
import { printLeaf } from "./leaf-format.ts";
import { Frontier, leafHash } from "./merkle.ts";
import { type NoteCrypto, type NoteSigner, printVerifierKey, signNote } from "./note.ts";
import { inclusionProof } from "./proof.ts";
import { printReceipt, type ReceiptPart, type ReceiptRefusal } from "./receipt.ts";

const spki = (raw: Uint8Array) => Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);

export const noteCrypto: NoteCrypto = {
  sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
  verifyEd25519: (key, message, signature) =>
    verify(null, message, createPublicKey({ key: spki(key), format: "der", type: "spki" }), signature),
};
const { sha256 } = noteCrypto;

/** The key of 32 equal bytes. */
function seeded(name: string, byte: number): NoteSigner {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, byte)]);
  const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32));
  return { name, publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) };
}

export interface ReceiptCase {
  readonly name: string;
  readonly receipt: string;
  readonly crossing: string | null;
  /** Judged by the policy instead of the keys. */
  readonly usePolicy: boolean;
  readonly verdict:
    | { readonly kind: "ok"; readonly crossing: string; readonly indexes: readonly number[] }
    | { readonly kind: "refused"; readonly why: ReceiptRefusal };
}

export interface ReceiptVectors {
  readonly keys: readonly string[];
  readonly policy: string;
  /** POSIX seconds: what the reader's clock says. */
  readonly now: number;
  readonly cases: readonly ReceiptCase[];
}

const origin = (node: string, year: number) => `logs.example/main/production/${node}/gateway/${year}`;
const logKey = (name: string) => seeded(name, 1);
const w1 = seeded("witness.example/w1", 4);
const w2 = seeded("witness.example/w2", 5);
const at = 1_795_305_600_000;
const now = 1_795_309_200;
const idOf = (n: number) => `gw-1-01KAMZZZZZ${String(n).padStart(16, "0")}`;

const decision: Omit<DecisionFields, "id"> = {
  kind: "api",
  caller: "2026:abcdefghijklmnopqrstuQ",
  subject: null,
  proof: "dpop",
  operation: "billing:invoice.create",
  integration: "orders-to-billing",
  mode: "enforce",
  verdict: "allow",
  code: null,
  stage: null,
  policies: ["grant:orders-to-billing"],
  policySet: "5a".repeat(32),
  inputs: null,
  address: "2026:abcdefghijklmnopqrstuA",
  addressClass: "private",
};
const end: OutcomeFields = {
  outcome: "success",
  status: 201,
  upstreamStatus: 201,
  bytesIn: 42,
  bytesOut: 512,
  totalUs: 1850,
  upstreamUs: 900,
};
const place = (n: number, node = "gw-1") => ({
  id: idOf(n),
  at: at + n,
  tenant: "main",
  environment: "production",
  region: "eu",
  node,
});
const crossingLeaf = (n: number, node?: string) => printLeaf({ t: "crossing", ...place(n, node), ...decision, ...end });
const intentLeaf = (n: number) => printLeaf({ t: "intent", ...place(n), ...decision });
const outcomeLeaf = (n: number) => printLeaf({ t: "outcome", ...place(n), ...end });
const ascii = (text: string) => new TextEncoder().encode(text);
const altered = (leaf: Uint8Array, from: string, to: string) => ascii(new TextDecoder().decode(leaf).replace(from, to));

/** A log with a checkpoint of any size. */
class Tree {
  readonly #leaves: readonly Uint8Array[];
  readonly #signer: NoteSigner;

  constructor(signer: NoteSigner, leaves: readonly Uint8Array[]) {
    this.#signer = signer;
    this.#leaves = leaves;
  }

  note(size = this.#leaves.length, name = this.#signer.name): string {
    return signNote(sha256, printCheckpointBody(name, size, this.#root(0, size)), this.#signer);
  }

  part(index: number, checkpoint = this.note()): ReceiptPart {
    const size = Number(checkpoint.split("\n")[1]);
    const read = (height: number, n: number) => this.#root(n * 2 ** height, (n + 1) * 2 ** height);
    const hashes = inclusionProof({ sha256, read }, index, size);
    return { leaf: this.#leaves[index] ?? new Uint8Array(0), proof: { index, hashes, checkpoint } };
  }

  #root(from: number, to: number): Uint8Array {
    const frontier = new Frontier(sha256);
    for (const leaf of this.#leaves.slice(from, to)) frontier.push(leafHash(sha256, leaf));
    return frontier.root();
  }
}

function cosign(note: string, witness: NoteSigner, time = 1_795_305_700): string {
  const body = note.slice(0, note.lastIndexOf("\n\n") + 1);
  return addSignatureLines(note, signCosignature(sha256, body, time, witness)) ?? "";
}

const leaves = [
  crossingLeaf(0),
  intentLeaf(1),
  crossingLeaf(2),
  outcomeLeaf(1),
  intentLeaf(3),
  crossingLeaf(4, "gw-2"),
  altered(crossingLeaf(5), '{"v":1,', '{"v":4,'),
  crossingLeaf(6),
  altered(crossingLeaf(7), '"status":201,', '"status":201,"status":500,'),
  altered(crossingLeaf(8), '"status":201', '"status": 201'),
  outcomeLeaf(10),
  intentLeaf(10),
  intentLeaf(9),
];
const tree = new Tree(logKey(origin("gw-1", 2026)), leaves);
const next = new Tree(logKey(origin("gw-1", 2027)), [crossingLeaf(20), outcomeLeaf(9)]);
const other = new Tree(seeded(origin("gw-9", 2026), 2), leaves);
/** Holds another node's leaf under its own key, which is trusted. */
const sibling = new Tree(seeded(origin("gw-2", 2026), 3), leaves);

const ok = (crossing: string, ...indexes: number[]) => ({ kind: "ok", crossing, indexes }) as const;
const no = (why: ReceiptRefusal) => ({ kind: "refused", why }) as const;

interface Row {
  readonly name: string;
  readonly parts: readonly ReceiptPart[] | string;
  readonly crossing?: string;
  readonly usePolicy?: true;
  readonly verdict: ReceiptCase["verdict"];
}

const withNote = (part: ReceiptPart, checkpoint: string) => ({ ...part, proof: { ...part.proof, checkpoint } });
const withHashes = (part: ReceiptPart, hashes: readonly Uint8Array[]) => ({
  ...part,
  proof: { ...part.proof, hashes },
});
const whole = tree.part(0);
const text = printReceipt([whole]);
const both = cosign(cosign(tree.note(), w1), w2);

const good: readonly Row[] = [
  { name: "a crossing recorded whole", parts: [whole], crossing: idOf(0), verdict: ok(idOf(0), 0) },
  { name: "an intent and its outcome", parts: [tree.part(1), tree.part(3)], verdict: ok(idOf(1), 1, 3) },
  { name: "under two checkpoints", parts: [tree.part(1, tree.note(3)), tree.part(3)], verdict: ok(idOf(1), 1, 3) },
  { name: "over the turn of the year", parts: [tree.part(12), next.part(1)], verdict: ok(idOf(9), 12, 1) },
  { name: "cosigned by both witnesses", parts: [tree.part(2, both)], usePolicy: true, verdict: ok(idOf(2), 2) },
  {
    name: "cosigned by a witness whose clock is ten minutes ahead of the reader",
    parts: [tree.part(2, cosign(cosign(tree.note(), w1), w2, now + 600))],
    usePolicy: true,
    verdict: ok(idOf(2), 2),
  },
  {
    name: "with an extra cosignature of a witness nobody knows",
    parts: [tree.part(2, cosign(tree.note(), seeded("elsewhere.example/w", 9)))],
    verdict: ok(idOf(2), 2),
  },
];

const bad: readonly Row[] = [
  { name: "attack: swapped leaf", parts: [{ ...whole, leaf: crossingLeaf(2) }], verdict: no("not-included") },
  {
    name: "attack: one byte of the leaf changed",
    parts: [{ ...whole, leaf: altered(crossingLeaf(0), '"status":201', '"status":200') }],
    verdict: no("not-included"),
  },
  {
    name: "attack: swapped checkpoint of the same log",
    parts: [withNote(whole, tree.note(7))],
    verdict: no("not-included"),
  },
  { name: "attack: checkpoint of the other year", parts: [withNote(whole, next.note())], verdict: no("not-included") },
  { name: "attack: unknown key", parts: [other.part(0)], verdict: no("unsigned") },
  {
    name: "attack: the origin of a known log under an unknown key",
    parts: [new Tree(seeded(origin("gw-1", 2026), 2), leaves).part(0)],
    verdict: no("unsigned"),
  },
  {
    name: "attack: a log that is known signs in another's name",
    parts: [new Tree(seeded(origin("gw-1", 2026), 3), leaves).part(0)],
    verdict: no("unsigned"),
  },
  {
    name: "attack: a checkpoint line changed",
    parts: [withNote(whole, tree.note().replace("\n13\n", "\n12\n"))],
    verdict: no("bad-signature"),
  },
  { name: "attack: a known log signs another node's leaf", parts: [sibling.part(0)], verdict: no("foreign-leaf") },
  { name: "attack: a leaf of another node in this log", parts: [tree.part(5)], verdict: no("foreign-leaf") },
  {
    name: "attack: truncated proof",
    parts: [withHashes(whole, whole.proof.hashes.slice(1))],
    verdict: no("not-included"),
  },
  {
    name: "attack: proof without its last hash",
    parts: [withHashes(whole, whole.proof.hashes.slice(0, -1))],
    verdict: no("not-included"),
  },
  {
    name: "attack: proof with a hash too many",
    parts: [withHashes(whole, [...whole.proof.hashes, sha256(ascii("one more"))])],
    verdict: no("not-included"),
  },
  {
    name: "attack: another index",
    parts: [{ ...whole, proof: { ...whole.proof, index: 1 } }],
    verdict: no("not-included"),
  },
  {
    name: "attack: an index beyond the tree",
    parts: [{ ...whole, proof: { ...whole.proof, index: 13 } }],
    verdict: no("not-included"),
  },
  {
    name: "attack: too few witnesses",
    parts: [tree.part(2, cosign(tree.note(), w1))],
    usePolicy: true,
    verdict: no("no-quorum"),
  },
  {
    name: "attack: a cosignature dated ten minutes and a second ahead",
    parts: [tree.part(2, cosign(cosign(tree.note(), w1), w2, now + 601))],
    usePolicy: true,
    verdict: no("no-quorum"),
  },
  {
    name: "attack: a cosignature of a distant future",
    parts: [tree.part(2, cosign(cosign(tree.note(), w1), w2, 4_102_444_800))],
    usePolicy: true,
    verdict: no("no-quorum"),
  },
  {
    name: "attack: one witness twice",
    parts: [
      tree.part(2, `${cosign(tree.note(), w1) + (cosign(tree.note(), w1, 1_795_305_800).split("\n").at(-2) ?? "")}\n`),
    ],
    usePolicy: true,
    verdict: no("no-quorum"),
  },
  {
    name: "attack: a witness's line from under another checkpoint",
    parts: [withNote(tree.part(2), `${tree.note() + (cosign(tree.note(7), w2).split("\n").at(-2) ?? "")}\n`)],
    usePolicy: true,
    verdict: no("bad-signature"),
  },
  { name: "attack: another crossing's receipt", parts: [whole], crossing: idOf(1), verdict: no("other-crossing") },
  { name: "attack: an intent without its end", parts: [tree.part(4)], verdict: no("not-ended") },
  { name: "attack: an outcome alone", parts: [tree.part(3)], verdict: no("mixed-leaves") },
  { name: "attack: an outcome of another crossing", parts: [tree.part(4), tree.part(3)], verdict: no("mixed-leaves") },
  {
    name: "attack: an outcome of another crossing, later in the log",
    parts: [tree.part(4), tree.part(10)],
    verdict: no("mixed-leaves"),
  },
  {
    name: "attack: outcome before intent in the text",
    parts: [tree.part(3), tree.part(1)],
    verdict: no("mixed-leaves"),
  },
  {
    name: "attack: outcome before intent in the tree",
    parts: [tree.part(11), tree.part(10)],
    verdict: no("mixed-leaves"),
  },
  { name: "attack: two crossings", parts: [whole, tree.part(2)], verdict: no("mixed-leaves") },
  { name: "attack: a member twice in the leaf", parts: [tree.part(8)], verdict: no("malformed-leaf") },
  { name: "attack: white space in the leaf", parts: [tree.part(9)], verdict: no("malformed-leaf") },
  { name: "a leaf of a newer version", parts: [tree.part(6)], verdict: no("unknown-version") },
  { name: "attack: three proofs", parts: [tree.part(1), tree.part(3), tree.part(3)], verdict: no("malformed-receipt") },
  {
    name: "attack: no empty line between two proofs",
    parts: printReceipt([tree.part(1), tree.part(3)]).replace("\n\nc2sp", "\nc2sp"),
    verdict: no("malformed-receipt"),
  },
  { name: "attack: cut in the middle", parts: text.slice(0, 900), verdict: no("malformed-receipt") },
  { name: "attack: without its last newline", parts: text.slice(0, -1), verdict: no("malformed-receipt") },
  {
    name: "attack: a proof without its leaf",
    parts: text.replace(/\nextra [^\n]*/, ""),
    verdict: no("malformed-receipt"),
  },
  { name: "attack: something before the first proof", parts: `\n${text}`, verdict: no("malformed-receipt") },
  { name: "nothing", parts: "", verdict: no("malformed-receipt") },
];

export function receiptVectors(): ReceiptVectors {
  const log = (name: string, byte: number) => printVerifierKey(sha256, name, seeded(name, byte).publicKey);
  const witness = ({ name, publicKey }: NoteSigner) => printWitnessKey(sha256, name, publicKey);
  // Of the year before: a key speaks for every year of its log.
  const keys = [log(origin("gw-1", 2025), 1), log(origin("gw-2", 2026), 3)];
  const policy = [
    ...keys.map((key) => `log ${key}`),
    `witness w1 ${witness(w1)}`,
    `witness w2 ${witness(w2)}`,
    "group both all w1 w2",
    "quorum both",
    "",
  ].join("\n");
  const cases = [...good, ...bad].map(({ name, parts, crossing = null, usePolicy = false, verdict }) => ({
    name,
    receipt: typeof parts === "string" ? parts : printReceipt(parts),
    crossing,
    usePolicy,
    verdict,
  }));
  return { keys, policy, now, cases };
}
