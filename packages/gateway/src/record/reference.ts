// Promises what only control may read of a crossing, sealed beside its leaf: the inputs of its decision, and for a denial what was expected, what was sent and
// how to mend it. Trusts the exchange. Specified in docs/formats/leaf.md and docs/formats/seal.md. Pure.
import type { Deny, StageName } from "@sallyport/protocol/verdict.ts";
import { toldElsewhere } from "../authorize/told-elsewhere.ts";
import type { Exchange } from "../exchange.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { shapeOf } from "../observe/undeclared.ts";
import { placedFacts } from "./declared-at.ts";

/** A fault of these comes after the verdict. */
export const afterVerdict: ReadonlySet<StageName> = new Set(["exchange", "forward"]);

/** What only control may read: the inputs of the decision, and for a denial what was expected, what was sent and how to mend it. */
export function referenceOf(exchange: Exchange, denied: Deny | null): object {
  const { principal, request, source, decision, wouldDeny, question, shadow, threats } = exchange;
  const told = (no: Deny) => ({ stage: no.stage, code: no.code, facts: placedFacts(exchange, no) });
  const isEnforced = denied !== null && !afterVerdict.has(denied.stage);
  const said = isEnforced ? denied : (wouldDeny ?? denied);
  return {
    v: 1,
    id: exchange.id,
    address: source.address,
    method: request?.method ?? null,
    path: request?.path ?? null,
    url: request?.clientUrl ?? null,
    principal,
    ...{ decision, policies: exchange.policies, shadow: shadow ?? undefined, threats: threats ?? undefined },
    ...(question === null ? {} : askedOf(question)),
    ...{ ...toldElsewhere(exchange), replayOf: exchange.claim?.replay?.crossing },
    ...(said === null ? {} : told(said)),
    ...(wouldDeny === null ? {} : passedOf(exchange)),
    ...(denied === null || denied === said ? {} : { end: told(denied) }),
    ...(exchange.attempts === null ? {} : { attempts: exchange.attempts }),
  };
}

/** Of a service's question: what was asked, and what was said to it. */
function askedOf({ question, evaluation }: NonNullable<Exchange["question"]>): object {
  const { deny: denied, outside } = evaluation;
  const said = denied === null ? { decision: true } : { decision: false, code: denied.code, facts: denied.facts };
  return { asked: { ...question, ...said, outside: outside.map(({ policy, id }) => ({ policy, id })) } };
}

/** Of a denial that passed: under which word, and what else would have been said. */
function passedOf(exchange: Exchange): object {
  const { operation, system, grant, alsoDenied } = exchange;
  const untilMs =
    operation?.undeclared === true ? system?.undeclared?.untilMs : (grant?.observeUntilMs ?? system?.observeUntilMs);
  return {
    mode: modeOf(exchange),
    until: new Date(untilMs ?? 0).toISOString(),
    ...(operation?.undeclared === true ? { undeclared: shapeOf(exchange) } : {}),
    also: alsoDenied.map((no) => ({ stage: no.stage, code: no.code, facts: placedFacts(exchange, no) })),
  };
}
