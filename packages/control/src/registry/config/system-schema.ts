// Promises what may be written in systems/<id>.yaml: one sentence per key, the single source of checks, JSON Schema and reference.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { dataClasses } from "./data-classes.ts";
import { identity } from "./identity-schema.ts";
import { modeKeys, passthrough } from "./mode-schema.ts";
import { payload } from "./payload-schema.ts";
import { stepUpKeys } from "./step-up-schema.ts";
import { waiversKey } from "./waiver-schema.ts";
import {
  attributeFrom,
  attributeName,
  date,
  duration,
  filePath,
  hostName,
  id,
  match,
  operationName,
  owner,
  prose,
  publicPath,
  size,
  upstreamUrl,
} from "./words.ts";

export const classifications = ["public", "internal", "confidential", "restricted"] as const;

export const timeout = () => duration({ minMs: 10, maxMs: 300_000, says: "`10ms` to `5m`" });

const attributeDetails = z.strictObject({
  from: attributeFrom().describe(
    "Where the value is in the request: `path:<parameter>`, `query:<name>`, `header:<name>` or `body:$.member`.",
  ),
  type: z
    .enum(["string", "long", "boolean"])
    .prefault("string")
    .describe("Type in Cedar; a value of another type denies the crossing (`attribute-missing`)."),
});
const attributeShort = attributeFrom().transform((from) => ({ from, type: "string" as const }));

const body = z.union([
  z.literal("none"),
  z.strictObject({
    schema: z
      .union([filePath(), z.record(z.string(), z.unknown())])
      .optional()
      .describe(
        "JSON Schema 2020-12 of the body, inline or as the path of a JSON or YAML file; needs a JSON content type.",
      ),
    contentType: z
      .string()
      .regex(/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/)
      .prefault("application/json")
      .describe("The one media type that is accepted, without parameters; other than JSON it streams through unread."),
    size: size().prefault("1MiB").describe("Most bytes a body may have; at most `16MiB`."),
  }),
]);

const operationDetails = z.strictObject({
  match: match().describe(
    "Method and path, for example `GET /v1/invoices/{id}`; the path is what remains after the public prefix.",
  ),
  description: prose().optional().describe("What the operation does, for reviewers."),
  data: z
    .array(z.enum(dataClasses))
    .max(itemsMax)
    .prefault([])
    .describe("Data classes that cross, besides those the schema marks with `x-data-class`."),
  classification: z
    .enum(classifications)
    .optional()
    .describe("Raises the classification that follows from the data classes; it cannot lower it."),
  authorize: z
    .enum(["grant", "policy"])
    .prefault("grant")
    .describe("`grant`: the integration permits and policies narrow; `policy`: only a `permit` in policies/ permits."),
  attributes: z
    .record(attributeName(), z.union([attributeShort, attributeDetails]))
    .prefault({})
    .describe("Attributes of the resource that policies may read, each from one place of the request."),
  body: body
    .optional()
    .describe(
      "What the request carries, or `none`; without it POST, PUT and PATCH take JSON of any shape, the rest take no body.",
    ),
  timeout: timeout().prefault("10s").describe("How long the provider may take to answer; `10ms` to `5m`."),
  outcome: z
    .strictObject({
      "business-error": z
        .array(z.int().min(400).max(599))
        .max(itemsMax)
        .prefault([])
        .describe("Status codes that mean the provider said no, and is well."),
    })
    .optional()
    .describe("How answers count."),
  offline: z
    .enum(["bound", "until-expiry"])
    .prefault("bound")
    .describe(
      "How long it is served without a word from the control plane: the bound of its classification, or until the snapshot expires.",
    ),
  payload: payload().optional(),
  record: z
    .enum(["durable", "buffered"])
    .prefault("durable")
    .describe(
      "When an answer may go out: once its record is durable, or, for reads whose latency counts, before; at most 1,024 records of a gateway are lost then when it dies, and its log says so.",
    ),
  ...stepUpKeys,
});

export type OperationSource = z.output<typeof operationDetails>;

/** `invoice.create: POST /v1/invoices`: everything else by default. Text becomes the map before checking (overlay.ts), so the short form never fails here. */
const operation = z.union([z.string(), operationDetails]);

const tokenForm = z.enum(["jwt", "opaque", "encrypted"]);

const uses = z.strictObject({
  to: id().describe("The providing system."),
  purpose: prose().describe("Why this data crosses, in words an auditor understands."),
  operations: z
    .array(operationName())
    .min(1)
    .max(1_000)
    .describe("Operations of the provider that are granted; each by name."),
});

const base = z.strictObject({
  system: id().describe("Id of the system; equals the name of the file."),
  owner: owner().prefault("team:default").describe("The team that answers for it, `team:<id>`."),
  description: prose().optional().describe("What the system is, for reviewers."),
  zone: z.enum(["edge", "internal", "data"]).prefault("internal").describe("The network tier it stands in."),
  url: upstreamUrl().optional().describe("Where its operations are served, http or https, with an optional base path."),
  allowPrivate: z.boolean().prefault(false).describe("The URL may lead to a private, loopback or link-local address."),
  tls: z
    .strictObject({
      ca: id()
        .optional()
        .describe("Bundle in trust/ that the server certificate must chain to, in place of the public roots."),
    })
    .optional()
    .describe("How the connection to `url` is secured."),
  public: z
    .strictObject({
      host: hostName().optional().describe("Serve only under this host name."),
      path: publicPath().optional().describe("Path prefix on the gateway; `/<id>` by default."),
      strip: z.boolean().prefault(true).describe("Take the prefix off before matching and forwarding."),
    })
    .optional()
    .describe("Where callers reach it on the gateway."),
  identity: identity.optional().describe("How the system proves who it is when it calls."),
  tokens: z
    .union([
      tokenForm,
      z.strictObject({
        form: tokenForm.prefault("jwt").describe("What they look like to their clients."),
        algorithm: z
          .enum(["RS256", "PS256"])
          .describe("What they are signed with until `until`, because services that verify them know nothing better."),
        reason: prose().describe("Why they cannot verify ES256 or EdDSA."),
        until: date().describe("Last day of the algorithm; from then on they are signed as everybody's."),
      }),
    ])
    .prefault("jwt")
    .describe(
      "What access tokens for it look like to their clients: `jwt` they could read, `opaque` handles that gateways ask control about, or `encrypted` to gateways.",
    ),
  attributes: z
    .record(attributeName(), z.union([z.string().max(1_000), z.int(), z.boolean()]))
    .prefault({})
    .describe("Attributes of the system as a caller, for policies: text, whole numbers, true or false."),
  operations: z
    .record(operationName(), operation)
    .prefault({})
    .describe("What it offers: business actions by name, as `METHOD /path` or as a map."),
  ...modeKeys,
  passthrough: passthrough().optional(),
  uses: z
    .array(uses)
    .max(1_000)
    .prefault([])
    .describe("Short form of integrations: each entry becomes `<this system>-to-<to>`."),
});

/** One system in one environment, after its overrides were applied. */
export const systemSchema = base;
export type SystemSource = z.output<typeof base>;

/** The file as it is written, for the JSON Schema and the reference. */
export const systemFileSchema = base.extend({
  environments: z
    .union([z.array(id()), z.record(id(), base.partial().nullable())])
    .optional()
    .describe("Where it exists: a list, or a map whose values override any key of the file; `production` by default."),
  waivers: waiversKey(),
});
