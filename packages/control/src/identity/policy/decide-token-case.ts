// Promises whether a token would be issued, without a request for one: the same decisions, in the same order, as the token endpoint takes them, over the
// estate as it is written. Pure but for the evaluator. Trusts its caller that the names exist. Specified in docs/policy-tests.md "Tokens".
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { EnvironmentConfig } from "../../registry/config/estate.ts";
import { type Binding, decideIssuance, userLifetimeSecondsMax } from "../decide-issuance.ts";
import { type Directory, directoryOf, type IdentityClient } from "../directory.ts";
import { decideExchange, exchangeIdPrefix } from "../exchange/decide-exchange.ts";
import { mintableExchange } from "../exchange/exchange-grant.ts";
import { clearToken, type DecidedToken } from "./clear-token.ts";
import type { IssuancePolicy } from "./issuance-policy.ts";
import { createIssuanceSignals, type IssuanceSignals } from "./issuance-signals.ts";

export interface TokenCase {
  readonly action: "token:issue" | "token:exchange";
  readonly caller: string;
  readonly for: string;
  /** Absent: the system's first. */
  readonly client?: string | undefined;
  readonly grantType: Exclude<GrantWord, "token-exchange">;
  readonly proof: ProofKind;
  readonly scopes?: readonly string[] | undefined;
  readonly address?: string | undefined;
  readonly subject?: string | undefined;
  readonly acr?: string | undefined;
  readonly amr?: readonly string[] | undefined;
  /** Seconds since the epoch. */
  readonly authTime?: number | undefined;
  /** Of no account in an exchange. */
  readonly device?: "known" | "new" | undefined;
  /** What control would know of the place and make of the log-in; a user's risk is 0 where nothing is said. */
  readonly country?: string | undefined;
  readonly risk?: number | undefined;
  readonly riskFactors?: readonly string[] | undefined;
  readonly subjectIssuer?: string | undefined;
  /** Exchanges behind the new token, this one included. */
  readonly depth: number;
}

export type TokenCaseVerdict =
  | { readonly kind: "allow"; readonly policies: readonly string[] }
  | {
      readonly kind: "deny";
      readonly code: string;
      readonly policies: readonly string[];
      readonly facts: Readonly<Record<string, string>>;
    };

/** An issuer that no token is ever of. */
const issuer = "https://policy-test.invalid/main/test";
/** A case may say the country and no address. */
const anyAddress = "127.0.0.1";
const thumbprint = "A".repeat(43);
const subjectOfTests = "usr_policy-test";

/** `isActive` absent: every integration counts as active, because a state is not configuration. */
export function decideTokenCase(
  one: TokenCase,
  over: {
    readonly environment: EnvironmentConfig;
    readonly policy: IssuancePolicy;
    readonly now: number;
    readonly isActive?: (integration: string) => boolean;
  },
): TokenCaseVerdict {
  const directory = directoryOf({ ...over.environment, isActive: over.isActive ?? (() => true) });
  const client = clientOf(one, directory);
  if (client === null)
    return deny("client-unknown", `${one.caller} has no client${one.client === undefined ? "" : ` ${one.client}`}`);
  const asked = {
    issuer,
    client,
    resources: [`${issuer}/systems/${one.for}`],
    scope: one.scopes?.join(" "),
    binding: bindingOf(one.proof),
    grants: directory.grants,
    now: over.now,
  };
  const decided = one.action === "token:exchange" ? decideExchangeCase(one, asked) : decideIssueCase(one, asked);
  if ("code" in decided) return deny(decided.code, decided.description);
  const cleared = clearToken(decided, over.policy, signalsOf(one, over.now));
  if (cleared.kind === "cleared") return { kind: "allow", policies: cleared.decision.clearance.policies };
  const { policies = [], errors = [] } = cleared.about ?? {};
  return { ...deny(cleared.code, errors.join("; ") || `denied by ${policies.join(", ")}`), policies };
}

/** Of the case, in place of what control finds out. */
function signalsOf({ country, risk = 0, riskFactors = [] }: TokenCase, now: number): IssuanceSignals {
  const found = createIssuanceSignals({
    geo: { find: () => (country === undefined ? null : { country, point: null }) },
    clock: { now: () => now },
  });
  return {
    of: (names, asked) => ({
      ...found.of(names, { ...asked, address: anyAddress }),
      ...(asked.subject !== undefined && names.includes("risk") ? { risk } : {}),
      ...(asked.subject !== undefined && names.includes("riskFactors") ? { riskFactors } : {}),
    }),
  };
}

function deny(code: string, why: string): Extract<TokenCaseVerdict, { kind: "deny" }> {
  return { kind: "deny", code, policies: [], facts: { why } };
}

type Asked = Parameters<typeof decideIssuance>[0];
type Undecided = { readonly code: string; readonly description: string };

function decideIssueCase(one: TokenCase, asked: Asked): DecidedToken | Undecided {
  const hasUser = one.grantType !== "client_credentials" && one.grantType !== "jwt-bearer";
  const verdict = decideIssuance(hasUser ? { ...asked, lifetimeSecondsMax: userLifetimeSecondsMax } : asked);
  if (verdict.kind === "refuse") return verdict;
  const decision = hasUser
    ? { ...verdict.decision, subject: subjectOf(one), grants: ["grt_policy-test"] }
    : verdict.decision;
  return { ...commonOf(one, asked.client), decision, grantType: one.grantType };
}

function decideExchangeCase(one: TokenCase, asked: Asked): DecidedToken | Undecided {
  const { id, acr, amr, authTime } = subjectOf(one);
  const from = one.subjectIssuer ?? "own";
  const verdict = decideExchange({
    ...asked,
    subject: {
      from,
      sub: id,
      client: from === "own" ? asked.client.id : null,
      audience: null,
      scopes: null,
      expiresAtMs: asked.now + userLifetimeSecondsMax * 1000,
      id: "policy-test",
      gid: Array.from({ length: one.depth - 1 }, (_, index) => `${exchangeIdPrefix}${index}`),
      ...(one.proof === "mtls" ? { x5t: thumbprint } : { jkt: thumbprint }),
      ...(acr === undefined ? {} : { acr }),
      ...(amr === undefined ? {} : { amr }),
      ...(authTime === undefined ? {} : { authTime }),
    },
  });
  if (verdict.kind === "refuse") return verdict;
  const decision = mintableExchange(verdict.decision);
  const { as } = verdict.decision;
  return { ...commonOf(one, asked.client), decision, grantType: "token-exchange", subjectIssuer: from, as };
}

function commonOf(one: TokenCase, client: IdentityClient): Pick<DecidedToken, "client" | "address" | "subjectIssuer"> {
  return {
    client,
    address: one.address ?? "",
    ...(one.subjectIssuer === undefined ? {} : { subjectIssuer: one.subjectIssuer }),
  };
}

function subjectOf({ subject = subjectOfTests, acr, amr, authTime, device }: TokenCase) {
  return {
    id: subject,
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(authTime === undefined ? {} : { authTime }),
    ...(device === undefined ? {} : { device }),
  };
}

function clientOf({ caller, client }: TokenCase, directory: Directory): IdentityClient | null {
  for (const one of directory.clients.values())
    if (one.system === caller && (client === undefined || one.id === client)) return one;
  return null;
}

function bindingOf(proof: ProofKind): Binding {
  if (proof === "bearer") return { kind: "none" };
  return proof === "dpop" ? { kind: "dpop", jkt: thumbprint } : { kind: "mtls", x5t: thumbprint };
}
