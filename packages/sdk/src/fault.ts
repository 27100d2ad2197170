// Promises one error type for everything that fails in the world outside: a stable code, a message that is safe to show, what to do, the rest
// apart. Trusts nothing. No token, key or answer body is ever part of any of these texts. Specified in docs/sdk.md, "Faults".

/** Every code, with what to do about it; docs/sdk.md has the same table. */
export const faultFixes = {
  "metadata-unusable":
    "Check the issuer's URL (`<identity url>/<tenant>/<environment>`), that it is reachable, and that its root is trusted (`tls.ca` or NODE_EXTRA_CA_CERTS).",
  "token-endpoint-unreachable": "Check that the issuer is up and reachable from here; the call may be tried again.",
  "token-endpoint-refused":
    "invalid_client: the public half of this key must be declared for this client. invalid_target, invalid_scope: the integration must grant it. An operator sees the reason with `sallyport why`.",
  "token-answer-unusable":
    "Ask whoever runs the issuer: its answer is not that of a Sallyport issuer, or not bound to your key.",
  "key-unusable": "Use a P-256 or Ed25519 private key whose `sign` belongs to its `jwk`.",
  "wrong-origin": "Use a path, or make another fetch for the other gateway.",
  "redirect-not-followed": 'Leave `redirect` out, or use "manual" and decide yourself.',
  "body-not-replayable":
    "The gateway wanted the request once more and a stream can be sent only once. Send it again: the next one carries what was missing. Or pass bytes instead of a stream.",
  "idempotency-key-reused":
    "Take a new key for each effect, and keep it with its request: method, path, query, content type and content have to stay as they were.",
  "decision-unusable":
    "Give `decide` a fetch whose `gateway` is the listener with `authorizer: { proxy: services }`; without an answer nothing is allowed.",
} as const;

export type FaultCode = keyof typeof faultFixes;

export class SallyportFault extends Error {
  override readonly name = "SallyportFault";
  readonly code: FaultCode;
  /** For your own logs; `message` is the public text. */
  readonly internal: string;
  /** What to do. */
  readonly fix: string;

  constructor(
    code: FaultCode,
    text: { readonly public: string; readonly internal?: string; readonly cause?: unknown },
  ) {
    super(text.public, text.cause === undefined ? undefined : { cause: text.cause });
    this.code = code;
    this.internal = text.internal ?? text.public;
    this.fix = faultFixes[code];
  }
}
