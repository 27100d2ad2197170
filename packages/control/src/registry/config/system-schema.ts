// Promises what may be written in systems/<id>.yaml: one sentence per key, the single source of checks, JSON Schema and reference.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { body } from "./content-schema.ts";
import { dataClasses } from "./data-classes.ts";
import { operationHedge, systemHedge } from "./hedge-schema.ts";
import { idempotencyKeys } from "./idempotency-schema.ts";
import { identity } from "./identity-schema.ts";
import { lookups } from "./lookup-schema.ts";
import { modeKeys, passthrough } from "./mode-schema.ts";
import { nextHop, nextHopScope } from "./next-hop-schema.ts";
import { outcome } from "./outcome-schema.ts";
import { parameterKeys } from "./parameter-schema.ts";
import { payload } from "./payload-schema.ts";
import { fallback, resilienceKeys } from "./resilience-schema.ts";
import { response } from "./response-schema.ts";
import { stepUpKeys } from "./step-up-schema.ts";
import { threatsKey } from "./threats-schema.ts";
import { waiversKey } from "./waiver-schema.ts";
import { webSocket } from "./websocket-schema.ts";
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
  originUrl,
  owner,
  prose,
  publicPath,
  upstreamUrl,
} from "./words.ts";

export const classifications = ["public", "internal", "confidential", "restricted"] as const;

export const timeout = () => duration({ minMs: 10, maxMs: 300_000, says: "`10ms` to `5m`" });

const attributeDetails = z.strictObject({
  from: attributeFrom().describe(
    "Where the value is in the request: `path:<parameter>`, `query:<name>`, `header:<name>`, `body:$.member`, `response:$.member` or `lookup:<name>:$.member`.",
  ),
  type: z
    .enum(["string", "long", "boolean"])
    .prefault("string")
    .describe("Type in Cedar; a value of another type denies the crossing (`attribute-missing`)."),
});
const attributeShort = attributeFrom().transform((from) => ({ from, type: "string" as const }));

const opa = z.strictObject({
  url: originUrl().describe("Where it listens: scheme, host and port."),
  path: z
    .string()
    .max(256)
    .regex(/^[A-Za-z0-9_]+(?:\/[A-Za-z0-9_]+)*$/)
    .describe("The rule behind `/v1/data/`, for example `sallyport/invoices/allow`; its value is `true` or `false`."),
  timeout: duration({ minMs: 10, maxMs: 5_000, says: "`10ms` to `5s`" })
    .prefault("500ms")
    .describe("How long it may take; a crossing that waits longer is denied. `10ms` to `5s`."),
  allowPrivate: z.boolean().prefault(false).describe("It may stand at a private, loopback or link-local address."),
});

const operationDetails = z.strictObject({
  match: match()
    .optional()
    .describe(
      "Method and path, for example `GET /v1/invoices/{id}`; the path is what remains after the public prefix. It may be left to `operationId`.",
    ),
  operationId: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe(
      "The operation of the system's `openapi` from which it takes what is not said here: match, parameters, body and response.",
    ),
  protocol: z
    .enum(["http", "grpc"])
    .prefault("http")
    .describe(
      "What is spoken: `grpc` needs `match: POST /<package>.<Service>/<Method>`, and is called and forwarded over HTTP/2.",
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
  opa: opa
    .optional()
    .describe(
      "A decision point outside (the data API of Open Policy Agent) that is asked once policies allowed, and can only deny.",
    ),
  attributes: z
    .record(attributeName(), z.union([attributeShort, attributeDetails]))
    .prefault({})
    .describe(
      "Attributes of the resource that policies may read, each from one place of the request, of the answer of a read, or of what is looked up.",
    ),
  lookups: lookups(),
  ...parameterKeys,
  body: body()
    .optional()
    .describe(
      "What the request carries, or `none`; without it POST, PUT and PATCH take JSON of any shape, the rest take no body.",
    ),
  threats: threatsKey(
    "Rules about threats that texts of its requests are held against, in place of what the system says.",
  ),
  unseenBody: z
    .enum(["refuse", "allow"])
    .prefault("refuse")
    .describe(
      "Whether a proxy that only asks (`listeners.<name>.authorizer`) may let the operation pass although nobody there sees its body.",
    ),
  timeout: timeout().prefault("10s").describe("How long the provider may take to answer; `10ms` to `5m`."),
  outcome: outcome().optional(),
  offline: z
    .enum(["bound", "until-expiry"])
    .prefault("bound")
    .describe(
      "How long it is served without a word from the control plane: the bound of its classification, or until the snapshot expires.",
    ),
  ...idempotencyKeys,
  fallback: fallback().optional(),
  ...operationHedge,
  payload: payload().optional(),
  response: z
    .union([z.literal("none"), response()])
    .optional()
    .describe(
      "How answers are looked into before the caller gets any of them, or `none`; without it they are passed on unread.",
    ),
  websocket: webSocket().optional(),
  record: z
    .enum(["durable", "buffered"])
    .prefault("durable")
    .describe(
      "When an answer may go out: once its record is durable, or, for reads whose latency counts, before; at most 1,024 records of a gateway are lost then when it dies, and its log says so.",
    ),
  nextHopScope: nextHopScope(),
  ...stepUpKeys,
});

type SaidOperation = z.output<typeof operationDetails>;
/** With the match it has, said or taken over. */
export type OperationSource = Omit<SaidOperation, "match" | "response"> & {
  readonly match: NonNullable<SaidOperation["match"]>;
  readonly response: Exclude<SaidOperation["response"], "none">;
};

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
  openapi: filePath()
    .optional()
    .describe(
      "OpenAPI 3.0 or 3.1 description of its operations, YAML or JSON; those with an `operationId` take from it what they do not say.",
    ),
  url: upstreamUrl().optional().describe("Where its operations are served, http or https, with an optional base path."),
  signed: z
    .boolean()
    .prefault(false)
    .describe(
      "Gateways sign each request to it (RFC 9421) with their hop key, for a provider that verifies signatures.",
    ),
  nextHop: nextHop(),
  allowPrivate: z.boolean().prefault(false).describe("The URL may lead to a private, loopback or link-local address."),
  tls: z
    .strictObject({
      ca: id()
        .optional()
        .describe("Bundle in trust/ that the server certificate must chain to, in place of the public roots."),
      certificate: filePath()
        .optional()
        .describe(
          "Certificate that gateways show the provider, PEM with its chain, the leaf first; its private key is in the folder of `serve --upstream-keys`, never here.",
        ),
    })
    .optional()
    .describe("How the connection to `url` is secured."),
  ...resilienceKeys,
  ...systemHedge,
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
  threats: threatsKey(
    "Rules about threats that texts of requests are held against, for each operation that says nothing itself.",
  ),
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
