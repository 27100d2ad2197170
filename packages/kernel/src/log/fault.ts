// Promises every way the log can fail as one error with a code, a text for operators that says what to do, and a text for anyone. Trusts nothing.

export type LogFaultCode =
  /** The bounded queue before the log is full. */
  | "log-full"
  /** Closed, or ended by a failed disk: nothing is appended any more. */
  | "log-closed"
  /** No space left for ordinary records. */
  | "disk-full"
  /** Another process holds the directory. */
  | "log-locked"
  /** Stored bytes are damaged. */
  | "log-corrupt"
  /** The log ends before, or differs from, a checkpoint that was signed. */
  | "log-rolled-back"
  /** The key is not the one that signed this log. */
  | "log-key"
  /** A checkpoint was published, but could not be copied outside the directory; the log goes on. */
  | "copy-failed"
  /** Not a leaf of v1; a bug of the writer. */
  | "leaf-refused"
  | "not-found";

/** Thrown by the log. `message` and `internal` are for operators and name the place and the fix; `public` says nothing about this installation. */
export class LogFault extends Error {
  readonly code: LogFaultCode;
  readonly internal: string;
  readonly public: string;
  constructor(code: LogFaultCode, internal: string, cause?: unknown) {
    super(internal, cause === undefined ? undefined : { cause });
    this.name = "LogFault";
    this.code = code;
    this.internal = internal;
    this.public = "The record could not be written";
  }
}
