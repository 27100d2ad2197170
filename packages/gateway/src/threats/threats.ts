// Promises that what a request says is held against the rules its operation names, once it has been read and never instead: a rule in shadow changes
// nothing but the record, a rule that blocks names itself and the place, and no value goes anywhere. Trusts judge.ts to be bounded.
// Specified in docs/threats.md.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { type FoundThreat, Judge } from "./judge.ts";
import { readContent, readHead } from "./request-texts.ts";

/** Of parameters; before any of the body is asked for. */
export const refuseHeadThreats = (exchange: Exchange, gate: Gate): Deny | null =>
  exchange.operation?.object.threats === undefined
    ? null
    : refuse(exchange, gate, (judge) => readHead(judge, exchange));

/** Of a body that was read and is sound. */
export function refuseBodyThreats(exchange: Exchange, gate: Gate): Deny | null {
  const { operation, body, request } = exchange;
  const rule = operation?.object.body;
  if (operation?.object.threats === undefined || body === null || rule === undefined) return null;
  const type = request?.headers["content-type"]?.[0] ?? "";
  return refuse(exchange, gate, (judge) => readContent(judge, body, { rule, type }));
}

function refuse(exchange: Exchange, gate: Gate, read: (judge: Judge) => void): Deny | null {
  const threats = exchange.operation?.object.threats;
  if (threats === undefined) return null;
  const judge = new Judge(threats);
  try {
    read(judge);
  } catch (bug) {
    // What only watches must not be what fails.
    if (threats.block.length > 0) throw bug;
    gate.logger.error({ err: bug instanceof Error ? bug.name : "unknown" }, "threat rules in shadow failed");
    return null;
  }
  return told(exchange, judge.found);
}

function told(exchange: Exchange, found: readonly FoundThreat[]): Deny | null {
  if (found.length === 0) return null;
  const block = exchange.operation?.object.threats?.block ?? [];
  const watched = found.filter(({ rule }) => !block.includes(rule));
  if (watched.length > 0) exchange.threats = [...(exchange.threats ?? []), ...watched];
  const refused = found.filter(({ rule }) => block.includes(rule));
  const [first] = refused;
  if (first === undefined) return null;
  const also = refused.slice(1).map(({ rule, at }) => `${rule} at ${at}`);
  return deny("inspect", "threat-found", {
    rule: first.rule,
    at: first.at,
    ...(also.length === 0 ? {} : { also: also.join(", ") }),
    detail: `The rule ${first.rule} refuses what the request has at ${first.at}`,
  });
}

/** Of a crossing that is over: rules that watched, and the one that refused it or would have. */
export function countThreats({ threats, wouldDeny }: Exchange, ended: Deny | null, gate: Gate): void {
  if (threats !== null) for (const { rule } of threats) gate.metrics.threat(rule, "shadow");
  const refused = [ended, wouldDeny].find((one) => one?.code === "threat-found")?.facts["rule"];
  if (refused !== undefined) gate.metrics.threat(refused, "block");
}
