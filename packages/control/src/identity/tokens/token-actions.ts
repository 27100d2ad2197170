// Promises what an operator can do about one token: see what it says and is worth, and have one made for debugging, with the reason on record.
// Trusts api.ts, which has proven the operator. A token text enters no record. Specified in docs/cli/token.md.
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import { type Actor, AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import { decideIssuance } from "../decide-issuance.ts";
import { mint } from "../mint.ts";
import { clearToken } from "../policy/clear-token.ts";
import type { TokenState } from "./judge-token.ts";
import type { RevokedBy } from "./store.ts";

export interface TokenReport {
  /** `foreign`: no ring of this installation has signed it, or it is not well-formed. */
  readonly state: "active" | "expired" | "not-yet-valid" | "revoked" | "not-granted" | "foreign";
  /** Null: foreign. */
  readonly environment: string | null;
  readonly kid: string | null;
  readonly claims: AccessTokenClaims | null;
  readonly revoked: RevokedBy | null;
  /** The verifier's code, where the token is foreign (docs/formats/token.md §3). */
  readonly why: string | null;
}

export interface IssueRequest {
  readonly environment: string;
  readonly client: string;
  /** The providing system. */
  readonly to: string;
  readonly scope?: string | undefined;
  /** RFC 7638 thumbprint of the key the operator holds: there is no unbound token for debugging. */
  readonly jkt: string;
  readonly reason: string;
}

export interface TokenActions {
  inspectToken(token: string): Promise<TokenReport>;
  /** Rejects with AdminFault `conflict` when the client itself would be refused such a token. */
  issueToken(
    actor: Actor,
    request: IssueRequest,
  ): Promise<{ readonly token: string; readonly jti: string; readonly expiresAt: number }>;
}

export function createTokenActions(parts: ControlParts): TokenActions {
  return {
    inspectToken: async (token) => {
      let why = "token-malformed";
      for (const [environment, identity] of parts.identities) {
        const state = await identity.judge(token);
        if (state.kind === "ours") return reportOf(state, environment);
        // The most telling one: a key that is unknown everywhere says less than a signature that does not fit.
        if (why === "token-malformed" || state.why !== "token-key-unknown") why = state.why;
      }
      return { state: "foreign", environment: null, kid: null, claims: null, revoked: null, why };
    },
    issueToken: (actor, request) => issue(parts, actor, request),
  };
}

function reportOf(judged: Extract<TokenState, { kind: "ours" }>, environment: string): TokenReport {
  const { claims, kid, outside, revoked, granted } = judged;
  const state =
    revoked !== null
      ? "revoked"
      : outside === "token-expired"
        ? "expired"
        : outside !== null
          ? "not-yet-valid"
          : granted
            ? "active"
            : "not-granted";
  return { state, environment, kid, claims, revoked, why: null };
}

async function issue(parts: ControlParts, actor: Actor, request: IssueRequest): ReturnType<TokenActions["issueToken"]> {
  const { environment, reason } = request;
  const identity = parts.identities.get(environment);
  const client = identity?.clients().get(request.client);
  if (identity === undefined || client === undefined)
    throw new AdminFault(
      "not-found",
      `there is no client ${request.client} in ${environment}`,
      "sallyport client list shows them",
    );
  const verdict = decideIssuance({
    issuer: identity.issuer,
    client,
    resources: [`${identity.issuer}/systems/${request.to}`],
    scope: request.scope,
    binding: { kind: "dpop", jkt: request.jkt },
    grants: identity.grants,
    now: parts.clock.now(),
  });
  if (verdict.kind === "refuse") throw new AdminFault("conflict", verdict.description, verdict.code);
  // As if the client asked itself, from an address that nobody knows.
  const decided = { decision: verdict.decision, client, grantType: "client_credentials", address: "" } as const;
  const cleared = clearToken(decided, identity.policy(), identity.signals);
  if (cleared.kind === "error") {
    const { policies = [], errors = [] } = cleared.about ?? {};
    throw new AdminFault("conflict", cleared.description, [cleared.code, ...policies, ...errors].join("; "));
  }
  const view = identity.ring.view();
  const algorithm = identity.legacyAlgorithm(request.to, parts.clock.now());
  const signer = algorithm === null ? view.signer : (view.legacy?.signers.get(algorithm) ?? null);
  if (signer === null)
    throw new AdminFault("unavailable", "no signing key is in use yet", "sallyport status shows what it waits for");
  const { clock, random, store, tenant } = parts;
  const { token, claims } = await mint(cleared.decision, signer, {
    clock,
    random,
    record: identity.recorder,
    present: identity.forms.present,
  });
  // A token that nobody could say who asked for does not leave.
  await store.run("recordTokenIssue", {
    tenant,
    environment,
    actor,
    reason,
    client: request.client,
    audience: request.to,
    jti: claims.jti,
  });
  return { token, jti: claims.jti, expiresAt: claims.exp * 1000 };
}
