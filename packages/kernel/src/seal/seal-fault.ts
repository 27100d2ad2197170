// Promises one shape for everything that can go wrong with keys and envelopes. Trusts nothing. Codes: docs/formats/seal.md.

export type SealFaultCode =
  | "envelope-malformed"
  | "envelope-refused"
  | "key-unknown"
  | "kek-missing"
  | "kek-wrong"
  | "key-file-unreadable"
  | "key-file-permissions"
  | "key-file-malformed"
  | "key-store"
  | "recipient-key"
  | "secret-wiped";

/** `message` is for operators and names the place and the fix; `publicText` may be shown to anyone. Neither holds secret bytes. */
export class SealFault extends Error {
  readonly code: SealFaultCode;
  readonly publicText = "A sealed value could not be used";

  constructor(code: SealFaultCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "SealFault";
    this.code = code;
  }
}
