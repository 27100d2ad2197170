// Promises that an exchanged token carries no more than its subject, its client, its resource and its rule together allow, ends no later, and never
// loses a binding, an actor or its lineage. Trusts that the subject token was verified and is not revoked. Pure. docs/identity/token-exchange.md, RFC 8693.
import type { Actor } from "@sallyport/protocol/principal.ts";
import { clientLineagePrefix, grantsMax } from "@sallyport/protocol/token/claim-types.ts";
import { type Binding, parseScope } from "../decide-issuance.ts";
import { decideTarget, type Refusal, refuse, type TargetCode, type TargetRequest } from "../decide-target.ts";
import type { IdentityGrant } from "../directory.ts";

export const tokenExchangeGrantType = "urn:ietf:params:oauth:grant-type:token-exchange";
export const exchangeDepthMax = 8;
/** Beginning of the lineage ids that exchanges add; the rest is the subject token's id. */
export const exchangeIdPrefix = "xch_";

/** One rule of one integration: see docs/identity/token-exchange.md "The rule". */
export interface ExchangeRule {
  /** `own`, or the id of a trusted issuer. */
  readonly subject: string;
  readonly as: "delegate" | "impersonate";
  /** Full names: `billing:invoice.read`. */
  readonly operations: readonly string[];
  /** Scope words of the subject token to full names. Absent: see the table "Scope". */
  readonly carries?: Readonly<Record<string, readonly string[]>>;
  readonly depth: number;
  readonly binding: "keep" | "rebind";
}

/** A verified token that somebody wants to exchange. */
export interface SubjectToken {
  /** `own`, or the id of the trusted issuer it is of. */
  readonly from: string;
  readonly sub: string;
  /** Its `holderid` and `aud`, when it is our own. */
  readonly client: string | null;
  readonly audience: string | null;
  /** null: it carries no scope. */
  readonly scopes: readonly string[] | null;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Its `jti`, or what stands for it; becomes part of the lineage. */
  readonly id: string;
  readonly gid: readonly string[];
  readonly act?: Actor;
  readonly mayAct?: { readonly sub: string; readonly iss?: string };
  readonly jkt?: string;
  readonly x5t?: string;
  readonly sid?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly authTime?: number;
}

export interface ExchangeRequest extends TargetRequest {
  readonly subject: SubjectToken;
  readonly scope: string | undefined;
  readonly binding: Binding;
}

export interface ExchangeDecision {
  readonly issuer: string;
  readonly client: string;
  readonly subject: string;
  readonly audience: string;
  readonly integration: string;
  readonly as: ExchangeRule["as"];
  /** Never empty. */
  readonly scopes: readonly string[];
  readonly ceiling: ReadonlySet<string>;
  readonly binding: Binding;
  readonly lifetimeSeconds: number;
  readonly gid: readonly string[];
  readonly act?: Actor;
  readonly sid?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  readonly authTime?: number;
}

export type ExchangeCode =
  | TargetCode
  | "subject-not-yours"
  | "subject-token-expired"
  | "exchange-not-granted"
  | "exchange-may-act"
  | "exchange-loop"
  | "exchange-depth"
  | "exchange-unbound"
  | "exchange-binding"
  | "exchange-scope"
  | "scope-malformed";

export type ExchangeRefusal = Refusal<"invalid_request" | "invalid_target" | "invalid_scope", ExchangeCode>;

export type ExchangeVerdict = { readonly kind: "exchange"; readonly decision: ExchangeDecision } | ExchangeRefusal;

/** May this client have this token for that one? */
export function decideExchange(request: ExchangeRequest): ExchangeVerdict {
  const { subject, now } = request;
  const target = decideTarget(request);
  if (target.kind === "refuse") return target;
  const { resource, grants } = target;
  const found = ruleFor(grants, subject.from);
  if (found === null)
    return refuse(
      "invalid_target",
      "exchange-not-granted",
      "no active integration lets this client exchange such a token for the named resource",
    );
  const unfit = refuseSubject(request) ?? refuseChain(request, found.rule) ?? refuseBinding(request, found);
  if (unfit !== null) return unfit;
  const scopes = scopeOf(request, found.rule, grants);
  if ("kind" in scopes) return scopes;
  const endMs = Math.min(subject.expiresAtMs, found.grant.expiresAtMs ?? Number.POSITIVE_INFINITY);
  // From the whole second mint counts from, so that the new `exp` is at most the subject's.
  const lifetimeSeconds = Math.min(
    request.client.lives.machineSeconds,
    Math.floor(endMs / 1000) - Math.floor(now / 1000),
  );
  if (lifetimeSeconds < 1)
    return refuse("invalid_request", "subject-token-expired", "the subject token has ended or is about to");
  return {
    kind: "exchange",
    decision: { ...decisionOf(request, found), ...scopes, audience: resource, lifetimeSeconds },
  };
}

interface Found {
  readonly grant: IdentityGrant;
  readonly rule: ExchangeRule;
}

/** The one rule for tokens of this issuer; two are none, because nobody could say which ceiling was meant. */
function ruleFor(grants: readonly IdentityGrant[], from: string): Found | null {
  const found = grants.flatMap((grant) =>
    (grant.exchange ?? []).filter((rule) => rule.subject === from).map((rule) => ({ grant, rule })),
  );
  return found.length === 1 ? (found[0] ?? null) : null;
}

function refuseSubject({ subject, client, issuer }: ExchangeRequest): ExchangeRefusal | null {
  const isOurs = subject.client === client.id || subject.audience === `${issuer}/systems/${client.system}`;
  if (subject.from === "own" && !isOurs)
    return refuse(
      "invalid_request",
      "subject-not-yours",
      "the subject token was issued neither to this client nor for its system",
    );
  const { mayAct } = subject;
  if (mayAct !== undefined && (mayAct.sub !== client.id || (mayAct.iss ?? issuer) !== issuer))
    return refuse("invalid_request", "exchange-may-act", "the subject token names another party that may act for it");
  return null;
}

function refuseChain({ subject, client }: ExchangeRequest, rule: ExchangeRule): ExchangeRefusal | null {
  const actors = actorsOf(subject.act);
  if (subject.sub === client.id || actors.includes(client.id))
    return refuse("invalid_request", "exchange-loop", "this client is the subject, or acts for it already");
  const behind = subject.gid.filter((id) => id.startsWith(exchangeIdPrefix)).length + 1;
  const chain = actors.length + (rule.as === "delegate" ? 1 : 0);
  if (behind > Math.min(rule.depth, exchangeDepthMax) || chain > exchangeDepthMax || subject.gid.length + 2 > grantsMax)
    return refuse("invalid_request", "exchange-depth", "the subject token was exchanged as often as the rule allows");
  return null;
}

/** The subject's actors, the latest first. */
export function actorsOf(act: Actor | undefined): readonly string[] {
  return act === undefined ? [] : [act.sub, ...actorsOf(act.act)];
}

/** The new token is bound to what this request proves; under `keep` that must be what the subject token is bound to. */
function refuseBinding({ subject, binding }: ExchangeRequest, { rule, grant }: Found): ExchangeRefusal | null {
  if (binding.kind === "none" || !grant.proof.includes(binding.kind))
    return refuse(
      "invalid_request",
      "exchange-unbound",
      "the token must be bound: send a proof that the integration accepts",
    );
  if (rule.binding === "rebind") return null;
  const isKept =
    (subject.jkt !== undefined || subject.x5t !== undefined) &&
    (subject.jkt === undefined || (binding.kind === "dpop" && binding.jkt === subject.jkt)) &&
    (subject.x5t === undefined || (binding.kind === "mtls" && binding.x5t === subject.x5t));
  return isKept
    ? null
    : refuse(
        "invalid_request",
        "exchange-binding",
        "the token must be bound: prove the key or certificate of the subject token",
      );
}

type Scopes = Pick<ExchangeDecision, "scopes" | "ceiling">;

/** S ∩ C ∩ R ∩ P, and the request inside it. R is in C: an integration cannot name what its provider does not publish. */
function scopeOf(
  request: ExchangeRequest,
  rule: ExchangeRule,
  grants: readonly IdentityGrant[],
): Scopes | ExchangeRefusal {
  const brought = broughtBy(request.subject, rule);
  const granted = new Set(grants.flatMap((grant) => grant.scopes));
  const ceiling = new Set(rule.operations.filter((name) => granted.has(name) && brought.has(name)));
  const asked = parseScope(request.scope);
  if (asked === "malformed")
    return refuse("invalid_scope", "scope-malformed", "scope must be operation names separated by single spaces");
  const scopes = asked ?? [...ceiling];
  if (ceiling.size === 0)
    return refuse(
      "invalid_scope",
      "exchange-scope",
      "the subject token brings nothing that the grant and the exchange rule allow at this resource: its scope is for something else",
    );
  if (scopes.length === 0 || scopes.some((scope) => !ceiling.has(scope)))
    return refuse(
      "invalid_scope",
      "exchange-scope",
      "the scope goes beyond what the subject token, the grant and the exchange rule have in common",
    );
  return { scopes, ceiling };
}

/** S of the table "Scope". */
function broughtBy(subject: SubjectToken, rule: ExchangeRule): ReadonlySet<string> {
  const { carries } = rule;
  const isOwn = subject.from === "own";
  if (isOwn ? subject.scopes === null : carries === undefined) return new Set(rule.operations);
  const held = subject.scopes ?? [];
  // Looked up by own name only: a scope called `constructor` carries nothing.
  const carried = held.flatMap((word) =>
    carries !== undefined && Object.hasOwn(carries, word) ? (carries[word] ?? []) : [],
  );
  return new Set(isOwn ? [...held, ...carried] : carried);
}

/** What the new token descends from: whatever the subject token does, that token, and its client where another one exchanges it. */
export function lineageOf(
  { gid, client: from, id }: Pick<SubjectToken, "gid" | "client" | "id">,
  client: string,
): readonly string[] {
  const holder = from === null || from === client ? [] : [`${clientLineagePrefix}${from}`];
  return [...new Set([...gid, ...holder, `${exchangeIdPrefix}${id}`])];
}

function decisionOf(
  { issuer, client, subject, binding }: ExchangeRequest,
  { rule, grant }: Found,
): Omit<ExchangeDecision, "audience" | "scopes" | "ceiling" | "lifetimeSeconds"> {
  const { act, sid, acr, amr, authTime } = subject;
  const actor = rule.as === "delegate" ? { sub: client.id, ...(act === undefined ? {} : { act }) } : act;
  return {
    issuer,
    client: client.id,
    subject: subject.sub,
    integration: grant.integration,
    as: rule.as,
    binding,
    gid: lineageOf(subject, client.id),
    ...(actor === undefined ? {} : { act: actor }),
    ...(subject.from !== "own" || sid === undefined ? {} : { sid }),
    ...(subject.from !== "own" || acr === undefined ? {} : { acr }),
    ...(subject.from !== "own" || amr === undefined ? {} : { amr }),
    ...(subject.from !== "own" || authTime === undefined ? {} : { authTime }),
  };
}
