// Promises a witness: it cosigns a checkpoint only when that extends everything it cosigned of the log before, and only once this is durable; what
// contradicts it is kept as evidence. Trusts its state's compare-and-swap and the log keys it is given. Specified by C2SP tlog-witness.
import { onlyLinesOf, printWitnessKey, signCosignature } from "@sallyport/protocol/audit/cosignature.ts";
import { type NoteSigner, type NoteVerifier, verifyNote } from "@sallyport/protocol/audit/note.ts";
import {
  decideContradiction,
  decideSubmission,
  type ParsedSubmission,
  parseSubmission,
  printTreeSize,
  type SubmissionVerdict,
  statusOf,
  type WitnessedTree,
} from "@sallyport/protocol/audit/witness-request.ts";
import { noteCrypto, sha256 } from "../log/log-crypto.ts";
import type { LogFinding, LogFindingCode } from "./finding.ts";

export interface WitnessedLog extends WitnessedTree {
  /** The checkpoint with the log's signature and this witness's cosignature. */
  readonly note: string;
  /** Raw public key of the log that signed it, base64. */
  readonly logKey: string;
}

/** What a witness must never forget. */
export interface WitnessState {
  find(origin: string): Promise<WitnessedLog | null>;
  /**
   * Puts `next` in the place of `last` (null: nothing is kept) and resolves with true once that is durable; false when something else is
   * kept by now, whoever wrote it: of two that began from one state, one gets true.
   */
  replace(origin: string, last: WitnessedTree | null, next: WitnessedLog): Promise<boolean>;
}

export interface WitnessOptions {
  readonly state: WitnessState;
  readonly signer: NoteSigner;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly found: (finding: LogFinding) => Promise<void>;
}

/** Who asks. */
export interface Submitter {
  /** Keys trusted for an origin; null: it is no log this witness knows from this submitter. */
  keys(origin: string): Promise<readonly NoteVerifier[] | null>;
  /**
   * The submitter is proven to keep the log. From anybody else only what the log signed twice is held against it: a stranger can send an
   * old checkpoint, or a proof that is none.
   */
  readonly isKeeper: boolean;
}

export interface WitnessAnswer {
  readonly status: ReturnType<typeof statusOf>;
  readonly contentType: "text/plain; charset=utf-8" | "text/x.tlog.size";
  readonly body: string;
}

const originCharactersMax = 512;
const nothing: WitnessedTree = { size: 0, root: sha256(new Uint8Array(0)) };

export class Witness {
  readonly #options: WitnessOptions;
  /** This witness's verifier key (C2SP, type 0x04). */
  readonly verifierKey: string;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.verifierKey = printWitnessKey(sha256, options.signer.name, options.signer.publicKey);
  }

  get name(): string {
    return this.#options.signer.name;
  }

  /** Answers one `add-checkpoint` request. Rejects when the state cannot be read or written: then nothing was cosigned. */
  async add(text: string, from: Submitter): Promise<WitnessAnswer> {
    const submission = parseSubmission(text);
    if (submission === null || submission.checkpoint.origin.length > originCharactersMax)
      return plain({ kind: "bad-request" });
    const { origin } = submission.checkpoint;
    const keys = await from.keys(origin);
    const last = keys === null ? null : await this.#options.state.find(origin);
    const verdict = decideSubmission(noteCrypto, submission, { keys, last: last ?? nothing });
    if (verdict.kind === "cosign") return this.#cosign(submission, keys ?? [], last);
    if (last !== null) await this.#notice(verdict, submission, { last, isKeeper: from.isKeeper });
    return plain(verdict);
  }

  /** The newest cosigned checkpoint of a log; null: this witness has cosigned none. */
  async kept(origin: string): Promise<string | null> {
    return (await this.#options.state.find(origin))?.note ?? null;
  }

  async #cosign(
    submission: ParsedSubmission,
    keys: readonly NoteVerifier[],
    last: WitnessedLog | null,
  ): Promise<WitnessAnswer> {
    const { state, signer, now } = this.#options;
    const { body, checkpoint, note } = submission;
    const line = signCosignature(sha256, body, Math.floor(now() / 1000), signer);
    // Whatever else stood under it is not kept: anybody may write lines of unknown keys.
    const known = onlyLinesOf(note, keys);
    const signed = verifyNote(noteCrypto, known, keys);
    const logKey = signed.kind === "ok" ? signed.signedBy[0] : undefined;
    if (logKey === undefined) throw new Error("a checkpoint to cosign was signed a moment ago");
    const { size, root } = checkpoint;
    const next = { size, root, note: known + line, logKey: Buffer.from(logKey.publicKey).toString("base64") };
    if (await state.replace(checkpoint.origin, last, next)) return answer(200, line);
    const winner = await state.find(checkpoint.origin);
    return plain({ kind: "conflict", size: winner?.size ?? 0 });
  }

  async #notice(
    verdict: SubmissionVerdict,
    submission: ParsedSubmission,
    { last, isKeeper }: { readonly last: WitnessedLog; readonly isKeeper: boolean },
  ): Promise<void> {
    // Before these the log's signature has not been verified.
    if (verdict.kind !== "conflict" && verdict.kind !== "unprocessable") return;
    const code = contradictionOf(verdict, submission, last);
    if (code === null || (code !== "forked" && !isKeeper)) return;
    const { origin } = submission.checkpoint;
    await this.#options.found({ code, origin, witness: this.name, kept: last.note, shown: submission.note });
  }
}

function contradictionOf(
  verdict: SubmissionVerdict,
  submission: ParsedSubmission,
  last: WitnessedTree,
): LogFindingCode | null {
  const said = decideContradiction(last, submission.checkpoint);
  if (said !== null) return said;
  return verdict.kind === "unprocessable" && submission.oldSize === last.size ? "split-view" : null;
}

function plain(verdict: SubmissionVerdict): WitnessAnswer {
  if (verdict.kind === "conflict")
    return { status: 409, contentType: "text/x.tlog.size", body: printTreeSize(verdict.size) };
  return answer(statusOf(verdict), "");
}

const answer = (status: WitnessAnswer["status"], body: string): WitnessAnswer => ({
  status,
  contentType: "text/plain; charset=utf-8",
  body,
});
