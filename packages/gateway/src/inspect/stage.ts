// Promises that a JSON body is read within its bound, strictly parsed and matched to its schema before anything is forwarded, and that the bytes
// forwarded are the bytes checked. Trusts the parser for framing. Specified in docs/gateway.md (inspect).
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";
import type { CompiledOperation } from "../snapshot/estate.ts";
import { decideContent } from "./content.ts";
import { hasCaseTwin } from "./deciding-members.ts";
import { readJson } from "./json.ts";
import { type BodyReading, readBody } from "./read-body.ts";
import { SchemaFault } from "./schema.ts";

/** Idempotent: where the body decides, `authorize` has run it already. */
export function inspectRequest(exchange: Exchange, _gate: Gate): Deny | null | Promise<Deny | null> {
  const { request, operation, grant } = exchange;
  if (request === null || operation === null) return deny("inspect", "not-ready");
  if (grant === null && exchange.wouldDeny === null) return deny("inspect", "not-ready");
  if (exchange.body !== null || exchange.bodyBegun !== null) return null;
  const bodyBytesMax = grant?.bodyBytesMax ?? operation.object.bodyBytesMax;
  const verdict = decideContent({
    declared: operation.object.body,
    bodyBytesMax,
    contentLength: request.chunked ? null : (request.contentLength ?? 0),
    contentType: request.headers["content-type"],
    contentEncoding: request.headers["content-encoding"],
  });
  if (verdict !== null || operation.object.body?.content !== "json") return verdict;
  const judgeRead = (read: BodyReading) => ("kind" in read ? read : judge(exchange, { operation, bytes: read.bytes }));
  const read = readBody(exchange, bodyBytesMax);
  return read instanceof Promise ? read.then(judgeRead) : judgeRead(read);
}

function judge(exchange: Exchange, on: { operation: CompiledOperation; bytes: Uint8Array }): Deny | null {
  const reading = readJson(on.bytes);
  exchange.body = {
    bytes: on.bytes,
    value: reading.ok ? reading.value : undefined,
    hasPlainNumbers: reading.ok && reading.hasPlainNumbers,
  };
  if (!reading.ok)
    return deny("inspect", "body-malformed", {
      why: reading.why,
      detail: `The content is ${reading.why === "not JSON" || reading.why === "not UTF-8" ? reading.why : `JSON with a ${reading.why}`}`,
    });
  if (on.operation.bodyDecides && hasCaseTwin(on.operation.object.attributes, reading.value))
    return deny("inspect", "body-malformed", {
      why: "names that differ in case",
      detail: "The content is JSON with names that differ from an attribute's in case only",
    });
  const schema = on.operation.object.body?.schema;
  if (schema === undefined) return null;
  try {
    const match = exchange.lease?.estate.schemas.check(schema, reading.value);
    if (match?.valid === true) return null;
    return deny("inspect", "schema-mismatch", {
      why: match?.why ?? "",
      detail: `The content does not match the schema at ${match?.why ?? "#"}`,
    });
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return deny("inspect", "not-served", { broken: error.message, detail: error.public });
  }
}
