// Promises that what an operation asks to keep of a crossing is redacted, sealed to its data subject's key and durable before the effect or the answer, or that
// the crossing ends here; what cannot be told apart is not kept, and the log says why. Trusts the recorder and payload-keys.ts. Specified in docs/payloads.md.
import type { PayloadDirection, Pseudonym, UnkeptReason } from "@sallyport/protocol/audit/leaf.ts";
import type { PayloadRule, Projection } from "@sallyport/protocol/snapshot/objects.ts";
import { projectValue } from "@sallyport/protocol/snapshot/project-value.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { namedValueOf } from "../authorize/named-value.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import { readJson } from "../inspect/json.ts";
import type { PayloadKey } from "./payload-keys.ts";

/** What payloads of one crossing are kept under; a word: nothing is, and why. */
export type Keeping = { readonly subject: Pseudonym; readonly key: PayloadKey } | UnkeptReason;

/** Of an effect, or of an answer too long to hold: its key, and its request under it, durable. Null: nothing is to be kept. Rejects as the recorder does. */
export function keepRequest(exchange: Exchange, gate: Gate): Promise<Deny | null> | null {
  const rule = exchange.operation?.object.payload;
  return rule === undefined ? null : keepWanted(exchange, gate, rule);
}

async function keepWanted(exchange: Exchange, gate: Gate, rule: PayloadRule): Promise<Deny | null> {
  const keeping = await keepingOf(exchange, rule, gate);
  if (isDeny(keeping)) return keeping;
  if (rule.request !== undefined)
    await keep(exchange, gate, { direction: "request", projection: rule.request, bytes: exchange.body?.bytes ?? null });
  return null;
}

/** An answer: null where it has no content, `"not-whole"` where it is passed on as it comes. */
export type Answered = Uint8Array | null | "not-whole";

/** The answer, durable before it is released. Null: it is not to be kept. Rejects as the recorder does. */
export function keepAnswer(exchange: Exchange, gate: Gate, answered: Answered): Promise<Deny | null> | null {
  const rule = exchange.operation?.object.payload;
  return rule?.response === undefined ? null : keepAnswered(exchange, gate, { rule, answered });
}

async function keepAnswered(
  exchange: Exchange,
  gate: Gate,
  { rule, answered }: { readonly rule: PayloadRule; readonly answered: Answered },
): Promise<Deny | null> {
  const keeping = await keepingOf(exchange, rule, gate);
  if (isDeny(keeping)) return keeping;
  const direction = "response";
  if (answered === "not-whole") await gate.recorder.unkept(exchange, { direction, reason: answered, bytes: 0 });
  else await keep(exchange, gate, { direction, projection: rule.response ?? [{}], bytes: answered });
  return null;
}

const isDeny = (value: Keeping | Deny): value is Deny => typeof value === "object" && "code" in value;

async function keepingOf(exchange: Exchange, rule: PayloadRule, gate: Gate): Promise<Keeping | Deny> {
  if (exchange.keeping !== null) return exchange.keeping;
  // A denial passed: the body may be anything, also what no schema allows.
  const subject = exchange.wouldDeny === null ? namedValueOf(exchange, rule.subject) : null;
  if (subject === null) {
    exchange.keeping = exchange.wouldDeny === null ? "no-subject" : "unenforced";
    return exchange.keeping;
  }
  const pseudonym = gate.recorder.pseudonym("data-subject", subject);
  const key = await gate.payloadKeys.find(pseudonym, rule.days);
  if (key.kind !== "key") return key;
  exchange.keeping = { subject: pseudonym, key };
  return exchange.keeping;
}

interface Carried {
  readonly direction: PayloadDirection;
  readonly projection: Projection;
  readonly bytes: Uint8Array | null;
}

async function keep(exchange: Exchange, gate: Gate, carried: Carried): Promise<void> {
  const { keeping, operation } = exchange;
  const { direction, bytes } = carried;
  const content = redact(keeping, carried, operation?.object.payload?.bytesMax ?? 0);
  if (typeof content === "string" || keeping === null || typeof keeping === "string") {
    const reason = typeof content === "string" ? content : "no-subject";
    await gate.recorder.unkept(exchange, { direction, reason, bytes: bytes?.length ?? 0 });
    return;
  }
  const { key, subject } = keeping;
  const { tenant, environment, node } = gate.identity;
  const sealed = key.seal({ tenant, environment, node, id: exchange.id, direction }, content);
  await gate.recorder.payload(exchange, { direction, dataSubject: subject, key: key.id, endsAt: key.endsAt }, sealed);
}

/** The bytes to keep, or why there are none. Pure. */
function redact(keeping: Keeping | null, carried: Carried, bytesMax: number): Uint8Array | UnkeptReason {
  if (typeof keeping === "string") return keeping;
  const { bytes, projection } = carried;
  if (bytes === null || bytes.length === 0) return "empty";
  if (!readJson(bytes).ok) return "not-json";
  const kept = Buffer.from(JSON.stringify(projectValue(projection, readFaithfully(bytes))), "utf8");
  return kept.length > bytesMax ? "too-large" : kept;
}

// ECMAScript 2026 (JSON.parse source text access), which the types do not have yet.
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A JSON text already read strictly, in which numbers are kept as they are written: a double would round what is to be evidence. */
function readFaithfully(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes), (_name, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" ? rawJson(context?.source ?? String(value)) : value,
  );
}
