// Promises what a policy slice is and what a decision says. Trusts the snapshot that carries the slice. Semantics: DESIGN of authorisation in docs/policy.md, Cedar.
import type { Scalar } from "@sallyport/protocol/snapshot/objects.ts";

export type AttributeType = "string" | "long" | "boolean";

/** Everything needed to decide one action, compiled by control, evaluated by gateways. JSON; the blob `policy/<system>:<operation>`. */
export interface PolicySlice {
  readonly v: 1;
  /** `billing:invoice.create` */
  readonly action: string;
  /** Cedar JSON schema with this action only. */
  readonly schema: unknown;
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
}

export interface DecisionInputs {
  readonly principal: { readonly id: string; readonly attributes: Readonly<Record<string, Scalar>> };
  readonly resource: { readonly system: string; readonly attributes: Readonly<Record<string, Scalar>> };
  readonly context: {
    readonly integration: string;
    readonly environment: string;
    readonly zone: string;
    readonly proof: string;
    readonly scopes: readonly string[];
    readonly subject?: string;
    readonly acr?: string;
    /** Seconds since the epoch. */
    readonly authTime?: number;
    /** Milliseconds since the last heartbeat. */
    readonly stalenessMs: number;
  };
}

export interface PolicyDecision {
  /** `error`: at least one diagnostics error, a broken slice or a request that does not fit the schema; always a deny. */
  readonly kind: "allow" | "deny" | "error";
  /** Ids of the policies that decided (permits on allow, forbids on deny; empty when nothing permitted). */
  readonly policies: readonly string[];
  /** For operators only. */
  readonly errors: readonly string[];
}

export interface PolicyEngine {
  /** Parses once; the same bytes give the same loaded slice. */
  load(slice: PolicySlice): LoadedSlice;
}

export interface LoadedSlice {
  readonly action: string;
  decide(inputs: DecisionInputs): PolicyDecision;
}
