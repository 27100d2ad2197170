// Promises what may be written in a file of `serve --exports`: one sentence per key. Trusts nothing.
// Specified in docs/export.md "A sink".
import { z } from "zod";
import { id } from "../../registry/config/words.ts";
import { exportFormats } from "./encode.ts";
import { type SeverityName, severities } from "./exported-record.ts";
import { ocsfVersions } from "./ocsf.ts";

// The keys of a constant.
const severityNames = Object.keys(severities) as [SeverityName, ...SeverityName[]];

/** A text in a form; the value itself is never repeated in a message. */
const text = (pattern: RegExp, refused: string, fix: string) =>
  z.string().superRefine((given, context) => {
    if (!pattern.test(given)) context.addIssue({ code: "custom", message: refused, params: { fix } });
  });

const reference = () =>
  text(
    /^(?:file:\/[^\u0000-\u001f]{1,1023}|env:[A-Za-z_][A-Za-z0-9_]{0,127})$/,
    "not a reference to a credential",
    "write `file:` and an absolute path, or `env:` and the name of a variable; a credential never stands in configuration",
  );
const path = () => text(/^\/[^\u0000-\u001f]{1,1023}$/, "not an absolute path", "write a path that begins with /");
const httpsUrl = () =>
  z.string().superRefine((given, context) => {
    const url = URL.canParse(given) ? new URL(given) : null;
    const isPlain =
      url !== null && url.protocol === "https:" && url.username === "" && url.password === "" && url.hash === "";
    if (!isPlain)
      context.addIssue({
        code: "custom",
        message: "not a URL that records may be sent to",
        params: {
          fix: "write https://host[:port][/path] without a user or password; credentials go into `credential`",
        },
      });
  });
const word = () => text(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/, "not a name", "use letters, digits and . _ : -");
const list = <T extends z.ZodType>(of: T) => z.array(of).min(1).max(64);

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
const dialled = {
  url: httpsUrl(),
  allowPrivate: z.boolean().default(false),
  tls: z.strictObject({ ca: path().optional(), cert: path().optional(), key: path().optional() }).prefault({}),
};
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
