// Promises the keys by which an operation says how its answers are looked into before a caller gets them. Trusts nothing. What they do: docs/inspection.md.
import { readJsonPath } from "@sallyport/protocol/snapshot/json-path.ts";
import { z } from "zod";
import { filePath, size, word } from "./words.ts";

/** `$.customer.taxId` */
export const answerPath = () =>
  word((text) => {
    const read = readJsonPath(text);
    if ("refused" in read) return read;
    return read.length === 0
      ? { refused: "the whole answer", fix: "name what is in the answer, for example `$.customer.taxId`" }
      : { value: text };
  });

export const redactedPathsMax = 64;

export const redact = () => z.array(answerPath()).max(redactedPathsMax);

const schema = () => z.union([filePath(), z.record(z.string(), z.unknown())]);

/** `404`, `4XX` or `default`. */
const statusName = () =>
  z.string().regex(/^(?:[2-5][0-9][0-9]|[2-5]XX|default)$/, {
    error: "not a status: write for example `404`, `4XX` or `default`, in quotes where it is a number",
  });

export const response = () =>
  z
    .strictObject({
      schema: schema()
        .optional()
        .describe(
          "JSON Schema 2020-12 that successful answers (2XX) must match, inline or as the path of a JSON or YAML file; its `x-data-class` labels say who gets which fields.",
        ),
      statuses: z
        .record(statusName(), schema())
        .prefault({})
        .describe("The same for single statuses: `404`, `4XX` or `default`; the most exact one holds."),
      contentType: z
        .string()
        .regex(/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/)
        .prefault("application/json")
        .describe(
          "The one media type of successful answers, without parameters; other than JSON it is not looked into.",
        ),
      size: size()
        .prefault("1MiB")
        .describe("Most bytes of an answer, which is held whole while it is looked into; at most `8MiB`."),
      long: z
        .enum(["refuse", "pass"])
        .prefault("refuse")
        .describe(
          "What becomes of an answer longer than `size`, or of an event stream: `pass` lets it through unread, where nothing is ever taken out of it.",
        ),
      mismatch: z
        .enum(["refuse", "report"])
        .prefault("refuse")
        .describe("What becomes of an answer that does not match its schema: `report` records it and lets it pass."),
      redact: redact().prefault([]).describe("JSONPaths of fields that are taken out of every answer, whoever calls."),
      undeclared: z
        .enum(["keep", "drop"])
        .prefault("keep")
        .describe("What becomes of fields that no schema of the answer declares: `drop` takes them out."),
    })
    .describe("How answers are looked into before the caller gets any of them; without it they are passed on unread.");

export type ResponseSource = z.output<ReturnType<typeof response>>;

/** Is content of this type looked into? */
export const isJsonType = (type: string): boolean => /^application\/(?:json|[a-z0-9!#$&^_.+-]+\+json)$/.test(type);
