// Promises that of an answer nothing is released that its operation or integration does not allow: content type, strict JSON, schema, labels and paths are
// judged over the whole of it first. Where nothing is enforced nothing is judged. Trusts forward to hold it whole. Specified in docs/inspection.md.
import { readJsonPath, selectsSome } from "@sallyport/protocol/snapshot/json-path.ts";
import { type Deny, deny, type StageName } from "@sallyport/protocol/verdict.ts";
import { authorizeAnswer } from "../authorize/stage.ts";
import type { Exchange } from "../exchange.ts";
import { forward } from "../forward/stage.ts";
import type { UpstreamAnswer } from "../forward/upstream-answer.ts";
import type { Gate } from "../gate.ts";
import { keepWouldDeny } from "../observe/decide-pass.ts";
import type { Grant } from "../snapshot/estate.ts";
import { type AnswerInspection, inspectionFor, passesLong, schemaFor } from "./answer-inspection.ts";
import { type JsonReading, readJson } from "./json.ts";
import { redactJson } from "./redact.ts";
import { SchemaFault } from "./schema.ts";

/** Forwards, and looks into the answer where that is declared. */
export function forwardAndInspect(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const forwarded = forward(exchange, gate);
  const { operation } = exchange;
  const looks = inspectionFor(exchange) !== null || operation?.object.businessErrorsIn !== undefined;
  if (!(forwarded instanceof Promise) || !(looks || operation?.responseDecides)) return forwarded;
  return forwarded.then((verdict) => verdict ?? inspectAnswer(exchange, gate));
}

function inspectAnswer(exchange: Exchange, gate: Gate): Deny | null | Promise<Deny | null> {
  const { upstream, grant } = exchange;
  const inspection = inspectionFor(exchange);
  if (upstream === null) return null;
  if (grant === null || inspection === null) {
    return lookWithoutRule(exchange, upstream, gate);
  }
  return andThen(judge(exchange, { upstream, grant, inspection, gate }), (verdict) => {
    if (verdict === null) return null;
    // One that goes on must end with its crossing.
    if (!upstream.whole && !upstream.isOver) upstream.cancel(verdict);
    upstream.discard();
    return verdict;
  });
}

type Verdict = Deny | null | Promise<Deny | null>;

/** Without a wait where there is nothing to wait for. */
function andThen(verdict: Verdict, next: (verdict: Deny | null) => Deny | null): Verdict {
  return verdict instanceof Promise ? verdict.then(next) : next(verdict);
}

/** An answer that nothing is held against: what it says of its outcome, and, where nothing is enforced, what the policies would have said. */
function lookWithoutRule(exchange: Exchange, upstream: UpstreamAnswer, gate: Gate): Verdict {
  if (!upstream.whole || upstream.bodiless) return null;
  const body = upstream.peekHeld();
  const reading = readJson(body);
  if (reading.ok) upstream.saysNo = saysNo(exchange, upstream, reading.value);
  if (exchange.operation?.responseDecides !== true || exchange.grant === null || exchange.wouldDeny !== null)
    return null;
  const verdict = reading.ok
    ? authorizeAnswer(exchange, { ...reading, bytes: body }, gate)
    : deny("authorize", "attribute-missing", { why: "the answer is no JSON" });
  return andThen(verdict, (late) => {
    if (late !== null) keepWouldDeny(exchange, late);
    return null;
  });
}

/** Does a successful answer say that the provider said no? */
function saysNo({ operation }: Exchange, { status }: Pick<UpstreamAnswer, "status">, value: unknown): boolean {
  const signs = status < 300 ? (operation?.object.businessErrorsIn ?? []) : [];
  return signs.some(({ path, is }) => {
    const read = readJsonPath(path);
    const holds = (one: unknown): boolean =>
      is === undefined ? one !== null && one !== false : is.some((expected) => expected === one);
    return !("refused" in read) && selectsSome(read, value, holds);
  });
}

interface Answered {
  readonly upstream: UpstreamAnswer;
  readonly grant: Grant;
  readonly inspection: AnswerInspection;
  readonly gate: Gate;
}

/** Fields that say something of the content before anything was taken out: whoever may not read a field could try values against them. */
const tellsContent: ReadonlySet<string> = new Set([
  ...["etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges", "content-range"],
  ...["signature", "signature-input"],
]);

function judge(exchange: Exchange, answered: Answered): Verdict {
  const { upstream, inspection, gate } = answered;
  const filter = inspection.filter();
  if (filter !== null) {
    const told = withoutFields(upstream.headers, tellsContent);
    if (told.length !== upstream.headers.length) upstream.setHeaders(told);
    upstream.contentLength = upstream.bodiless ? null : upstream.contentLength;
  }
  if (upstream.bodiless) return inspection.decides ? unread(gate, exchange) : null;
  // Longer than is held, and let pass: its fields are all that is known of it.
  if (!upstream.whole)
    return passesLong(inspection) ? decideAnswerContent(upstream, inspection, 1) : deny("forward", "internal");
  const body = upstream.peekHeld();
  const content = decideAnswerContent(upstream, inspection, body.length);
  if (content !== null) return content;
  if (body.length === 0) return judgeEmpty(exchange, answered) ?? (inspection.decides ? unread(gate, exchange) : null);
  if (!isJson(inspection.rule.contentType))
    return filter === null && !inspection.decides
      ? null
      : refuse(upstream, "response-content", { why: "not JSON" }, "cannot be looked into");
  const reading = readJson(body);
  if (!reading.ok)
    return refuse(upstream, "response-content", { why: reading.why }, `cannot be looked into: ${reading.why}`);
  upstream.saysNo = saysNo(exchange, upstream, reading.value);
  const mismatch = judgeSchema(exchange, answered, reading);
  if (mismatch !== null && !isReported(exchange, answered, mismatch)) return mismatch;
  const decided = inspection.decides ? authorizeAnswer(exchange, { ...reading, bytes: body }, gate) : null;
  return andThen(decided, (verdict) => verdict ?? takeOut(body, answered));
}

function judgeEmpty(exchange: Exchange, answered: Answered): Deny | null {
  const mismatch = judgeSchema(exchange, answered, null);
  return mismatch !== null && isReported(exchange, answered, mismatch) ? null : mismatch;
}

/** Is a mismatch put on record in place of a refusal? What is taken out is taken out all the same. */
function isReported(exchange: Exchange, { inspection, gate, upstream }: Answered, { code, facts }: Deny): boolean {
  if (code !== "response-schema" || inspection.rule.mismatch !== "report") return false;
  exchange.reported = facts["why"] ?? "";
  gate.metrics.answerReported(exchange.operation?.fullName ?? "", String(upstream.status));
  return true;
}

/** Last of all: what is left is what leaves. */
function takeOut(body: Buffer, answered: Answered): Deny | null {
  const filter = answered.inspection.filter();
  if (filter === null) return null;
  const redacted = redactJson(body, filter);
  if (redacted.kind === "leak") return leak(answered, redacted.classes);
  if (redacted.kind === "changed") answered.upstream.replaceHeld(redacted.bytes);
  return null;
}

/** An answer without content has no attributes. */
function unread(gate: Gate, exchange: Exchange): Verdict {
  return authorizeAnswer(exchange, { bytes: Buffer.alloc(0), value: undefined, hasPlainNumbers: true }, gate);
}

type Status = Pick<UpstreamAnswer, "status" | "headers">;

/** May this answer's content be read as what is declared, by its fields alone? Pure. */
export function decideAnswerContent(
  { status, headers }: Status,
  { rule, filter }: AnswerInspection,
  length: number,
): Deny | null {
  const refused = (why: string) => refuse({ status }, "response-content", { why }, `cannot be looked into: ${why}`);
  // A part of a text is no text, and nobody asked for one: Range did not go on to the provider.
  if (status === 206) return refused("it is a part");
  if (valuesOf(headers, "content-encoding").some((value) => value.trim().toLowerCase() !== "identity"))
    return refused("it is encoded");
  if (length === 0) return null;
  const types = valuesOf(headers, "content-type");
  const isSuccess = status < 300;
  const [only] = types;
  if (only !== undefined && types.length === 1) {
    if (isType(only, rule.contentType)) return null;
    // Errors come in types of their own; read as JSON they are JSON.
    if (!isSuccess && isJson(rule.contentType) && isJson(mediaType(only)) && hasPlainCharset(only)) return null;
    // An error in another type is passed on only where nothing is ever taken out.
    if (!isSuccess && filter() === null && schemaFor(rule, status) === undefined) return null;
  }
  return refused(`its content type is not ${rule.contentType}`);
}

function valuesOf(headers: readonly string[], name: string): readonly string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1] === name);
}

function withoutFields(headers: readonly string[], names: ReadonlySet<string>): readonly string[] {
  return headers.filter((_, i) => !names.has(headers[i - (i % 2)] ?? ""));
}

const isJson = (type: string): boolean => /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)$/.test(type);
const mediaType = (value: string): string => (value.split(";")[0] ?? "").trim().toLowerCase();

function isType(value: string, declared: string): boolean {
  return mediaType(value) === declared && (!isJson(declared) || hasPlainCharset(value));
}

/** No parameter at all, or UTF-8 said: another charset would make other characters of the very bytes that were judged. */
function hasPlainCharset(value: string): boolean {
  return value
    .split(";")
    .slice(1)
    .map((parameter) => parameter.trim().toLowerCase())
    .every((parameter) => !parameter.startsWith("charset") || /^charset=(?:utf-8|"utf-8")$/.test(parameter));
}

function judgeSchema(
  { lease }: Exchange,
  { upstream, inspection }: Answered,
  reading: (JsonReading & { readonly ok: true }) | null,
): Deny | null {
  const schema = schemaFor(inspection.rule, upstream.status);
  if (schema === undefined) return null;
  if (reading === null) return mismatched(upstream, "no content");
  try {
    const match = lease?.estate.schemas.check(schema, reading.value);
    return match?.valid === true ? null : mismatched(upstream, match?.why ?? "");
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return deny("forward", "not-served", { broken: error.message, detail: error.public });
  }
}

function mismatched(upstream: UpstreamAnswer, why: string): Deny {
  return refuse(upstream, "response-schema", { why }, `does not match its schema at ${why}`);
}

function leak({ upstream, grant }: Answered, classes: readonly string[]): Deny {
  const { id, declaredAt } = grant.integration;
  const said = classes.join(", ");
  const facts = { classes: said, integration: id, declaredAt };
  const held = said === "" ? "nothing that is declared" : `data classified ${said}`;
  return refuse(
    upstream,
    "response-leak",
    facts,
    `holds ${held}, which integration ${id} is not classified for`,
    "inspect",
  );
}

/** The effect, if there was one, has happened: the detail says what the provider answered, so that nobody takes this for "nothing happened". */
function refuse(
  { status }: Pick<UpstreamAnswer, "status">,
  code: "response-content" | "response-schema" | "response-leak",
  facts: Readonly<Record<string, string>>,
  what: string,
  stage: StageName = "forward",
): Deny {
  return deny(stage, code, { ...facts, detail: `The provider answered with status ${status}, but its answer ${what}` });
}
