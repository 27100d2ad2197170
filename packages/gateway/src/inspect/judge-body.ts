// Promises that a body of a kind which is looked into reads the same way for everybody, and matches its schema. Trusts read-body.ts for its bound.
// Specified in docs/gateway.md (inspect) and docs/inspection.md "What a request carries".
import type { BodyRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";
import { hasCaseTwin } from "./deciding-members.ts";
import { readForm } from "./form.ts";
import { readJson, requestBounds } from "./json.ts";
import { boundaryOf, refuseMultipart } from "./multipart.ts";
import { SchemaFault } from "./schema.ts";
import { refuseXml } from "./xml.ts";

interface Judged {
  readonly operation: CompiledOperation;
  readonly body: BodyRule;
  readonly bytes: Uint8Array;
}

/** Keeps what goes on to the provider in the exchange. */
export function judgeBody(exchange: Exchange, on: Judged): Deny | null {
  if (on.body.content === "json") return judgeJson(exchange, on);
  exchange.body = { bytes: on.bytes, value: undefined, hasPlainNumbers: false };
  if (on.body.content === "form") return judgeForm(exchange, on);
  const why = on.body.content === "xml" ? refuseXml(on.bytes) : whyNotParts(exchange, on);
  return why === null ? null : malformed(why, `The content is not as it is declared: ${why}`);
}

function whyNotParts({ request }: Exchange, { body, bytes }: Judged): string | null {
  const boundary = boundaryOf(request?.headers["content-type"]?.[0] ?? "");
  return boundary === null ? "no boundary" : refuseMultipart(bytes, boundary, body.parts ?? []);
}

const malformed = (why: string, detail: string): Deny => deny("inspect", "body-malformed", { why, detail });

function judgeJson(exchange: Exchange, on: Judged): Deny | null {
  const reading = readJson(on.bytes, requestBounds);
  exchange.body = {
    bytes: on.bytes,
    value: reading.ok ? reading.value : undefined,
    hasPlainNumbers: reading.ok && reading.hasPlainNumbers,
  };
  if (!reading.ok)
    return malformed(
      reading.why,
      `The content is ${reading.why === "not JSON" || reading.why === "not UTF-8" ? reading.why : `JSON with a ${reading.why}`}`,
    );
  if (on.operation.bodyDecides && hasCaseTwin(on.operation.object.attributes, reading.value))
    return malformed(
      "names that differ in case",
      "The content is JSON with names that differ from an attribute's in case only",
    );
  return judgeSchema(exchange, on, reading.value);
}

function judgeForm(exchange: Exchange, on: Judged): Deny | null {
  const reading = readForm(on.bytes, on.body.fields ?? []);
  if (!reading.ok) return malformed(reading.why, `The content is a form with ${reading.why}`);
  return judgeSchema(exchange, on, reading.value);
}

function judgeSchema({ lease }: Exchange, { body }: Judged, value: unknown): Deny | null {
  if (body.schema === undefined) return null;
  try {
    const match = lease?.estate.schemas.check(body.schema, value);
    if (match?.valid === true) return null;
    return deny("inspect", "schema-mismatch", {
      why: match?.why ?? "",
      detail: `The content does not match the schema at ${match?.why ?? "#"}. ${match?.says ?? ""}`,
    });
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return deny("inspect", "not-served", { broken: error.message, detail: error.public });
  }
}
