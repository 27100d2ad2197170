// Promises the one value that travels down the pipeline: each field is written by the one stage named beside it, and read by later ones.
// Trusts the stages' order (pipeline.ts). Words: DESIGN §2 (crossing, principal, verdict, outcome).
import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Source } from "./admit/source-prefix.ts";
import type { UpstreamAnswer } from "./forward/upstream-answer.ts";
import type { PoolLease } from "./forward/upstream-pools.ts";
import type { Presented } from "./identify/presented.ts";
import type { RateState } from "./limit/gcra.ts";
import type { CallerAnswer } from "./listen/caller-answer.ts";
import type { Incoming } from "./listen/incoming.ts";
import type { StageTimes } from "./observe/stage-times.ts";
import type { Keeping } from "./payloads/keep.ts";
import type { RepeatedSection } from "./receive/repeated-section.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "./snapshot/estate.ts";

/** The snapshot a crossing began under; it keeps it to the end, whatever is swapped meanwhile. */
export interface EstateLease {
  readonly estate: Estate;
  readonly pools: PoolLease;
  /** Crossings that use it now. */
  users: number;
}

export interface BoundListener {
  readonly name: string;
  /** Origin callers use, without trailing slash. */
  readonly url: string;
  readonly tls: boolean;
}

export interface ReadBody {
  readonly bytes: Uint8Array;
  readonly value: unknown;
  /** As inspect/json.ts says of its text; false where it is no JSON. */
  readonly hasPlainNumbers: boolean;
}

export interface Exchange {
  readonly id: string;
  /** In which the listener counted it (record/tallies.ts). */
  readonly window: number;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  readonly startedMonotonicMs: number;
  readonly incoming: Incoming;
  readonly response: CallerAnswer;
  readonly listener: BoundListener;
  readonly source: Source;
  readonly presented: Presented;
  readonly section: RepeatedSection;
  /** What each stage took; null where nobody asked. */
  readonly times: StageTimes | null;
  /** admit: whether `leave` is owed. */
  admitted: boolean;
  /** receive */
  request: CanonicalRequest | null;
  /** route */
  lease: EstateLease | null;
  system: CompiledSystem | null;
  operation: CompiledOperation | null;
  parameters: Readonly<Record<string, string>>;
  prefixSegments: number;
  /** route: the crossing whose receipt is asked for, empty where the path names none; null: this is no request for one. */
  receiptOf: string | null;
  /** bind, of a request for a receipt */
  receipt: string | null;
  /** identify */
  principal: Principal | null;
  caller: CompiledSystem | null;
  /** `iat` of the token in milliseconds; null when a certificate alone proved the caller. */
  tokenIssuedAtMs: number | null;
  /** identify: id of the presented token whose signature held, also where it then proved nobody; null: there was none. */
  signedTokenId: string | null;
  /** A nonce to offer with the answer, because the one used is about to end or was missing. */
  nonce: string | null;
  /** bind */
  grant: Grant | null;
  /** limit: the tightest limit, for the RateLimit fields. */
  rate: { readonly state: RateState; readonly quota: number; readonly windowS: number } | null;
  /** authorize */
  decision: DecisionInputs | null;
  policies: readonly string[];
  /** inspect (or authorize, where the body decides) */
  body: ReadBody | null;
  /** inspect: what was read of a body that is too large and goes on all the same; the rest is still to come. */
  bodyBegun: readonly Buffer[] | null;
  /** pipeline: the first denial that passed (observe/decide-pass.ts); null: none, or it is enforced. */
  wouldDeny: Deny | null;
  /** Those that came after it. */
  alsoDenied: readonly Deny[];
  /** record */
  intentRecorded: boolean;
  /** record: what its payloads are kept under; null: not asked yet, or nothing is to be kept. */
  keeping: Keeping | null;
  /** exchange */
  hopToken: string | null;
  /** forward */
  upstream: UpstreamAnswer | null;
  /** forward: the trace context sent to the provider; its parent is the span of `forward`. */
  traceparent: string | null;
  bytesIn: number;
  bytesOut: number;
  /** Sends `100 Continue`, once, when the body is first wanted; null where the caller does not wait for it. */
  continueWanted: (() => void) | null;
  /** The rest of the body turned out not to be HTTP before anyone read it. */
  framingDeny: Deny | null;
  /** Told when the rest of the body turns out not to be HTTP; set by whoever reads it. */
  onFramingError: ((verdict: Deny) => void) | null;
  /** The caller went away before the answer ended. */
  aborted: boolean;
  /** Set once: nothing may be recorded or answered a second time. */
  ended: boolean;
}

export interface ExchangeStart {
  readonly id: string;
  readonly window: number;
  readonly startedAtMs: number;
  readonly startedMonotonicMs: number;
  readonly incoming: Incoming;
  readonly response: CallerAnswer;
  /** Of its connection. */
  readonly on: Pick<Exchange, "listener" | "source" | "presented" | "section">;
  readonly times: StageTimes | null;
}

const noDenials: readonly Deny[] = [];

/** A fresh exchange; all fields are present from the start, so that every one has the same shape to the engine. */
export function beginExchange(start: ExchangeStart): Exchange {
  return {
    id: start.id,
    window: start.window,
    startedAtMs: start.startedAtMs,
    startedMonotonicMs: start.startedMonotonicMs,
    incoming: start.incoming,
    response: start.response,
    listener: start.on.listener,
    source: start.on.source,
    presented: start.on.presented,
    section: start.on.section,
    times: start.times,
    admitted: false,
    request: null,
    lease: null,
    system: null,
    operation: null,
    parameters: {},
    prefixSegments: 0,
    receiptOf: null,
    receipt: null,
    principal: null,
    caller: null,
    tokenIssuedAtMs: null,
    signedTokenId: null,
    nonce: null,
    grant: null,
    rate: null,
    decision: null,
    policies: [],
    body: null,
    bodyBegun: null,
    wouldDeny: null,
    alsoDenied: noDenials,
    intentRecorded: false,
    keeping: null,
    hopToken: null,
    upstream: null,
    traceparent: null,
    bytesIn: 0,
    bytesOut: 0,
    continueWanted: null,
    framingDeny: null,
    onFramingError: null,
    aborted: false,
    ended: false,
  };
}
