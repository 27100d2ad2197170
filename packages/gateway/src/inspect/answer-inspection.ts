// Promises, for one operation and one consumer, how answers are looked into: bounds, schemas and what is taken out, made ready once.
// Trusts the snapshot. Specified in docs/inspection.md.
import type { BlobId, DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { ResponseRule } from "@sallyport/protocol/snapshot/response-rule.ts";
import type { Exchange } from "../exchange.ts";
import { modeOf } from "../observe/decide-pass.ts";
import { compileFilter, type ResponseFilter } from "./response-filter.ts";

export interface AnswerInspection {
  readonly rule: ResponseRule;
  /** Policies are asked about the answer (authorize/stage.ts). */
  readonly decides: boolean;
  /** Made on first use; null: nothing is taken out of any answer. */
  filter(): ResponseFilter | null;
}

/** What an operation that says nothing of its answers implies where a grant redacts or policies read them. */
const implied: ResponseRule = {
  schemas: {},
  contentType: "application/json",
  bytesMax: 1024 * 1024,
  redact: [],
  undeclared: "keep",
};

interface InspectionParts {
  /** Of the grant. */
  readonly redact: readonly string[] | undefined;
  readonly data: readonly DataClass[] | undefined;
  readonly responseDecides: boolean;
}

/** Null: answers are passed on unread. */
export function inspectionOf(
  declared: ResponseRule | undefined,
  { redact = [], data, responseDecides }: InspectionParts,
): AnswerInspection | null {
  if (declared === undefined && redact.length === 0 && !responseDecides) return null;
  const rule = declared ?? implied;
  let filter: ResponseFilter | null | undefined;
  return {
    rule,
    decides: responseDecides,
    filter() {
      if (filter === undefined) filter = compileFilter({ rule, redact, data });
      return filter;
    },
  };
}

/** May an answer that is too long to be held pass unread? Never where anything could have been taken out of it, for this consumer, or decides. */
export function passesLong({ rule, filter, decides }: AnswerInspection): boolean {
  return rule.long === "pass" && !decides && filter() === null;
}

interface AnswerBounds {
  readonly inspectedBytesMax: number | null;
  readonly passesLong: boolean;
}

const nothingHeld: AnswerBounds = Object.freeze({ inspectedBytesMax: null, passesLong: false });

/** What is held of an answer: nothing where it is not looked into. */
export function answerBounds(inspection: AnswerInspection | null): AnswerBounds {
  return inspection === null
    ? nothingHeld
    : { inspectedBytesMax: inspection.rule.bytesMax, passesLong: passesLong(inspection) };
}

/** The schema an answer of this status must match; undefined: none is declared. Pure. */
export function schemaFor({ schemas }: Pick<ResponseRule, "schemas">, status: number): BlobId | undefined {
  return schemas[String(status)] ?? schemas[`${Math.trunc(status / 100)}XX`] ?? schemas["default"];
}

/** How this crossing's answer is looked into; null: it is not. */
export function inspectionFor(exchange: Exchange): AnswerInspection | null {
  return exchange.grant === null || modeOf(exchange) !== "enforce" ? null : exchange.grant.inspection;
}
