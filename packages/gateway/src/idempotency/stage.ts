// Promises one effect for each key of a principal, and one writer at a time where that is declared: what is repeated gets the answer of the first time, or is
// told why not, and never reaches the provider. Trusts the stages before: whoever comes here is authorised. Specified in docs/idempotency.md.
import type { CanonicalHeaders } from "@sallyport/protocol/canonical/request.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { namedValueOf } from "../authorize/named-value.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { readFields } from "../identify/deciding-fields.ts";
import { readBody } from "../inspect/read-body.ts";
import { modeOf } from "../observe/decide-pass.ts";
import type { Logger } from "../ports.ts";
import type { CompiledOperation, Grant } from "../snapshot/estate.ts";
import { Claim, type HeldKey, leaseMarginMs } from "./claim.ts";
import type { OpenDataPlane } from "./data-plane.ts";
import { decideAsked } from "./decide-asked.ts";
import { releaseRules } from "./release-rules.ts";
import type { ClaimOutput } from "./store-commands.ts";
import { readAnswer } from "./stored-answer.ts";
import { writeWaitMsMax } from "./writers.ts";

/** What is needed to go on, once the fields were judged. */
interface Wanted {
  readonly exchange: Exchange;
  readonly gate: Gate;
  readonly operation: CompiledOperation;
  readonly grant: Grant;
  readonly key: string | null;
  readonly resource: string | null;
  readonly leaseMs: number;
}

export function keepOnce(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, operation, grant } = exchange;
  if (request === null || operation === null) return deny("idempotency", "not-ready");
  const { idempotency, precondition, serialize } = operation.object;
  if (idempotency === undefined && precondition === undefined && serialize === undefined) return null;
  const asked = decideAsked(request.headers, operation.object);
  if (asked.kind === "deny") return asked;
  // What is observed is not held back, and what was not held back proves nothing to a repeat.
  if (modeOf(exchange) !== "enforce" || grant === null) return null;
  const resource = serialize === undefined ? null : namedValueOf(exchange, serialize);
  if (serialize !== undefined && resource === null)
    return deny("idempotency", "attribute-missing", {
      attribute: "serialize",
      detail: `The request does not name, in exactly one way, what it writes to (${serialize.from}:${serialize.name})`,
    });
  if (asked.key === null && resource === null) return null;
  const leaseMs = grant.timeoutMs + writeWaitMsMax + leaseMarginMs;
  return take({ exchange, gate, operation, grant, key: asked.key, resource, leaseMs });
}

async function take(wanted: Wanted): Promise<Deny | null> {
  const { exchange, gate, key } = wanted;
  const unread = key === null ? null : await readOpaque(wanted);
  if (unread !== null) return unread;
  const beganMs = gate.clock.monotonic();
  try {
    const plane = await gate.dataPlane.ready();
    const held = key === null ? null : await takeKey(wanted, plane, key);
    if (held !== null && "kind" in held) return held;
    if (exchange.claim !== null) return null;
    return await takeResource(wanted, { plane, held, beganMs });
  } catch (cause) {
    return unavailable(cause);
  }
}

/** Content that is not looked at has to be the same in a repeat, too. */
async function readOpaque({ exchange, operation, grant }: Wanted): Promise<Deny | null> {
  if (exchange.body !== null || operation.object.body === undefined) return null;
  const read = await readBody(exchange, grant.bodyBytesMax);
  if ("kind" in read) return read;
  exchange.body = { bytes: read.bytes, value: undefined, hasPlainNumbers: false };
  return null;
}

/** The key, or why it cannot be had; null: there is an answer to replay. */
async function takeKey(wanted: Wanted, plane: OpenDataPlane, key: string): Promise<HeldKey | Deny | null> {
  const { exchange, gate, operation, grant, leaseMs } = wanted;
  const { principal, request } = exchange;
  const rule = operation.object.idempotency;
  if (principal === null || request === null || rule === undefined) return deny("idempotency", "not-ready");
  const { keys } = plane;
  const owner = keys.ownerOf(principal.caller);
  const keyHash = keys.keyOf(principal, operation.fullName, key);
  if (!(await gate.keyCounts.hasRoom(plane, owner, gate.clock.monotonic())))
    return deny("idempotency", "idempotency-keys-full", {
      detail: "This calling system has as many keys here as it may have until the oldest of them end",
    });
  const payload = keys.payloadOf({
    method: request.method,
    path: request.path,
    query: request.query,
    contentType: request.headers["content-type"]?.[0] ?? "",
    fields: fieldsRead(request.headers, operation),
    body: exchange.body?.bytes ?? new Uint8Array(),
  });
  const providerHonours = rule.provider === "honours";
  const crossing = exchange.id;
  const input = { keyHash, owner, payload, crossing, leaseMs, ttlMs: rule.ttlMs, providerHonours };
  const claimed = await plane.run("claimKey", { ...input, now: gate.dataPlane.now() }).catch((cause) => {
    // It may have been taken all the same, and nothing was sent under it.
    plane.run("releaseKey", { keyHash, crossing }).catch(() => undefined);
    throw cause;
  });
  const rules = releaseRules(operation, grant);
  if (claimed.kind !== "taken") return judgeTaken({ exchange, plane, keyHash, rules, logger: gate.logger }, claimed);
  if (claimed.isNew) gate.keyCounts.changed(owner, 1);
  const providerKey = providerHonours ? keys.providerKeyOf(keyHash) : null;
  return { keyHash, crossing, rules, providerKey, again: claimed.again, isNew: claimed.isNew };
}

/** What decided about the first request says what it asked: an answer about one account is none about another, which may be allowed now. */
function fieldsRead(headers: CanonicalHeaders, { object }: CompiledOperation): readonly string[] {
  return [...new Set(readFields(object))].sort().flatMap((name) => {
    const values = headers[name];
    return values === undefined ? [] : [name, String(values.length), ...values];
  });
}

interface Found {
  readonly exchange: Exchange;
  readonly plane: OpenDataPlane;
  readonly keyHash: Uint8Array;
  readonly rules: Uint8Array;
  readonly logger: Logger;
}

/** Somebody had the key before: the same principal, so its crossing may be named. */
function judgeTaken(found: Found, claimed: Exclude<ClaimOutput, { kind: "taken" }>): Deny | null {
  const { crossing } = claimed;
  const first = `crossing ${crossing}`;
  switch (claimed.kind) {
    case "reused":
      return deny("idempotency", "idempotency-key-reused", {
        crossing,
        detail: `Under this key something else was asked before, in ${first}: choose a new key for a new effect`,
      });
    case "in-flight":
      return deny("idempotency", "idempotency-in-flight", { crossing, detail: `It is still under way in ${first}` });
    case "unknown":
      return deny("idempotency", "idempotency-outcome-unknown", {
        crossing,
        detail: `Nobody can say whether ${first} had its effect: look at the resource, and choose a new key if it did not`,
      });
    case "not-kept":
      return notKept(crossing, "its answer was too long to keep");
    case "replay": {
      const { plane, keyHash, rules, exchange } = found;
      if (Buffer.compare(claimed.rules, rules) !== 0)
        return notKept(crossing, "what may be seen of its answer has changed since");
      const answer = readAnswer(plane.keys.open({ keyHash, crossing, rules }, claimed.answer));
      const nothing = { key: null, endsAtMs: 0, gone: () => {}, endWrite: null };
      exchange.claim = new Claim({ ...nothing, plane, logger: found.logger, replay: { crossing, answer } });
      return null;
    }
  }
}

function notKept(crossing: string, why: string): Deny {
  const detail = `Crossing ${crossing} had its effect, and ${why}: read the resource instead`;
  return deny("idempotency", "idempotency-answer-not-kept", { crossing, why, detail });
}

interface Held {
  readonly plane: OpenDataPlane;
  readonly held: HeldKey | null;
  /** Monotonic milliseconds. */
  readonly beganMs: number;
}

/** The resource, where one is declared; then the exchange holds what was taken. */
async function takeResource(wanted: Wanted, { plane, held, beganMs }: Held): Promise<Deny | null> {
  const { exchange, gate, operation, resource, leaseMs } = wanted;
  const { writers, keyCounts, logger } = gate;
  const parts = {
    plane,
    logger,
    key: held,
    endsAtMs: beganMs + leaseMs,
    gone: () => {
      if (exchange.principal !== null) keyCounts.changed(plane.keys.ownerOf(exchange.principal.caller), -1);
    },
  };
  exchange.claim = new Claim({ ...parts, endWrite: null });
  if (resource === null) return null;
  const resourceHash = plane.keys.resourceOf(operation.system.id, resource);
  const isWanted = () => !exchange.aborted;
  const wants = { resourceHash, crossing: exchange.id, leaseMs, isWanted };
  const isTaken = await writers.begin(plane, wants).catch((cause) => {
    plane.run("endWrite", wants).catch(() => undefined); // It may have been taken all the same.
    throw cause;
  });
  if (isTaken) {
    exchange.claim = new Claim({ ...parts, endsAtMs: beganMs + leaseMs, endWrite: () => writers.end(plane, wants) });
    return null;
  }
  if (exchange.aborted) return deny("idempotency", "client-aborted");
  return deny("idempotency", "resource-busy", {
    detail: `Another crossing writes to it, and did not end within ${writeWaitMsMax / 1_000} s`,
  });
}

function unavailable(cause: unknown): Deny {
  const code = cause instanceof Error && "code" in cause ? `${String(cause.code)}: ` : "";
  return deny("idempotency", "idempotency-unavailable", {
    why: code + (cause instanceof Error ? cause.message : String(cause)),
    detail: "Whether this was asked before cannot be found out now, so it did not pass",
  });
}
