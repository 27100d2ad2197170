// Promises the words for what two checkpoints of one log say when they do not go together, each with both notes as evidence.
// Trusts whoever compared them. Specified in docs/witnesses.md "Findings".

export const logFindingCodes = [
  /** The log has fewer leaves than a witness cosigned: an older copy was put back, or leaves at its end are gone. */
  "rolled-back",
  /** Two roots for one size, both signed by the log. */
  "forked",
  /** A witness cosigned leaves that are not those of this log. */
  "split-view",
  /** A log of another key goes on from before what was cosigned of this one: a restore, by its own word. */
  "restored",
  /** The witness forgot what it cosigned. */
  "witness-rolled-back",
  /** The log is signed by another key than before. */
  "key-changed",
] as const;
export type LogFindingCode = (typeof logFindingCodes)[number];

export interface LogFinding {
  readonly code: LogFindingCode;
  readonly origin: string;
  /** Name of the witness that kept `kept`. */
  readonly witness: string;
  /** The checkpoint that was there before: a signed note. */
  readonly kept: string;
  /** The one that does not go with it. */
  readonly shown: string;
}

/** Characters of one note of evidence. */
export const evidenceCharactersMax = 65_536;
