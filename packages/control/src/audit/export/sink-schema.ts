// Promises what may be written in a file of `serve --exports`: one sentence per key. Trusts nothing.
// Specified in docs/export.md "A sink".
import { z } from "zod";
import { id } from "../../registry/config/words.ts";
import { exportFormats } from "./encode.ts";
import { type SeverityName, severities } from "./exported-record.ts";
import { ocsfVersions } from "./ocsf.ts";
import { dialled as anywhere, httpsUrl, list, path, reference, text, word } from "./setting-words.ts";

// The keys of a constant.
const severityNames = Object.keys(severities) as [SeverityName, ...SeverityName[]];

const filter = z
  .strictObject({
    environments: list(id()).optional(),
    kinds: list(
      text(/^[a-z][a-z-]{0,31}$/, "not a type of a record", "docs/formats/leaf.md lists them, for example crossing"),
    ).optional(),
    verdicts: list(z.enum(["allow", "deny"])).optional(),
    severity: z.enum(severityNames).default("informational"),
  })
  .prefault({});

const common = {
  sink: id(),
  format: z.enum(exportFormats).optional(),
  ocsf: z.enum(ocsfVersions).default("1.5.0"),
  names: z.enum(["pseudonyms", "clients"]).default("pseudonyms"),
  filter,
};
const dialled = { url: httpsUrl(), ...anywhere };
const gzip = z.boolean().default(true);

export const sinkSchema = z.discriminatedUnion("to", [
  z.strictObject({
    ...common,
    to: z.literal("file"),
    path: path(),
    rotate: z.string().default("64MiB"),
    keep: z.int().min(0).max(1_000).default(8),
  }),
  z.strictObject({ ...common, to: z.literal("stdout") }),
  z.strictObject({
    ...common,
    ...dialled,
    to: z.literal("syslog"),
    enterprise: z.int().min(1).max(4_294_967_295).default(32_473),
  }),
  z.strictObject({
    ...common,
    ...dialled,
    to: z.literal("splunk"),
    credential: reference(),
    index: word().optional(),
    sourceType: word().optional(),
    ack: z.boolean().default(false),
    gzip,
  }),
  z.strictObject({
    ...common,
    ...dialled,
    to: z.literal("elastic"),
    credential: reference().optional(),
    index: word(),
    gzip,
  }),
  z.strictObject({ ...common, ...dialled, to: z.literal("otlp"), credential: reference().optional(), gzip }),
  z.strictObject({ ...common, ...dialled, to: z.literal("webhook"), credential: reference() }),
]);

export type SinkFile = z.output<typeof sinkSchema>;
