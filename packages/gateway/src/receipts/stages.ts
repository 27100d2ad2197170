// Promises the stages of a request for a receipt, behind those that every request passes: so many a second for each caller, a proof that no thief of a
// token has, the receipt off the event loop, and a record of the asking. Trusts the receipt source for the log. Specified in docs/receipts.md.
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { isBound } from "@sallyport/protocol/principal.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { decideStaleness } from "../authorize/staleness.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { settleOwn } from "../record/settle.ts";
import { decideReceipt, noReceipt } from "./decide.ts";

/** Of one calling system, over all its clients and users. */
export const receiptRate = { rate: 50, periodMs: 1_000, burst: 100 } as const;

export function limitReceipts(exchange: Exchange, gate: Gate): Deny | null {
  const { principal } = exchange;
  if (principal === null) return deny("limit", "not-ready");
  const state = gate.limiter.take(
    gate.limiter.key(`receipts\n${principal.caller}`),
    receiptRate,
    gate.clock.monotonic(),
  );
  if (state === null) return deny("limit", "limit-table-full", { bound: "things counted at once" });
  if (state.allowed) return null;
  exchange.rate = { state, quota: receiptRate.burst, windowS: receiptRate.burst / receiptRate.rate };
  const rate = `${receiptRate.rate} a second, burst ${receiptRate.burst}`;
  return deny("limit", "rate-limited", { limit: rate, detail: `Receipts: ${rate} for each calling system` });
}

/** What an integration says of an operation is here said once for all: a bound proof, a snapshot that is fresh, no body. */
export function authorizeReceipts({ lease, caller, principal, request }: Exchange, gate: Gate): Deny | null {
  if (lease === null || caller === null || principal === null || request === null)
    return deny("authorize", "not-ready");
  const { estate } = lease;
  if (caller.object.broken !== undefined)
    return deny("bind", "not-served", {
      detail: `The system ${caller.id} is broken and not served until its configuration is mended`,
      broken: caller.object.broken,
    });
  if (!isBound(principal.proof.kind))
    return deny("authorize", "proof-not-accepted", {
      proof: principal.proof.kind,
      accepted: "dpop, mtls",
      detail: "Receipts are given for a DPoP proof or a client certificate, not for a bearer token",
    });
  if (request.chunked || (request.contentLength ?? 0) > 0)
    return deny("inspect", "body-too-large", { detail: "A request for a receipt has no body" });
  return decideStaleness({
    stalenessMs: gate.freshness.stalenessMs(),
    boundsMs: estate.object.stalenessMs,
    classification: "internal",
    offline: "bound",
    snapshotExpired: gate.clock.now() >= estate.manifest.expiresAt,
  });
}

export async function findReceipt(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { principal, receiptOf } = exchange;
  if (principal === null) return deny("bind", "not-ready");
  // Another node's crossing is in another node's log.
  if (gate.receipts === null || !receiptOf?.startsWith(`${gate.identity.node}-`)) return noReceipt;
  try {
    const found = await gate.receipts.find(receiptOf, principal.caller);
    if (exchange.aborted) return deny("forward", "client-aborted");
    const decided = decideReceipt(found, principal, (...one) => gate.recorder.isPseudonymOf(...one));
    if (typeof decided !== "string") return decided;
    exchange.receipt = decided;
    return null;
  } catch (cause) {
    return unavailable(cause, gate);
  }
}

function unavailable(cause: unknown, gate: Gate): Deny {
  if (cause instanceof LogFault && cause.code === "log-full")
    return deny("bind", "overloaded", { bound: "questions for receipts" });
  gate.logger.error({ err: cause instanceof Error ? cause.message : "unknown" }, "a receipt could not be made");
  return deny("bind", "internal");
}

/** The receipt goes out once its asking is on record. */
export function settleReceipt(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { receipt } = exchange;
  if (receipt === null) return Promise.resolve(deny("record", "internal"));
  return settleOwn(exchange, { type: "text/plain; charset=utf-8", body: Buffer.from(receipt, "utf8") }, gate);
}
