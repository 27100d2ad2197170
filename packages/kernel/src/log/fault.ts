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
  /** No signature could be had for a checkpoint: none is published, the log goes on. */
  | "signer-failed"
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

/** After these the log goes on. */
export const mayBeTriedAgain: ReadonlySet<LogFaultCode> = new Set([
  "leaf-refused",
  "signer-failed",
  "copy-failed",
  "disk-full",
]);

export function diskFull(directory: string, cause: unknown): LogFault {
  return new LogFault(
    "disk-full",
    `no space left for ${directory}: free some on this volume; administrative records still fit until the reserve is used up`,
    cause,
  );
}

/** A sync that failed, with whatever code: what it covered may be lost although the page cache still has it, so the log cannot go on. */
export class SyncFault extends Error {
  constructor(path: string, cause: unknown) {
    super(`${path} could not be synced: ${cause instanceof Error ? cause.message : "unknown"}`, { cause });
    this.name = "SyncFault";
  }
}

export function diskFailed(directory: string, error: unknown): LogFault {
  const why = error instanceof Error ? error.message : "unknown";
  return new LogFault(
    "log-closed",
    `the log in ${directory} ended because its disk failed (${why}); check the volume and restart`,
    error instanceof SyncFault ? error.cause : error,
  );
}
