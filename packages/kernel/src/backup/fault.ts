// Promises one shape for everything that can go wrong with a backup. Trusts nothing. What each code means: docs/backup.md "Faults".

export type BackupFaultCode =
  /** The file is not a backup, or one of a format this program does not know. */
  | "backup-malformed"
  | "backup-newer"
  /** A byte is not the one that was written: changed, cut short, reordered, or something was added. */
  | "backup-damaged"
  /** The key or passphrase does not open this backup, or is no key at all. */
  | "backup-key"
  /** Another installation signed it than the one that was named. */
  | "backup-signer"
  /** What is to be backed up cannot be: no control plane here, or its log does not publish checkpoints. */
  | "backup-source"
  /** The file or directory to write is there already or cannot be written. */
  | "backup-target";

/** `message` is for operators and names the place and the fix; it holds no secret bytes. */
export class BackupFault extends Error {
  override readonly name = "BackupFault";
  readonly code: BackupFaultCode;
  readonly public = "The backup could not be made or used";

  constructor(code: BackupFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
