// Promises the keys by which an operation says what its requests carry. Trusts nothing. What they do: docs/inspection.md "What a request carries".
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { filePath, prose, size } from "./words.ts";

const mediaType = () => z.string().regex(/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/);

const part = z.strictObject({
  type: z
    .union([mediaType(), z.array(mediaType()).min(1).max(itemsMax)])
    .optional()
    .describe(
      "Media types that the part may have, without parameters; without it the part is a UTF-8 text and no file.",
    ),
  size: size().optional().describe("Most bytes of the part; without it those of the whole body."),
  required: z.boolean().prefault(false).describe("Whether it has to be there."),
  most: z.int().min(1).max(64).prefault(1).describe("How often it may be there, 1 to 64."),
});

export const body = () =>
  z.union([
    z.literal("none"),
    z.strictObject({
      as: z
        .enum(["json", "form", "multipart", "xml", "opaque"])
        .optional()
        .describe(
          "How it is read; by default what `contentType` says. `opaque` streams through unread, and needs a `reason` to be no finding.",
        ),
      schema: z
        .union([filePath(), z.record(z.string(), z.unknown())])
        .optional()
        .describe(
          "JSON Schema 2020-12 of JSON, or of the members of a form, inline or as the path of a JSON or YAML file.",
        ),
      contentType: mediaType()
        .prefault("application/json")
        .describe("The one media type that is accepted, without parameters."),
      size: size().prefault("1MiB").describe("Most bytes a body may have, unfolded; at most `16MiB`."),
      parts: z
        .record(z.string().regex(/^[^"\\%\p{Cc}]{1,256}$/u), part)
        .optional()
        .describe("Parts of `multipart/form-data` by name; others are refused."),
      encoding: z
        .literal("gzip")
        .optional()
        .describe("A `Content-Encoding` that requests may have; what is looked into goes on unfolded."),
      reason: prose().optional().describe("Why content passes unread, for reviewers."),
    }),
  ]);

export type BodySource = Exclude<z.output<ReturnType<typeof body>>, "none">;
