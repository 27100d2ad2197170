// Promises that an operator is somebody who holds a registered key, for one request, at the admin listener and nowhere else.
// Trusts the operators' own ring, which no data-plane verifier holds, and the operator rows. RFC 7523, RFC 9449, RFC 9068, docs/identity.md "Operators".
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { readPrivateFile, writePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { acceptAccessToken, readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { TokenCrypto, TokenKeys } from "@sallyport/protocol/token/crypto.ts";
import { accessTokenHash, dpopAgeMsMax, dpopAheadMsMax, verifyDpopProof } from "@sallyport/protocol/token/dpop.ts";
import { parseJsonText } from "@sallyport/protocol/token/json.ts";
import { type PublicJwk, parsePublicJwk, thumbprint } from "@sallyport/protocol/token/jwk.ts";
import { checkSignature, parseCompactJws } from "@sallyport/protocol/token/jws.ts";
import { type OperatorRole, rolesInAll } from "../admin/permissions.ts";
import { assertionBytesMax, decideAssertion } from "./decide-assertion.ts";
import { machineLifetimeSecondsMax } from "./decide-issuance.ts";
import type { IssuanceRecorder } from "./issuance-record.ts";
import type { RingView } from "./issuer.ts";
import { dpopAlgorithms } from "./metadata.ts";
import { mintOperator } from "./mint.ts";
import type { NonceBook } from "./nonce.ts";
import { freshKeyFile, keyFileBytesMax, operatorKeyFile, parseKeyFile } from "./operator-key.ts";
import type { StoredOperator } from "./operator-store.ts";
import { type ReplayGuard, replayKey } from "./replay.ts";
import { refuseGrant } from "./seams.ts";
import type { IdentityCommands } from "./store.ts";
import { answerOfRefusal, type PublicAnswer } from "./token-answer.ts";

/** The operators' ring lives beside the environments' rings under a word no environment can have. */
export const operatorEnvironment = "sallyport";
const formBytesMax = 16 * 1024;
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export interface OperatorIssuerOptions {
  readonly tenant: string;
  /** Client-facing origin of the admin listener, without a trailing slash: audience of every operator token. */
  readonly adminUrl: string;
  readonly ring: () => RingView;
  readonly store: Pick<Store<IdentityCommands>, "run">;
  readonly replay: ReplayGuard;
  readonly nonces: NonceBook;
  readonly crypto: TokenCrypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly record: IssuanceRecorder;
  /** Operators declared in the configuration, beside those in rows; absent: none. */
  readonly declared?: () => readonly StoredOperator[];
}

export interface OperatorTokenRequest {
  /** The form as received. */
  readonly form: string;
  /** Every DPoP field value. */
  readonly proofs: readonly string[];
  readonly address: string;
}

export interface OperatorRequest {
  readonly method: string;
  /** Client-facing URL of the request, without query. */
  readonly url: string;
  /** Every Authorization and DPoP field value. */
  readonly authorizations: readonly string[];
  readonly proofs: readonly string[];
  /** Source address, for the record. */
  readonly address: string;
}

export type OperatorVerdict =
  | {
      readonly kind: "operator";
      readonly id: string;
      readonly tenant: string;
      /** The key of the request's token. */
      readonly kid: string;
      readonly roles: readonly OperatorRole[];
    }
  /** Answer 401 with these headers; `code` is for the record. */
  | { readonly kind: "refused"; readonly code: string; readonly headers: Readonly<Record<string, string>> };

export interface OperatorIssuer {
  readonly issuer: string;
  /** `POST /operators/token`. */
  token(request: OperatorTokenRequest): Promise<PublicAnswer>;
  /** Who sends this admin request? Each proof is good for one request. Rejects when the store fails. */
  authenticate(request: OperatorRequest): Promise<OperatorVerdict>;
  /** Of this key of an operator, as they are now; none when it is registered no more. */
  rolesNow(operator: { readonly id: string; readonly kid: string }): Promise<readonly OperatorRole[]>;
}

/** The operators' issuer: its tokens name the admin origin as issuer and audience, so nothing else accepts them, and it accepts nothing else. */
export function createOperatorIssuer(options: OperatorIssuerOptions): OperatorIssuer {
  const issuer = `${options.adminUrl}/operators`;
  return {
    issuer,
    rolesNow: async (operator) => rolesInAll((await registeredAs(operator, options)).map(({ roles }) => roles)),
    token: async (request) => {
      const result = await issueOperatorToken(issuer, request, options);
      if ("body" in result) return result;
      await options.record.refused({ client: result.operator, code: result.code, address: request.address });
      const description = "the request is not acceptable; see docs/identity.md, Operators";
      const answer = answerOfRefusal(refuseGrant(result.error, result.code, description));
      return { ...answer, headers: { ...answer.headers, "DPoP-Nonce": options.nonces.issue() } };
    },
    authenticate: async (request) => {
      const verdict = await authenticate(issuer, request, options);
      if (verdict.kind === "refused")
        await options.record.refused({ client: null, code: verdict.code, address: request.address });
      return verdict;
    },
  };
}

type Refusal = {
  readonly error:
    | "invalid_request"
    | "invalid_client"
    | "invalid_dpop_proof"
    | "use_dpop_nonce"
    | "temporarily_unavailable";
  readonly code: string;
  readonly operator: string | null;
};

async function issueOperatorToken(
  issuer: string,
  request: OperatorTokenRequest,
  options: OperatorIssuerOptions,
): Promise<PublicAnswer | Refusal> {
  const assertion = assertionOf(request.form);
  if (assertion === null) return { error: "invalid_request", code: "form-malformed", operator: null };
  const now = options.clock.now();
  const operator = await operatorOf(assertion, { issuer, now }, options);
  if (typeof operator === "string") return { error: "invalid_client", code: operator, operator: null };
  const [proof, ...others] = request.proofs;
  if (proof === undefined || others.length > 0)
    return { error: "invalid_dpop_proof", code: "dpop-missing", operator: operator.id };
  const verified = verifyDpopProof(proof, { method: "POST", url: `${issuer}/token`, ath: null, now }, options.crypto);
  if (verified.kind === "deny" && verified.code !== "dpop-nonce")
    return { error: "invalid_dpop_proof", code: verified.code, operator: operator.id };
  if (verified.kind === "deny" || !options.nonces.accepts(verified.nonce))
    return { error: "use_dpop_nonce", code: "dpop-nonce", operator: operator.id };
  const { signer } = options.ring();
  if (signer === null) return { error: "temporarily_unavailable", code: "no-active-key", operator: operator.id };
  const first = await options.replay.claim(
    "operator",
    replayKey("dpop", issuer, verified.jkt, verified.jti),
    verified.issuedAtMs + dpopAgeMsMax + dpopAheadMsMax,
  );
  if (!first) return { error: "invalid_dpop_proof", code: "dpop-replayed", operator: operator.id };
  const decision = {
    issuer,
    audience: options.adminUrl,
    operator: operator.id,
    kid: operator.kid,
    jkt: verified.jkt,
    lifetimeSeconds: machineLifetimeSecondsMax,
    address: request.address,
  };
  const minted = await mintOperator(decision, signer, options);
  return {
    status: 200,
    headers: { "Cache-Control": "no-store", "DPoP-Nonce": options.nonces.issue() },
    body: { access_token: minted.token, token_type: "DPoP", expires_in: decision.lifetimeSeconds },
  };
}

/** The assertion of a form in which everything needed stands exactly once; null for any other. */
function assertionOf(form: string): string | null {
  if (form.length > formBytesMax) return null;
  const parameters = new URLSearchParams(form);
  const once = (name: string): string | null => {
    const values = parameters.getAll(name);
    return values.length === 1 ? (values[0] ?? null) : null;
  };
  if (once("grant_type") !== "client_credentials" || once("client_assertion_type") !== assertionType) return null;
  return once("client_assertion");
}

/** The operator who signed this assertion for this issuer, now, once; or the code of what is wrong. */
async function operatorOf(
  assertion: string,
  place: { readonly issuer: string; readonly now: number },
  options: OperatorIssuerOptions,
): Promise<{ readonly id: string; readonly kid: string } | string> {
  const jws = parseCompactJws(assertion, { bytesMax: assertionBytesMax, keyMember: "kid" });
  const claims = jws.kind === "jws" ? parseJsonText(jws.payload) : null;
  if (jws.kind === "malformed" || claims === null) return "assertion-malformed";
  const operator = (await operatorsOf(options)).find((candidate) => candidate.kid === jws.header.kid);
  const jwk = operator === undefined ? null : parsePublicJwk(operator.jwk);
  const key = jwk === null ? null : options.crypto.importKey(jwk);
  if (operator === undefined || key === null) return "client-unknown";
  if (checkSignature(jws, key) !== null) return "assertion-signature";
  const verdict = decideAssertion({
    claims,
    header: { ...jws.header },
    issuer: place.issuer,
    client: operator.id,
    now: place.now,
  });
  if (verdict.kind === "refuse") return verdict.code;
  const replayed = replayKey("assertion", place.issuer, operator.kid, verdict.jti);
  const first = await options.replay.claimAssertion("operator", replayed, verdict);
  return first ? { id: operator.id, kid: operator.kid } : "assertion-replayed";
}

async function authenticate(
  issuer: string,
  request: OperatorRequest,
  options: OperatorIssuerOptions,
): Promise<OperatorVerdict> {
  const now = options.clock.now();
  const refused = (code: string): OperatorVerdict => ({
    kind: "refused",
    code,
    headers: {
      "WWW-Authenticate":
        code === "dpop-nonce" ? 'DPoP error="use_dpop_nonce"' : `DPoP algs="${dpopAlgorithms.join(" ")}"`,
      "DPoP-Nonce": options.nonces.issue(),
    },
  });
  const [authorization = "", ...otherAuthorizations] = request.authorizations;
  const [proof, ...otherProofs] = request.proofs;
  const token = /^DPoP ([A-Za-z0-9._-]+)$/.exec(authorization)?.[1];
  if (token === undefined || proof === undefined || otherAuthorizations.length + otherProofs.length > 0)
    return refused("credentials-missing");
  const signed = readAccessToken(token, {
    issuer,
    keys: ringKeys(options),
    lifetimeSecondsMax: machineLifetimeSecondsMax,
  });
  if (signed.kind === "deny") return refused(signed.code);
  const verified = verifyDpopProof(
    proof,
    { method: request.method, url: request.url, ath: accessTokenHash(token, options.crypto), now },
    options.crypto,
  );
  if (verified.kind === "deny") return refused(verified.code);
  if (!options.nonces.accepts(verified.nonce)) return refused("dpop-nonce");
  const use = {
    audience: options.adminUrl,
    now,
    scheme: "DPoP",
    jkt: verified.jkt,
    revocations: { isRevoked: () => false },
  } as const;
  const accepted = acceptAccessToken(signed, use);
  if (accepted.kind === "deny") return refused(accepted.code);
  // Removed operators and removed keys are out at once, not when their last token ends: whoever had the key may hold the token.
  const { sub, client_id: kid } = accepted.claims;
  const registered = await registeredAs({ id: sub, kid }, options);
  if (registered.length === 0) return refused("client-unknown");
  const first = await options.replay.claim(
    "operator",
    replayKey("dpop", issuer, verified.jkt, verified.jti),
    verified.issuedAtMs + dpopAgeMsMax + dpopAheadMsMax,
  );
  if (!first) return refused("dpop-replayed");
  // As they stand now, not as they stood when the token was issued.
  const roles = rolesInAll(registered.map((operator) => operator.roles));
  return { kind: "operator", id: sub, tenant: options.tenant, kid, roles };
}

async function registeredAs(
  { id, kid }: { readonly id: string; readonly kid: string },
  options: OperatorIssuerOptions,
): Promise<readonly StoredOperator[]> {
  return (await operatorsOf(options)).filter((operator) => operator.id === id && operator.kid === kid);
}

async function operatorsOf(options: OperatorIssuerOptions): Promise<readonly StoredOperator[]> {
  const rows = await options.store.run("readOperators", { tenant: options.tenant });
  return [...rows, ...(options.declared?.() ?? [])];
}

/** Operators of the configuration in the form of rows: one per key, named by its thumbprint. */
export function declaredOperators(
  operators: readonly {
    readonly id: string;
    readonly keys: readonly PublicJwk[];
    readonly roles: readonly OperatorRole[];
  }[],
  crypto: TokenCrypto,
): readonly StoredOperator[] {
  return operators.flatMap(({ id, keys, roles }) =>
    keys.map((jwk) => ({ id, kid: thumbprint(jwk, crypto), jwk: { ...jwk }, roles })),
  );
}

function ringKeys(options: OperatorIssuerOptions): TokenKeys {
  return {
    find: (kid) => {
      const entry = options.ring().keys.find((key) => key.kid === kid && key.state !== "next");
      const jwk = entry === undefined ? null : parsePublicJwk(entry.jwk);
      return jwk === null ? undefined : (options.crypto.importKey(jwk) ?? undefined);
    },
  };
}

export interface FirstOperatorPorts {
  readonly tenant: string;
  readonly adminUrl: string;
  readonly store: Pick<Store<IdentityCommands>, "run">;
  readonly random: Random;
  /** SHA-256 of the admin listener's SubjectPublicKeyInfo, base64: what the CLI accepts instead of public roots. */
  readonly pin: string;
}

/**
 * Makes the first operator of a tenant that has none: a private key file (0600) in `dir` and the row with its public half.
 * Returns the path to show, or null when an operator exists already. Never overwrites a file; a file left by a crash is taken up.
 */
export async function createFirstOperator(
  dir: string,
  ports: FirstOperatorPorts,
): Promise<{ readonly path: string; readonly id: string } | null> {
  const operators = await ports.store.run("readOperators", { tenant: ports.tenant });
  if (operators.length > 0) return null;
  const path = join(dir, operatorKeyFile);
  const left = readPrivateFile(path, keyFileBytesMax);
  const id = "admin";
  if (left === null)
    writePrivateFile(
      path,
      freshKeyFile(id, { issuer: `${ports.adminUrl}/operators`, pin: ports.pin }).file,
      ports.random,
    );
  const { signer } = parseKeyFile(left ?? readPrivateFile(path, keyFileBytesMax) ?? new Uint8Array(), path);
  const added = await ports.store.run("addOperator", {
    tenant: ports.tenant,
    id,
    kid: signer.kid,
    jwk: { ...signer.jwk },
    roles: ["admin"],
    actor: "built-in",
    onlyFirst: true,
  });
  if (added) return { path, id };
  // Another control node was first: a key nobody registered must not lie around.
  if (left === null) rmSync(path, { force: true });
  return null;
}
