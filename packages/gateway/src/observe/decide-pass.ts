// Promises which denials may pass, and where: only under a word of the configuration that has not ended, only those that judge a caller or its
// request, never one that protects the gateway or that a human has switched on. Trusts the snapshot. Specified in docs/observe.md.
import type { CrossingMode } from "@sallyport/protocol/audit/leaf.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type Deny, deny, type StageName } from "@sallyport/protocol/verdict.ts";
import { decideStaleness } from "../authorize/staleness.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";

/**
 * The instant by which an end is judged: when the crossing began, but never before control made the snapshot in force. A clock that is set
 * back behind an end does not open what control knows to be over.
 */
export function judgedAtMs({ startedAtMs, lease }: Pick<Exchange, "startedAtMs" | "lease">): number {
  return Math.max(startedAtMs, lease?.estate.manifest.issuedAt ?? 0);
}

/** Under which mode a crossing goes: decided once, by the instant it began. */
export function modeOf(exchange: Exchange): CrossingMode {
  const { operation, grant, system } = exchange;
  if (operation?.undeclared === true) return "passthrough";
  const untilMs = grant !== null ? grant.observeUntilMs : (system?.observeUntilMs ?? 0);
  return untilMs > judgedAtMs(exchange) ? "observe" : "enforce";
}

/** A new code must be decided on here before it compiles. */
const passes: Readonly<Record<ProblemCode, boolean>> = {
  // Nobody can be sure what was asked.
  "bad-framing": false,
  "bad-request-line": false,
  "bad-header": false,
  "duplicate-header": false,
  "ambiguous-path": false,
  "bad-host": false,
  "bad-version": false,
  "upgrade-not-supported": false,
  "method-not-supported": false,
  "header-too-large": false,
  "uri-too-long": false,
  "request-timeout": false,
  "proxy-not-trusted": false,
  "proxy-request": false,
  // The gateway protects itself.
  "too-many-from-source": false,
  "agent-refused": false,
  overloaded: false,
  "not-ready": false,
  "token-unresolved": false,
  internal: false,
  "client-aborted": false,
  // Only with `passthrough`, which routes it to an operation of its own.
  "no-route": true,
  "credentials-missing": true,
  "credentials-malformed": true,
  "token-malformed": true,
  "token-unknown": true,
  "token-inactive": true,
  "token-algorithm": true,
  "token-key-unknown": true,
  "token-signature": true,
  "token-type": true,
  "token-issuer": true,
  "token-unmapped": true,
  "token-audience": true,
  "token-expired": true,
  "token-not-yet-valid": true,
  "token-claims": true,
  // Somebody revoked it.
  "token-revoked": false,
  "token-bound-as-bearer": true,
  "token-unbound": true,
  "client-unknown": true,
  "dpop-missing": true,
  "dpop-malformed": true,
  "dpop-algorithm": true,
  "dpop-signature": true,
  "dpop-method": true,
  "dpop-url": true,
  "dpop-token-hash": true,
  "dpop-expired": true,
  "dpop-nonce": true,
  "dpop-replayed": true,
  "dpop-key-mismatch": true,
  "certificate-unknown": true,
  "certificate-untrusted": true,
  "certificate-expired": true,
  // Its issuer took it back; where nobody can tell, it may have.
  "certificate-revoked": false,
  "revocation-unknown": false,
  "certificate-mismatch": true,
  "signature-malformed": true,
  "signature-key-unknown": true,
  "signature-algorithm": true,
  "signature-components": true,
  "signature-expired": true,
  "signature-invalid": true,
  "signature-nonce": true,
  "signature-replayed": true,
  "api-key-unknown": true,
  // Somebody ended it, or its end was declared.
  "api-key-ended": false,
  "identity-conflict": true,
  "replay-table-full": true,
  "not-granted": true,
  // Unless somebody cut it off (below).
  "not-active": true,
  // What its broken file says is not known, its mode included.
  "not-served": false,
  "not-in-authorizer-mode": false,
  // No operation of a system.
  "receipt-unknown": false,
  "stream-unknown": false,
  "receipt-pending": false,
  "rate-limited": true,
  "concurrency-limited": true,
  "quota-exhausted": true,
  "limit-unavailable": true,
  "limit-table-full": true,
  "proof-not-accepted": true,
  "api-key-scope": true,
  "scope-missing": true,
  "insufficient-user-authentication": true,
  "attribute-missing": true,
  "policy-denied": true,
  "policy-error": true,
  "decision-unavailable": true,
  // A cut-off could be on its way.
  "stale-snapshot": false,
  "body-too-large": true,
  "content-type": true,
  // Somebody changed it on its way.
  "content-digest": false,
  "body-malformed": true,
  "schema-mismatch": true,
  "threat-found": true,
  "upgrade-required": false,
  // A page of somewhere else would act with the log-in of whoever looks at it.
  "origin-not-allowed": false,
  "websocket-malformed": false,
  "idempotency-key-missing": true,
  "idempotency-key-malformed": true,
  "precondition-required": true,
  "precondition-malformed": true,
  // Under `observe` no key is taken, so none of these is said.
  "idempotency-key-reused": false,
  "idempotency-in-flight": false,
  "idempotency-outcome-unknown": false,
  "idempotency-answer-not-kept": false,
  "idempotency-keys-full": false,
  "idempotency-unavailable": false,
  "resource-busy": false,
  "record-unavailable": false,
  "payload-unavailable": false,
  "exchange-unavailable": false,
  "next-hop-refused": false,
  "next-hop-unavailable": false,
  "next-hop-rejected": false,
  "upstream-refused-address": false,
  "upstream-unreachable": false,
  "upstream-timeout": false,
  "upstream-open": false,
  "upstream-overloaded": false,
  shed: false,
  "upstream-protocol": false,
  // Found out once the provider has answered; where nothing is enforced nobody asks (inspect/answer.ts).
  "response-content": false,
  "response-too-large": false,
  "response-schema": false,
  "response-leak": false,
};

/** The stages that judge a caller or its request. */
export const decidingStages: ReadonlySet<StageName> = new Set([
  "identify",
  "bind",
  "limit",
  "authorize",
  "inspect",
  "idempotency",
]);

/** States that nobody chose to end access with: waiting for an approval, and a declared end. */
const undecidedStates: ReadonlySet<string> = new Set(["proposed", "expired"]);

/** Null: it ends the crossing. Else it is kept as what enforcement would have said, and the crossing goes on. */
export function decidePass(exchange: Exchange, verdict: Deny, gate: Gate): "pass" | Deny {
  if (!mayPass(exchange, verdict) || isCutOff(exchange, gate)) return verdict;
  return decideFreshness(exchange, gate) ?? "pass";
}

/** Would this denial pass, as far as the object it is about goes? */
export function mayPass(exchange: Exchange, { code, stage, facts }: Deny): boolean {
  const { operation } = exchange;
  // Whoever asks whether a request may pass is told what holds: it is not let through here.
  if (exchange.asked !== null) return false;
  if (operation === null || !passes[code] || !decidingStages.has(stage)) return false;
  if (code === "not-active" && (!undecidedStates.has(facts["state"] ?? "") || isBoundToEnforced(exchange)))
    return false;
  return modeOf(exchange) !== "enforce";
}

/** An integration that is not active grants nothing, but its own word that it is enforced stands. */
function isBoundToEnforced(exchange: Exchange): boolean {
  const { operation, caller } = exchange;
  const grant = caller === null ? undefined : operation?.grants.get(caller.id);
  return grant !== undefined && grant.observeUntilMs <= judgedAtMs(exchange);
}

/** The switch of a human holds for all that its caller sends there, also for what its integration never granted. */
function isCutOff({ caller, system, grant, lease, tokenIssuedAtMs }: Exchange, gate: Gate): boolean {
  if (caller === null || system === null || lease === null || grant !== null) return false;
  const between = integrationsBetween(lease.estate, caller, system);
  const { revocations } = gate.identify;
  // Taken out of the configuration while it was cut off: the name that a `uses` entry gives it is all that is left.
  if (between.length === 0) return revocations.revokesIntegration(`${caller.id}-to-${system.id}`, 0);
  const issuedAtMs = tokenIssuedAtMs ?? lease.estate.manifest.issuedAt;
  return between.some(
    ({ id, state }) => state === "suspended" || state === "retired" || revocations.revokesIntegration(id, issuedAtMs),
  );
}

function integrationsBetween(estate: Estate, caller: CompiledSystem, system: CompiledSystem) {
  return estate.integrations.filter((one) => one.from === caller.id && one.to === system.id);
}

/** Held against the bound of every crossing that passes: without a word from control nobody could end it. */
function decideFreshness({ lease, operation }: Exchange, gate: Gate): Deny | null {
  if (lease === null || operation === null) return deny("authorize", "not-ready");
  const { estate } = lease;
  return decideStaleness({
    stalenessMs: gate.freshness.stalenessMs(),
    boundsMs: estate.object.stalenessMs,
    classification: operation.object.classification,
    offline: operation.object.offline,
    snapshotExpired: gate.clock.now() >= estate.manifest.expiresAt,
  });
}

/** Keeps a denial that passed; the first is the verdict of the record. */
export function keepWouldDeny(exchange: Exchange, verdict: Deny): void {
  if (exchange.wouldDeny === null) {
    exchange.wouldDeny = verdict;
    // A stranger is told nothing; a caller of ours whose nonce is old needs the next one to do better (RFC 9449 §8.2).
    if (exchange.principal === null && verdict.code !== "dpop-nonce") exchange.nonce = null;
  } else if (!isAlready(exchange, verdict)) exchange.alsoDenied = [...exchange.alsoDenied, verdict];
}

function isAlready({ wouldDeny, alsoDenied }: Exchange, { code, stage }: Deny): boolean {
  return [wouldDeny, ...alsoDenied].some((one) => one?.code === code && one.stage === stage);
}
