// Promises the looks that an operation's attributes need, before its policies are asked: the gateway signs as itself, never for the caller.
// Trusts lookups.ts for what they mean and the pools for every socket. Specified in docs/attributes.md.
import type { LookupRule } from "@sallyport/protocol/snapshot/lookup-rule.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { EstateLease, Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { schemaFor } from "../inspect/answer-inspection.ts";
import { exactIntegersOf } from "../inspect/deciding-members.ts";
import type { CompiledOperation, CompiledSystem } from "../snapshot/estate.ts";
import { resolveAttributes } from "./attributes.ts";
import { decideReply, type Found, type LookedUp, lookupBytesMax, lookupPath, refuseLookups } from "./lookups.ts";
import { askWhole } from "./whole-reply.ts";

/** Who a gateway is to a system it asks: no id of a system can be this. */
export const lookupSubject = "sallyport";

/** All of them side by side; kept in the exchange, so that nothing is looked up twice for one crossing. */
export async function lookUp(exchange: Exchange, gate: Gate): Promise<Deny | null> {
  const { operation, lease, lookedUp } = exchange;
  const rules = Object.entries(operation?.object.lookups ?? {});
  if (operation === null || lease === null) return deny("authorize", "not-ready");
  if (lookedUp !== null) return refuseLookups(lookedUp);
  const looked = await Promise.all(
    rules.map(([name, rule]) => lookFor(exchange, gate, { name, rule, lease, asking: operation })),
  );
  const found: LookedUp[] = [];
  for (const one of looked) {
    if (isDeny(one)) return one;
    found.push(one);
  }
  exchange.lookedUp = found;
  return exchange.aborted ? deny("forward", "client-aborted") : refuseLookups(found);
}

const isDeny = (one: LookedUp | Deny): one is Deny => "kind" in one;

interface Look {
  readonly name: string;
  readonly rule: LookupRule;
  readonly lease: EstateLease;
  /** Whose attribute it is. */
  readonly asking: CompiledOperation;
}

async function lookFor(exchange: Exchange, gate: Gate, look: Look): Promise<LookedUp | Deny> {
  const { name, rule, lease, asking } = look;
  const { request, parameters, body } = exchange;
  if (request === null) return deny("authorize", "not-ready");
  const inputs = {
    parameters,
    query: request.queryParameters,
    headers: request.headers,
    body: body === null ? undefined : exactIntegersOf(body),
  };
  const resolved = resolveAttributes(rule.with, inputs);
  if (resolved.kind === "deny") return resolved;
  const system = lease.estate.systems.get(rule.system);
  const target = system?.operations.find((one) => one.object.name === rule.operation);
  const operation = `${rule.system}:${rule.operation}`;
  const path = target === undefined ? null : lookupPath(target.path, resolved.values);
  if (system === undefined || target === undefined || path === null)
    return told(
      name,
      operation,
      target === undefined ? "its operation is not served" : "a value of the request that could lead elsewhere",
    );
  const key = JSON.stringify([lease.estate.object.issuer, system.object.upstream, target.object.response, path]);
  const { found, kept } = await gate.lookups.find(key, {
    rule,
    nowMs: () => gate.clock.monotonic(),
    ask: () => ask(gate, { system, target, path, look: { name, rule, lease, asking } }),
  });
  return { ...told(name, operation, found), kept };
}

function told(name: string, operation: string, found: Found): LookedUp {
  const outcome = typeof found === "string" ? "failed" : found === null ? "missing" : "found";
  return { name, operation, outcome, kept: false, found };
}

interface Question {
  readonly system: CompiledSystem;
  readonly target: CompiledOperation;
  readonly path: string;
  readonly look: Look;
}

async function ask(
  gate: Gate,
  { system, target, path, look: { name, rule, lease, asking } }: Question,
): Promise<Found> {
  const [place] = lease.pools.upstreamOf(system)?.endpoints ?? [];
  const signer = gate.hopSigner();
  if (place === undefined || signer === null)
    return place === undefined ? "there is no way to it" : "no certified key yet";
  const token = gate.hopTokens.tokenFor(
    {
      identity: {
        iss: lease.estate.object.issuer,
        aud: system.object.audience,
        sub: lookupSubject,
        op: target.fullName,
        int: `lookup:${asking.fullName}:${name}`,
      },
      crossing: "",
      effect: false,
      lifetimeMs: lease.estate.object.hop.lifetimeMs,
    },
    { snapshot: lease.estate, signer },
  );
  const headers = ["accept", "application/json", "accept-encoding", "identity", "sallyport-identity", token];
  const request = { method: "GET", path: place.basePath + path, headers, content: null };
  const reply = await askWhole(place.endpoint.pool, request, { timeoutMs: rule.timeoutMs, bytesMax: lookupBytesMax });
  const schema = target.object.response === undefined ? undefined : schemaFor(target.object.response, 200);
  return decideReply(reply, (value) => {
    try {
      return schema === undefined || lease.estate.schemas.check(schema, value).valid;
    } catch {
      // A schema that cannot be used lets nothing through.
      return false;
    }
  });
}
