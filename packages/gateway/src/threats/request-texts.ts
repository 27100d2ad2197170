// Promises every text of a request that has been read, with its place: parameters of the head, members of JSON and forms, parts that are texts, texts and
// attributes of XML. Trusts what was judged before: strict JSON of bounded depth, a sound form, well-formed XML. Specified in docs/threats.md.
import type { BodyRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import type { Exchange, ReadBody } from "../exchange.ts";
import { readForm } from "../inspect/form.ts";
import { boundaryOf, textParts } from "../inspect/multipart.ts";
import { type Judge, placeName } from "./judge.ts";
import type { Kind } from "./texts.ts";
import { eachXmlText } from "./xml-texts.ts";

/** Parameters of path and query, and header fields that the operation declares. */
export function readHead(judge: Judge, { request, parameters, operation }: Exchange): void {
  if (request === null) return;
  for (const name of Object.keys(parameters))
    judge.text(parameters[name] ?? "", `path:${placeName(name)}`, "parameter");
  for (const name of Object.keys(request.queryParameters)) {
    const at = `query:${placeName(name)}`;
    judge.name(name, at);
    const values = request.queryParameters[name] ?? [];
    for (const value of values) judge.text(value, at, "parameter");
    // Some servers join what is said twice, and what was harmless apart is read as one.
    if (values.length > 1) judge.text(values.join(","), at, "parameter");
  }
  for (const { in: place, name } of operation?.object.parameters?.fields ?? [])
    if (place === "header")
      for (const value of request.headers[name] ?? []) judge.text(value, `header:${placeName(name)}`, "parameter");
}

/** The body, where its kind is one that is looked into. */
export function readContent(
  judge: Judge,
  body: ReadBody,
  on: { readonly rule: BodyRule; readonly type: string },
): void {
  const { rule, type } = on;
  if (rule.content === "json") walk(judge, body.value, "body:", "content");
  else if (rule.content === "form") {
    const form = readForm(body.bytes, rule.fields ?? []);
    if (form.ok) walk(judge, form.value, "body:", "parameter");
  } else if (rule.content === "xml") eachXmlText(Buffer.from(body.bytes).toString("utf8"), judge);
  else if (rule.content === "multipart")
    for (const { name, text } of textParts(body.bytes, boundaryOf(type) ?? "", rule.parts ?? []))
      judge.text(text, `body:/${placeName(name)}`, "content");
}

function walk(judge: Judge, value: unknown, at: string, kind: Kind): void {
  if (judge.isFull) return;
  if (typeof value === "string") judge.text(value, at === "body:" ? "body:/" : at, kind);
  else if (Array.isArray(value)) for (const item of value) walk(judge, item, `${at}/*`, kind);
  else if (typeof value === "object" && value !== null)
    for (const [name, member] of Object.entries(value)) {
      const inside = `${at}/${placeName(name)}`;
      judge.name(name, inside, member);
      walk(judge, member, inside, kind);
    }
}
