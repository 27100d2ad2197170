// Promises that a crossing that goes on is judged by what would judge it as a new request now, in the same order and by the same code: who calls, under
// which grant, and whether proof, freshness, scope, attributes and policies say yes. Where they do, it goes on under the snapshot in force.
// Trusts those stages. Not asked again: rates, and content that was checked. Specified in docs/streams.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { authorize } from "../authorize/stage.ts";
import { bind } from "../bind/stage.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { identifyAgain } from "../identify/again.ts";
import { inspectionFor } from "../inspect/answer-inspection.ts";
import { decidePass, keepWouldDeny } from "../observe/decide-pass.ts";
import { route } from "../route/stage.ts";

/** Who is asked for: what proved the caller. Another one of the same caller may take its place. */
export type Presentation = Pick<Exchange, "signedToken" | "credentials" | "principal" | "signedTokenId">;

export interface Asking {
  /** Absent: what proves it now. */
  readonly presented?: Presentation;
  /** `ask`: nothing is changed, whatever the verdict. */
  readonly only?: "ask";
}

/** Null: it goes on, and stands on the snapshot in force and on `presented` from now on. A denial changes nothing. */
export function askAgain(exchange: Exchange, gate: Gate, { presented = exchange, only }: Asking = {}): Deny | null {
  const { signedToken, credentials, principal, signedTokenId } = presented;
  const again: Exchange = {
    ...exchange,
    ...{ signedToken, credentials, principal, signedTokenId },
    startedAtMs: gate.clock.now(),
    lease: null,
    caller: null,
    grant: null,
    decision: null,
    policies: [],
    shadow: null,
    wouldDeny: null,
    alsoDenied: [],
  };
  const verdict = judge(again, exchange, gate);
  const { lease } = again;
  if (verdict !== null || only === "ask") {
    if (lease !== null) gate.giveBack(lease);
    return verdict;
  }
  moveOver(exchange, again, gate);
  return null;
}

function judge(again: Exchange, before: Exchange, gate: Gate): Deny | null {
  const routed = route(again, gate) ?? refuseOtherRoute(again, before);
  if (routed !== null) return routed;
  const steps = [
    () => (again.principal === null ? before.wouldDeny : identifyAgain(again, gate.identify)),
    () => (again.caller === null ? null : bind(again, gate)),
    () => (again.grant === null ? null : authorized(again, before, gate)),
  ];
  for (const step of steps) {
    const verdict = step();
    if (verdict === null) continue;
    const decided = decidePass(again, verdict, gate);
    if (decided !== "pass") return decided;
    keepWouldDeny(again, verdict);
  }
  return again.grant === null && again.wouldDeny === null ? deny("bind", "not-ready") : null;
}

/** It is the operation it was, of a provider at the place where it was: to another place nothing of it has ever gone. */
function refuseOtherRoute(again: Exchange, before: Exchange): Deny | null {
  if (again.operation === null || again.operation.fullName !== before.operation?.fullName)
    return deny("bind", "no-route", { detail: "This operation is not published here any more" });
  const place = before.forwarding?.endpoint?.place;
  const upstream = again.lease?.pools.upstreamOf(again.operation.system);
  if (upstream?.endpoints.some((placed) => placed.endpoint.place === place) === true) return null;
  return deny("forward", "upstream-unreachable", { why: "the provider has another address now: connect again" });
}

function authorized(again: Exchange, before: Exchange, gate: Gate): Deny | null {
  // What was found when it began stands, as long as the same rules would look for it.
  if (JSON.stringify(again.operation?.object.lookups) !== JSON.stringify(before.operation?.object.lookups))
    again.lookedUp = null;
  // Its content has gone by and was not kept, so what it says cannot decide any more.
  if (again.operation?.bodyDecides === true && again.body === null)
    return deny("authorize", "attribute-missing", { detail: "The content decides now, and it has passed" });
  if (inspectionFor(again) !== null)
    return deny("inspect", "response-content", { detail: "Its answers are looked into now, and this one has begun" });
  const verdict = authorize(again, gate);
  // Whoever decides elsewhere decides now, or decides otherwise than when this crossing began.
  const detail = "An outside decision point decides now: connect again";
  return verdict instanceof Promise ? deny("authorize", "decision-unavailable", { detail }) : verdict;
}

function moveOver(exchange: Exchange, again: Exchange, gate: Gate): void {
  const { lease } = exchange;
  exchange.lease = again.lease;
  if (lease !== null) gate.giveBack(lease);
  exchange.system = again.system;
  exchange.operation = again.operation;
  exchange.principal = again.principal;
  exchange.caller = again.caller;
  exchange.tokenIssuedAtMs = again.tokenIssuedAtMs;
  exchange.signedToken = again.signedToken;
  exchange.signedTokenId = again.signedTokenId;
  exchange.credentials = again.credentials;
  exchange.grant = again.grant;
  exchange.decision = again.decision;
  exchange.policies = again.policies;
}
