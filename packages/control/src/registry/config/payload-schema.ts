// Promises the keys by which an operation asks that what crosses be kept, encrypted, for a while. Trusts nothing. What they do: docs/payloads.md.
import { payloadDaysMax } from "@sallyport/protocol/channel/messages.ts";
import { z } from "zod";
import { dataClasses } from "./data-classes.ts";
import { attributeFrom, filePath, size } from "./words.ts";

export const payload = () =>
  z
    .strictObject({
      keep: z
        .array(z.enum(["request", "response"]))
        .min(1)
        .max(2)
        .describe("What is kept: `request`, `response` or both."),
      subject: attributeFrom().describe(
        "Whom the payload is about, from the request: `path:<parameter>`, `query:<name>`, `header:<name>` or `body:$.member`; without a value nothing is kept.",
      ),
      days: z
        .int()
        .min(1)
        .max(payloadDaysMax)
        .describe("How many days it can be read; within a day after that its key is destroyed."),
      drop: z
        .array(z.enum(dataClasses))
        .max(dataClasses.length)
        .prefault([])
        .describe(
          "Data classes whose fields are taken out before anything is kept; `secret` always is, and every field that the schema does not declare.",
        ),
      responseSchema: filePath()
        .optional()
        .describe(
          "JSON Schema 2020-12 of the response, as the path of a JSON or YAML file; says which fields are known.",
        ),
      size: size().prefault("16KiB").describe("Most bytes of one payload after dropping; at most `64KiB`."),
    })
    .describe(
      "What of each crossing is kept, encrypted for one data subject, until it is erased or its days are over.",
    );

export type PayloadSource = z.output<ReturnType<typeof payload>>;
