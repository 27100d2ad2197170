// Promises what a policy slice is and what a decision says. Trusts the snapshot that carries the slice. Semantics: DESIGN of authorisation in docs/policy.md, Cedar.
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";
import type { GrantWord } from "@sallyport/protocol/token/grant-type.ts";
import type { SignalName, Signals } from "./signals.ts";
import type { TokenSignals } from "./token-signals.ts";

export type AttributeType = "string" | "long" | "boolean";

/** Everything needed to decide one action, compiled by control, evaluated by gateways. JSON; the blob `policy/<system>:<operation>`. */
export interface PolicySlice {
  readonly v: 1;
  /** `billing:invoice.create` */
  readonly action: string;
  /** Cedar JSON schema with this action only. */
  readonly schema: unknown;
  /** The providing system, where it is not the action's own: tokens for it (token-actions.ts). */
  readonly system?: string;
  /** Policy id -> Cedar text. Generated permits are named `grant:<integration>`. */
  readonly policies: Readonly<Record<string, string>>;
  /** The ceiling: integration -> the consuming system that it grants the action to. No policy can permit anything else. */
  readonly grants: Readonly<Record<string, string>>;
  /** The attributes the policies read: only these enter the request and the memo key. */
  readonly reads: {
    readonly principal: readonly string[];
    readonly resource: readonly string[];
    readonly context: readonly string[];
  };
  /** The slice could not be compiled or validated: every crossing is `policy-error`. */
  readonly broken?: string;
  /** Policies that are judged and decide nothing; absent: there are none. Whoever does not know this member decides the same. */
  readonly shadow?: ShadowSlice;
}

export interface ShadowSlice {
  /** As in PolicySlice, of what these policies read. */
  readonly schema: unknown;
  /** Policy id -> what it would do, and its Cedar text as a `permit`: so one evaluation says of each whether it applies. */
  readonly policies: Readonly<Record<string, { readonly effect: "permit" | "forbid"; readonly asPermit: string }>>;
  readonly reads: PolicySlice["reads"];
  /** Policy id -> why it cannot be used. */
  readonly broken: Readonly<Record<string, string>>;
}

/** What a policy in shadow would have changed, had it been enforced alone beside those that are. */
export interface ShadowVerdict {
  readonly policy: string;
  /** `error`: it failed, which is a denial once it is enforced. */
  readonly would: "allow" | "deny" | "error";
  /** Of an error, for operators only. */
  readonly why?: string;
}

export interface DecisionInputs<Context = CrossingContext> {
  readonly principal: { readonly id: string; readonly attributes: Readonly<Record<string, Scalar>> };
  readonly resource: { readonly system: string; readonly attributes: Readonly<Record<string, Scalar>> };
  readonly context: Context;
}

export interface CrossingContext extends Signals {
  readonly integration: string;
  readonly environment: string;
  readonly zone: string;
  readonly proof: string;
  readonly scopes: readonly string[];
  /** Id of the issuer outside whose token proved the caller; absent: our own issuer, or a certificate alone. */
  readonly issuer?: string;
  readonly subject?: string;
  readonly acr?: string;
  /** Seconds since the epoch. */
  readonly authTime?: number;
  /** Milliseconds since the last heartbeat. */
  readonly stalenessMs: number;
}

/** What is known of a token that was decided and not yet signed; nothing of it is taken from the request as it is. docs/policy.md "Policies about tokens". */
export interface TokenContext extends TokenSignals {
  /** Those that would honour the token; never empty. */
  readonly integrations: readonly string[];
  readonly environment: string;
  readonly grantType: GrantWord;
  readonly client: string;
  readonly clientAuthentication: string;
  readonly binding: "dpop" | "mtls" | "none";
  /** Full names of what the token opens: its scope, or everything granted where it has none. */
  readonly operations: readonly string[];
  readonly lifetimeSeconds: number;
  /** IPv4 or IPv6, where the connection has one. */
  readonly address?: string;
  readonly subject?: string;
  readonly acr?: string;
  readonly amr?: readonly string[];
  /** Seconds since the epoch. */
  readonly authTime?: number;
  /** Of `token:issue`: was the browser of the log-in seen with this user before it? */
  readonly device?: "known" | "new";
  /** Whose token or assertion was brought: `own`, or the id of a trusted issuer. */
  readonly subjectIssuer?: string;
  /** The rest is of exchanges. */
  readonly as?: "delegate" | "impersonate";
  /** Exchanges behind the new token, 1 to 8. */
  readonly depth?: number;
  /** Clients that act for the subject. */
  readonly actors?: readonly string[];
}

export interface PolicyDecision {
  /** `error`: at least one diagnostics error, a broken slice or a request that does not fit the schema; always a deny. */
  readonly kind: "allow" | "deny" | "error";
  /** Ids of the policies that decided (permits on allow, forbids on deny; empty when nothing permitted). */
  readonly policies: readonly string[];
  /** For operators only. */
  readonly errors: readonly string[];
  /** Never empty; absent: no policy in shadow would have changed anything. */
  readonly shadow?: readonly ShadowVerdict[];
}

export interface PolicyEngine {
  /** Parses once; the same bytes give the same loaded slice. */
  load(slice: PolicySlice): LoadedSlice;
  standing(): EngineStanding;
}

/** How sets of policies were decided over since the engine began, each counted at its first question. */
export interface EngineStanding {
  readonly compiled: number;
  /** By the evaluator: something in them is not compiled. */
  readonly evaluated: number;
  /** By the evaluator, because their closures gave another answer or broke. More than 0 is a bug of ours. */
  readonly disagreed: number;
}

export interface LoadedSlice {
  readonly action: string;
  /** The signals its policies read: these and no others belong into the context of a request. */
  readonly signals: readonly SignalName[];
  /** Further signals, which only policies in shadow read: a request that lacks them is decided all the same. */
  readonly shadowSignals: readonly SignalName[];
  decide(inputs: DecisionInputs<CrossingContext | TokenContext>): PolicyDecision;
}
