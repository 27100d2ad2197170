// Promises one error type for everything that fails in the world outside: a stable code, a message that is safe to show, the rest apart.
// Trusts nothing. No token, key or answer body is ever part of either text.

export type FaultCode =
  | "metadata-unusable"
  | "token-endpoint-unreachable"
  | "token-endpoint-refused"
  | "token-answer-unusable"
  | "wrong-origin"
  | "redirect-not-followed";

export class SallyportFault extends Error {
  override readonly name = "SallyportFault";
  readonly code: FaultCode;
  /** For your own logs; `message` is the public text. */
  readonly internal: string;

  constructor(
    code: FaultCode,
    text: { readonly public: string; readonly internal?: string; readonly cause?: unknown },
  ) {
    super(text.public, text.cause === undefined ? undefined : { cause: text.cause });
    this.code = code;
    this.internal = text.internal ?? text.public;
  }
}
