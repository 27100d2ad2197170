// Promises the keys that say what an answer means for the outcome of a crossing. Trusts nothing. What they do: docs/inspection.md "Outcome".
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { grpcErrors } from "./grpc-errors.ts";
import { answerPath } from "./response-schema.ts";

const sign = z.strictObject({
  path: answerPath().describe("JSONPath into the JSON of a successful answer (2XX)."),
  is: z
    .array(z.union([z.string().max(1_000), z.number(), z.boolean()]))
    .min(1)
    .max(itemsMax)
    .optional()
    .describe(
      "It counts where the path selects one of these; without it, where it selects anything but null and false.",
    ),
});

export const outcome = () =>
  z
    .strictObject({
      "business-error": z
        .array(z.int().min(400).max(599))
        .max(itemsMax)
        .prefault([])
        .describe("Status codes that mean the provider said no, and is well."),
      grpc: z
        .array(z.enum(grpcErrors))
        .max(itemsMax)
        .prefault([])
        .describe(
          "Of a gRPC operation: statuses that mean the provider said no, and is well; all others but OK are system errors.",
        ),
      "business-error-in": z
        .array(sign)
        .max(16)
        .prefault([])
        .describe("What in the JSON of a successful answer means the same; any of them is enough."),
    })
    .describe("How answers count.");

export type OutcomeSource = z.output<ReturnType<typeof outcome>>;
