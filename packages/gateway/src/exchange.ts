// Promises the one value that travels down the pipeline: each field is written by the one stage named beside it, and read by later ones.
// Trusts the stages' order (pipeline.ts). Words: DESIGN §2 (crossing, principal, verdict, outcome).
import type { DecisionInputs, ShadowVerdict } from "@sallyport/kernel/policy/port.ts";
import type { CanonicalRequest } from "@sallyport/protocol/canonical/request.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import type { ContentDigest } from "@sallyport/protocol/signature/content-digest.ts";
import type { SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Source } from "./admit/source-prefix.ts";
import type { LookedUp } from "./authorize/lookups.ts";
import type { OutsideDecision } from "./authorize/outside-decision.ts";
import type { Authorizer } from "./authorizer/asking-proxy.ts";
import type { Evaluation, Question } from "./authorizer/evaluation.ts";
import type { Preflight } from "./cors/preflight.ts";
import type { NextHop } from "./exchange/next-hop.ts";
import type { EndedAttempt, ReplacedAnswer } from "./forward/forwarded.ts";
import type { Forwarding } from "./forward/forwarding.ts";
import type { UpstreamAnswer } from "./forward/upstream-answer.ts";
import type { PoolLease } from "./forward/upstream-pools.ts";
import type { Claim } from "./idempotency/claim.ts";
import type { Credentials } from "./identify/credentials.ts";
import type { OutsideToken } from "./identify/outside.ts";
import type { Presented } from "./identify/presented.ts";
import type { RateState } from "./limit/gcra.ts";
import type { Place } from "./limit/in-flight.ts";
import type { QuotaState } from "./limit/quotas.ts";
import type { CallerAnswer } from "./listen/caller-answer.ts";
import type { Incoming } from "./listen/incoming.ts";
import type { StageTimes } from "./observe/stage-times.ts";
import type { Keeping } from "./payloads/keep.ts";
import type { RepeatedSection } from "./receive/repeated-section.ts";
import type { CompiledOperation, CompiledSystem, Estate, Grant } from "./snapshot/estate.ts";
import type { FoundThreat } from "./threats/judge.ts";

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
  /** It answers these proxies and serves nobody; null: it serves callers. */
  readonly authorizer: Authorizer | null;
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
  /** Of the connection; receive: of the caller, where a proxy that is believed asks about its request. */
  source: Source;
  readonly presented: Presented;
  readonly section: RepeatedSection;
  /** What each stage took; null where nobody asked. */
  readonly times: StageTimes | null;
  /** admit: whether `leave` is owed. */
  admitted: boolean;
  /** receive: the kind of proxy that asks whether a request may pass, and will send it on itself; null: it came to pass through here. */
  asked: Authorizer["proxy"] | null;
  /** receive: names of fields that the asking proxy has to take away before it sends the request on; null: it is not told any. */
  toRemove: readonly string[] | null;
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
  /** route: the stream that shall go on under another token, empty where the path names none; null: this is no request for that. */
  streamOf: string | null;
  /** bind, of a request for a receipt */
  receipt: string | null;
  /** route: what a browser asked before a page's request, and gets a yes to; null: it is no such question. */
  preflight: Preflight | null;
  /** identify */
  principal: Principal | null;
  caller: CompiledSystem | null;
  /** `iat` of the token in milliseconds; null when a certificate alone proved the caller. */
  tokenIssuedAtMs: number | null;
  /** identify: id of the presented token whose signature held, also where it then proved nobody; null: there was none. */
  signedTokenId: string | null;
  /** identify: the token that proved the caller, as it was verified; null when a certificate alone did. For asking again (identify/again.ts). */
  signedToken: SignedAccessToken | OutsideToken | null;
  /** identify: how it was presented. */
  credentials: Credentials | null;
  /** identify: what the content has to be, as a signature covers it; null: nobody signed it. Held against it by whoever reads it. */
  digests: readonly ContentDigest[] | null;
  /** A nonce to offer with the answer, because the one used is about to end or was missing. */
  nonce: string | null;
  /** bind */
  grant: Grant | null;
  /** limit: the tightest limit, for the RateLimit fields. */
  rate: { readonly state: RateState; readonly quota: number; readonly windowS: number } | null;
  /** limit: the tightest quota, likewise. */
  quota: QuotaState | null;
  /** limit: its places among those under way; given back when the crossing is over. */
  places: readonly Place[];
  /** authorize */
  decision: DecisionInputs | null;
  policies: readonly string[];
  /** authorize: what policies in shadow would have changed; null: nothing, or there are none. */
  shadow: readonly ShadowVerdict[] | null;
  /** inspect, of a service's question: what was asked and what was decided. */
  question: { readonly question: Question; readonly evaluation: Evaluation } | null;
  /** authorize: what an outside decision point said; null: none was asked. */
  outside: OutsideDecision | null;
  /** inspect: where its answer does not match its schema, which is let pass; null: nowhere. */
  reported: string | null;
  /** inspect: rules about threats that only watch and found something, and where; null: none did. */
  threats: readonly FoundThreat[] | null;
  /** authorize: what was looked up for its attributes; null: nothing is. */
  lookedUp: readonly LookedUp[] | null;
  /** inspect (or authorize, where the body decides) */
  body: ReadBody | null;
  /** inspect: what was read of a body that is too large and goes on all the same; the rest is still to come. */
  bodyBegun: readonly Buffer[] | null;
  /** inspect: `body` came with a Content-Encoding and goes on without. */
  bodyUnfolded: boolean;
  /** pipeline: the first denial that passed (observe/decide-pass.ts); null: none, or it is enforced. */
  wouldDeny: Deny | null;
  /** Those that came after it. */
  alsoDenied: readonly Deny[];
  /** idempotency: what this crossing holds until its effect is over, or the earlier answer that it releases; null: neither. */
  claim: Claim | null;
  /** record */
  intentRecorded: boolean;
  /** record: what its payloads are kept under; null: not asked yet, or nothing is to be kept. */
  keeping: Keeping | null;
  /** exchange */
  hopToken: string | null;
  /** exchange: the provider's own token, where it asks for one; null: it does not. */
  nextHop: NextHop | null;
  /** forward */
  upstream: UpstreamAnswer | null;
  /** forward: its attempts, for whoever ends the crossing early. */
  forwarding: Pick<Forwarding, "endpoint" | "cancel"> | null;
  /** forward: `upstream` stands in for a provider that failed; null: it is the provider's own. */
  fallback: ReplacedAnswer | null;
  /** forward: how each attempt ended, where there was more than one; null otherwise. */
  attempts: readonly EndedAttempt[] | null;
  /** forward: the trace context sent to the provider; its parent is the span of `forward`. */
  traceparent: string | null;
  bytesIn: number;
  bytesOut: number;
  /** Whole messages each way, where they are counted. */
  messagesIn: number;
  messagesOut: number;
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
const noPlaces: readonly Place[] = [];

/** A fresh exchange; all fields are present from the start, so that every one has the same shape to the engine. */
export const beginExchange = (start: ExchangeStart): Exchange => ({
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
  asked: null,
  toRemove: null,
  request: null,
  lease: null,
  system: null,
  operation: null,
  parameters: {},
  prefixSegments: 0,
  receiptOf: null,
  streamOf: null,
  receipt: null,
  preflight: null,
  principal: null,
  caller: null,
  tokenIssuedAtMs: null,
  signedTokenId: null,
  signedToken: null,
  credentials: null,
  digests: null,
  nonce: null,
  grant: null,
  rate: null,
  quota: null,
  places: noPlaces,
  decision: null,
  policies: [],
  shadow: null,
  question: null,
  outside: null,
  body: null,
  bodyBegun: null,
  bodyUnfolded: false,
  lookedUp: null,
  reported: null,
  threats: null,
  wouldDeny: null,
  alsoDenied: noDenials,
  claim: null,
  intentRecorded: false,
  keeping: null,
  hopToken: null,
  nextHop: null,
  upstream: null,
  forwarding: null,
  fallback: null,
  attempts: null,
  traceparent: null,
  bytesIn: 0,
  bytesOut: 0,
  messagesIn: 0,
  messagesOut: 0,
  continueWanted: null,
  framingDeny: null,
  onFramingError: null,
  aborted: false,
  ended: false,
});
