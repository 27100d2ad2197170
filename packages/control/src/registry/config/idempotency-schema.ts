// Promises the keys by which an operation says how it bears repeats and writers at the same time, and what of them cannot work for its method. Trusts nothing.
// What they do: docs/idempotency.md.
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import { z } from "zod";
import { errorAt } from "./finding.ts";
import { type AttributeReader, type Carried, refuseSource } from "./read-attributes.ts";
import { attributeFrom, duration } from "./words.ts";
import { spotOf } from "./yaml-tree.ts";

const hourMs = 3_600_000;
/** A key outlives every crossing by far, and what a crash left unknown does not stay for ever. */
const ttlMsMin = hourMs / 6;
const ttlMsMax = 30 * 24 * hourMs;
const ttlMsDefault = 24 * hourMs;

const keyWord = z.enum(["required", "optional"]);

export const idempotencyKeys = {
  idempotency: z
    .union([
      keyWord,
      z.strictObject({
        key: keyWord.describe("Whether a request must carry an `Idempotency-Key`."),
        ttl: duration({ minMs: ttlMsMin, maxMs: ttlMsMax, says: "`10m` to `30d`" })
          .prefault("24h")
          .describe("How long a key and its answer are kept; `10m` to `30d`."),
        provider: z
          .literal("honours")
          .optional()
          .describe(
            "The provider itself has one effect per key: it is told one, made for this principal and operation, and may be asked again where nobody knows what came of the first time.",
          ),
      }),
    ])
    .optional()
    .describe(
      "One effect for each `Idempotency-Key` of a principal: a repeat gets the answer of the first time; `required` or `optional`, or a map.",
    ),
  precondition: z
    .enum(["if-match", "if-match-strong"])
    .optional()
    .describe(
      "A request has to name the version it changes, in `If-Match`, which the provider compares; `if-match-strong` refuses weak entity tags.",
    ),
  serialize: attributeFrom()
    .optional()
    .describe(
      "Effects that name the same value there run one at a time, over all gateways of a data-plane store: `path:<parameter>`, `query:<name>`, `header:<name>` or `body:$.member`.",
    ),
};

type Source = z.output<z.ZodObject<typeof idempotencyKeys>>;

/** What a gateway obeys, or the findings that say why it could not. */
export function readIdempotency(
  { tree, findings }: AttributeReader,
  at: readonly string[],
  { method, ...source }: Source & { readonly method: string },
  carried: Carried,
): Pick<OperationObject, "idempotency" | "precondition" | "serialize"> {
  const { idempotency, precondition, serialize } = source;
  if (["GET", "HEAD", "OPTIONS"].includes(method))
    for (const key of ["idempotency", "precondition", "serialize"] as const)
      if (source[key] !== undefined)
        findings.push(
          errorAt(spotOf(tree, [...at, key], "key"), `${method} has no effect to protect`, `remove \`${key}\``),
        );
  if (serialize !== undefined) findings.push(...refuseSource(spotOf(tree, [...at, "serialize"]), serialize, carried));
  const { key, ttl, provider } =
    typeof idempotency === "object" ? idempotency : { key: idempotency, ttl: ttlMsDefault, provider: undefined };
  return {
    ...(key === undefined ? {} : { idempotency: { key, ttlMs: ttl, ...(provider === undefined ? {} : { provider }) } }),
    ...(precondition === undefined ? {} : { precondition }),
    ...(serialize === undefined ? {} : { serialize: { ...serialize, type: "string" } }),
  };
}
