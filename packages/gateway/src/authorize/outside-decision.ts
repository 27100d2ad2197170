// Promises that an outside decision point can only narrow what policies here allowed: whatever is not its plain yes, in time and in form, is a no.
// Trusts the pool, which dials checked addresses alone. Specified in docs/policy.md "An outside decision point"; the form is OPA's data API.
import type { UpstreamPool } from "@sallyport/kernel/dial/upstream-port.ts";
import type { DecisionInputs } from "@sallyport/kernel/policy/port.ts";
import type { OutsideDecisionObject } from "@sallyport/protocol/snapshot/objects.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import { readJson } from "../inspect/json.ts";
import { askWhole, type WholeReply } from "./whole-reply.ts";

/** Of an answer; a yes is some fifty bytes. */
export const answerBytesMax = 64 * 1024;

export interface OutsideDecision {
  /** As records name who decided. */
  readonly policy: string;
  /** The decision point's own id of it; null where it gave none. */
  readonly id: string | null;
  readonly deny: Deny | null;
}

/** As records name a rule. */
export const policyOf = ({ path }: OutsideDecisionObject): string => `opa:${path}`;

/** Asks; never throws, and never later than the rule's time. */
export async function askOutside(
  rule: OutsideDecisionObject,
  on: { readonly pool: UpstreamPool | undefined; readonly action: string; readonly inputs: DecisionInputs },
): Promise<OutsideDecision> {
  const policy = policyOf(rule);
  if (on.pool === undefined) return { policy, id: null, deny: unavailable("there is no way to it", policy) };
  const { action, inputs } = on;
  const body = Buffer.from(JSON.stringify({ input: { action, ...inputs } }), "utf8");
  const headers = ["content-type", "application/json", "accept", "application/json"];
  const request = { method: "POST", path: `/v1/data/${rule.path}`, headers, content: body };
  const reply = await askWhole(on.pool, request, { timeoutMs: rule.timeoutMs, bytesMax: answerBytesMax });
  return typeof reply === "string"
    ? { policy, id: null, deny: unavailable(reply, policy) }
    : decideReply(reply, policy);
}

function unavailable(why: string, policy: string): Deny {
  const detail = "The outside decision point of this operation did not answer; try again shortly";
  return deny("authorize", "decision-unavailable", { why, detail }, [policy]);
}

const knownMembers: ReadonlySet<string> = new Set([
  "result",
  "decision_id",
  "metrics",
  "provenance",
  "explanation",
  "warning",
]);
const decisionId = /^[A-Za-z0-9._:-]{1,128}$/;

/** What an answer says: `true` is a yes, `false` a no, and all else an error, which is a no. Pure. */
export function decideReply({ status, bytes }: WholeReply, policy: string): OutsideDecision {
  const wrong = (why: string, id: string | null = null): OutsideDecision => {
    const detail =
      "The outside decision point of this operation gave no plain answer; its owner finds the reason by correlation id";
    return { policy, id, deny: deny("authorize", "policy-error", { errors: `${policy}: ${why}`, detail }, [policy]) };
  };
  if (status !== 200) return wrong(`status ${status}`);
  const read = readJson(bytes);
  if (!read.ok) return wrong(`the answer is ${read.why}`);
  if (typeof read.value !== "object" || read.value === null || Array.isArray(read.value))
    return wrong("the answer is no object");
  const members = new Map<string, unknown>(Object.entries(read.value));
  const stray = [...members.keys()].some((name) => !knownMembers.has(name));
  if (stray) return wrong("the answer has members that the data API does not know");
  const given = members.get("decision_id");
  if (given !== undefined && (typeof given !== "string" || !decisionId.test(given)))
    return wrong("decision_id is not one");
  const id = given ?? null;
  const result = members.get("result");
  if (result === undefined) return wrong("there is no result: the path names no rule, or its rule has no value", id);
  if (typeof result !== "boolean") return wrong("the result is neither true nor false", id);
  if (result) return { policy, id, deny: null };
  const facts = { policies: `denied by ${policy}`, detail: `This crossing is denied by ${policy}` };
  return { policy, id, deny: deny("authorize", "policy-denied", facts, [policy]) };
}
