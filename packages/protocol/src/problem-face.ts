// Promises what a caller is told of a denial (RFC 9457), and the codes of stage `identify` by themselves, so that an SDK that says no need not carry the
// others. Trusts nothing. The whole table: problem.ts; pages: docs/problems.

export interface ProblemType {
  readonly status: number;
  /** Public title: says what is wrong without saying anything about anyone else. */
  readonly title: string;
  /** May the very same request succeed later without a change? */
  readonly retryable: boolean;
  /** Strangers get only the generic answer of the same status; callers we know get the detail with the fix. */
  readonly audience: "stranger" | "caller";
}

export const stranger = (status: number, title: string, retryable = false): ProblemType => ({
  status,
  title,
  retryable,
  audience: "stranger",
});
export const caller = (status: number, title: string, retryable = false): ProblemType => ({
  status,
  title,
  retryable,
  audience: "caller",
});

const unauthenticated = stranger(401, "Authentication is required");

/** All the same 401 to a stranger. */
export const identifyProblems = {
  "credentials-missing": unauthenticated,
  "credentials-malformed": unauthenticated,
  "token-malformed": unauthenticated,
  "token-unknown": unauthenticated,
  "token-inactive": unauthenticated,
  "token-unresolved": stranger(503, "The gateway cannot tell now what this token stands for", true),
  "token-algorithm": unauthenticated,
  "token-key-unknown": unauthenticated,
  "token-signature": unauthenticated,
  "token-type": unauthenticated,
  "token-issuer": unauthenticated,
  "token-unmapped": unauthenticated,
  "token-audience": unauthenticated,
  "token-expired": unauthenticated,
  "token-not-yet-valid": unauthenticated,
  "token-claims": unauthenticated,
  "token-revoked": unauthenticated,
  "token-bound-as-bearer": unauthenticated,
  "token-unbound": unauthenticated,
  "client-unknown": unauthenticated,
  "dpop-missing": unauthenticated,
  "dpop-malformed": unauthenticated,
  "dpop-algorithm": unauthenticated,
  "dpop-signature": unauthenticated,
  "dpop-method": unauthenticated,
  "dpop-url": unauthenticated,
  "dpop-token-hash": unauthenticated,
  "dpop-expired": unauthenticated,
  "dpop-nonce": stranger(401, "Authentication is required", true),
  "dpop-replayed": unauthenticated,
  "dpop-key-mismatch": unauthenticated,
  "certificate-unknown": unauthenticated,
  "certificate-untrusted": unauthenticated,
  "certificate-expired": unauthenticated,
  "certificate-revoked": unauthenticated,
  "revocation-unknown": unauthenticated,
  "certificate-mismatch": unauthenticated,
  "signature-malformed": unauthenticated,
  "signature-key-unknown": unauthenticated,
  "signature-algorithm": unauthenticated,
  "signature-components": unauthenticated,
  "signature-expired": unauthenticated,
  "signature-invalid": unauthenticated,
  "signature-nonce": stranger(401, "Authentication is required", true),
  "signature-replayed": unauthenticated,
  "api-key-unknown": unauthenticated,
  "api-key-ended": unauthenticated,
  "identity-conflict": unauthenticated,
  "replay-table-full": stranger(503, "The gateway is at its limit", true),
} as const satisfies Record<string, ProblemType>;

/** Base of the `type` member; each code has a page of the same name in docs/problems. */
const problemTypeBase = "https://sallyport.dev/problems/";

export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail?: string;
  readonly correlationId: string;
  readonly retryable: boolean;
}

/** What it calls itself to its caller. */
export function faceOf(code: string, { status, audience }: ProblemType): string {
  return status === 401 && audience === "stranger" && code !== "dpop-nonce" ? "unauthenticated" : code;
}

/** `detail` is for callers we know. */
export function documentOf(
  code: string,
  problem: ProblemType,
  { correlationId, detail }: Pick<ProblemDocument, "correlationId" | "detail">,
): ProblemDocument {
  const face = faceOf(code, problem);
  return {
    type: problemTypeBase + face,
    title: problem.title,
    status: problem.status,
    code: face,
    ...(detail !== undefined && problem.audience === "caller" ? { detail } : {}),
    correlationId,
    retryable: problem.retryable,
  };
}
