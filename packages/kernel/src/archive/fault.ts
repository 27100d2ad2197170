// Promises every way an archive can fail as one error with a code and a text for operators that says what to do, never a credential. Trusts nothing.
// Codes are listed in docs/archive.md "When something is wrong".

export type ArchiveFaultCode =
  /** Other bytes lie under this name already: what was archived is never written over. */
  | "archive-differs"
  /** Its time has not come. */
  | "archive-retained"
  /** A legal hold covers it. */
  | "archive-held"
  /** What was read is not what was written. */
  | "archive-damaged"
  /** Not there, or not answering in time: tried again. */
  | "archive-unreachable"
  /** No room: tried again. */
  | "archive-full"
  /** The place does not let us in, or not do this. */
  | "archive-refused"
  /** The place cannot keep the promises of an archive. */
  | "archive-unsuitable";

const passing: ReadonlySet<ArchiveFaultCode> = new Set(["archive-unreachable", "archive-full"]);

/** Thrown by archive stores. `message` is for operators: the place, what is wrong, the fix. */
export class ArchiveFault extends Error {
  override readonly name = "ArchiveFault";
  readonly code: ArchiveFaultCode;

  constructor(code: ArchiveFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  /** May the same act succeed later, with nothing changed by hand? */
  get isPassing(): boolean {
    return passing.has(this.code);
  }
}
