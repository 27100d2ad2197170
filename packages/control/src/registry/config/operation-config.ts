// Promises one operation of the estate as data: resolved, self-contained, plain JSON. Trusts read-system.ts and its neighbours, which make it from files.
// Specified in docs/configuration.md.
import type { BodyRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import type { HedgeRule } from "@sallyport/protocol/snapshot/hedge-rule.ts";
import type { LookupRule } from "@sallyport/protocol/snapshot/lookup-rule.ts";
import type {
  AttributeSource,
  Classification,
  IdempotencyRule,
  OutsideDecisionObject,
  PayloadRule,
  StaticFallback,
  WebSocketRule,
} from "@sallyport/protocol/snapshot/objects.ts";
import type { ParameterRule } from "@sallyport/protocol/snapshot/parameter-rule.ts";
import type { BusinessErrorSign, ResponseRule } from "@sallyport/protocol/snapshot/response-rule.ts";
import type { ThreatsObject } from "@sallyport/protocol/snapshot/threat-rule.ts";
import type { StepUp } from "@sallyport/protocol/token/acr.ts";

/** Schemas by status, without their labels: those are in `labels`. */
export type ResponseConfig = Omit<ResponseRule, "schemas"> & { readonly schemas: Readonly<Record<string, unknown>> };

/** `reason`: why it passes unread, for reviewers. */
export type BodyConfig = Omit<BodyRule, "schema"> & { readonly schema?: unknown; readonly reason?: string };

export type ParametersConfig = Omit<ParameterRule, "schema"> & { readonly schema: unknown };

export interface OperationConfig {
  readonly name: string;
  /** `systems/billing.yaml:7` */
  readonly declaredAt: string;
  readonly method: string;
  readonly path: string;
  readonly classification: Classification;
  readonly authorize: "grant" | "policy";
  readonly attributes: Readonly<Record<string, AttributeSource>>;
  /** Absent: nothing is looked up. */
  readonly lookups?: Readonly<Record<string, LookupRule>>;
  /** Absent: parameters are the provider's to check. */
  readonly parameters?: ParametersConfig;
  /** Absent: takes no body. */
  readonly body?: BodyConfig;
  /** Absent: held against none. */
  readonly threats?: ThreatsObject;
  readonly unseenBody?: true;
  readonly bodyBytesMax: number;
  readonly timeoutMs: number;
  readonly businessErrors: readonly number[];
  readonly businessErrorsIn?: readonly BusinessErrorSign[];
  /** Calls of gRPC; absent: requests of HTTP. */
  readonly grpc?: { readonly businessErrors: readonly number[] };
  readonly offline: "bound" | "until-expiry";
  readonly idempotency?: IdempotencyRule;
  readonly precondition?: "if-match" | "if-match-strong";
  readonly serialize?: AttributeSource;
  readonly fallback?: StaticFallback;
  readonly staleMs?: number;
  readonly hedge?: HedgeRule;
  readonly payload?: PayloadRule;
  /** Absent: answers are passed on unread. */
  readonly response?: ResponseConfig;
  readonly record?: "buffered";
  readonly webSocket?: WebSocketRule;
  readonly stepUp?: StepUp;
  readonly opa?: OutsideDecisionObject;
  /** Of `nextHop.outside`; control's alone. */
  readonly nextHopScope?: readonly string[];
}
