// Promises what may be written in integrations/<id>.yaml: one sentence per key.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { z } from "zod";
import { exchangeDepthMax } from "../../identity/exchange/decide-exchange.ts";
import { itemsMax } from "./bounds.ts";
import { cors } from "./cors-schema.ts";
import { dataClasses } from "./data-classes.ts";
import { modeKeys } from "./mode-schema.ts";
import { redact } from "./response-schema.ts";
import { stepUpKeys } from "./step-up-schema.ts";
import { timeout } from "./system-schema.ts";
import { waiversKey } from "./waiver-schema.ts";
import { claimValue, date, id, operationName, owner, prose, quota, rate, size, timeZone } from "./words.ts";

const limit = z.strictObject({
  per: z
    .enum(["client", "subject", "integration"])
    .describe("Who shares it: each client, each user that is acted for, or all clients of the integration."),
  rate: rate()
    .optional()
    .describe("Permits per second, minute, hour or day, for example `200/s`; this, `concurrency` or `quota`."),
  burst: z
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe("Most permits that may be used at once; the rate by default."),
  concurrency: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe("Most crossings that may be under way at once; this, `rate` or `quota`."),
  quota: quota()
    .optional()
    .describe("Most crossings in each calendar day or month, for example `10000/day`; this, `rate` or `concurrency`."),
  timeZone: timeZone()
    .optional()
    .describe("Zone whose calendar says when a `quota` renews, for example `Europe/Berlin`; `UTC` by default."),
  across: z
    .literal("gateways")
    .optional()
    .describe(
      "Counted once for all gateways of the environment and region, in Redis; by default each counts for itself.",
    ),
  onLoss: z
    .enum(["local", "deny"])
    .optional()
    .describe(
      "Of a limit `across: gateways`, while Redis cannot be asked: `local`, each gateway goes on with its share; or `deny`. `local` by default.",
    ),
  operations: z
    .array(operationName())
    .min(1)
    .max(1_000)
    .optional()
    .describe("Granted operations that it counts, which share it; all of them by default."),
});

const priority = () => z.enum(["low", "normal", "high"]);

const granted = z.strictObject({
  body: size()
    .optional()
    .describe("Most bytes of a body for this consumer; it can only lower the bound of the operation."),
  timeout: timeout()
    .optional()
    .describe("How long the provider may take for this consumer; it can only lower the bound of the operation."),
  redact: redact()
    .optional()
    .describe("JSONPaths of fields that this consumer does not get, besides those that nobody gets."),
  priority: priority()
    .optional()
    .describe("As of the integration, for this operation; that of the integration by default."),
  ...stepUpKeys,
});

const proof = z.strictObject({
  accept: z
    .array(z.enum(["dpop", "mtls", "bearer", "signature", "api-key"]))
    .min(1)
    .max(5)
    .prefault(["dpop", "mtls"])
    .describe(
      "Proofs that are accepted; `signature` is a message signature; `bearer` and `api-key` need `reason` and `until`.",
    ),
  reason: prose().optional().describe("Why a token without proof of possession, or an API key, must be accepted."),
  until: date().optional().describe("Last day on which `bearer` and `api-key` are accepted."),
});

const exchange = z.strictObject({
  subject: id().describe(
    "Whose tokens may be exchanged: `own` for this environment's, or the id of a file in issuers/.",
  ),
  as: z
    .enum(["delegate", "impersonate"])
    .prefault("delegate")
    .describe("`delegate`: the new token names the client as actor; `impersonate`: it does not."),
  operations: z
    .array(operationName())
    .min(1)
    .max(1_000)
    .optional()
    .describe("What an exchanged token may carry at most, of the operations granted here; all of them by default."),
  carries: z
    .record(claimValue(), z.array(operationName()).min(1).max(1_000))
    .optional()
    .describe("Words of the subject token's scope, and the operations they stand for here."),
  depth: z.int().min(1).max(exchangeDepthMax).prefault(1).describe("How many exchanges may lie behind the new token."),
  binding: z
    .enum(["keep", "rebind"])
    .prefault("keep")
    .describe(
      "`keep`: only who holds the key of the subject token may exchange it; `rebind`: the new token is bound to the client's.",
    ),
});

const base = z.strictObject({
  integration: id().describe("Id of the integration; equals the name of the file."),
  from: id().describe("The consuming system."),
  to: id().describe("The providing system."),
  kind: z.literal("api").prefault("api").describe("How data crosses; only `api` in this version."),
  owner: owner().optional().describe("The team that answers for it; the owner of `from` by default."),
  purpose: prose().describe("Why this data crosses, in words an auditor understands."),
  review: date()
    .optional()
    .describe("Day by which somebody must look at it again; passing it is a finding, not an end."),
  expires: date().optional().describe("Last day of the integration, only where an end is really wanted."),
  onExpiry: z
    .enum(["alert", "suspend"])
    .prefault("suspend")
    .describe("What happens after `expires`: `suspend` ends the traffic, `alert` only says so."),
  proof: proof.prefault({}).describe("How callers must prove possession of their token or key."),
  limits: z
    .array(limit)
    .max(itemsMax)
    .prefault([{ per: "client", rate: "100/s", burst: 200 }])
    .describe("Limits of rate and of concurrency, and quotas, all of which must hold."),
  priority: priority()
    .optional()
    .describe(
      "Who comes first when the provider has as many requests under way as `inFlight` gives it; `normal` by default.",
    ),
  data: z
    .array(z.enum(dataClasses))
    .max(itemsMax)
    .optional()
    .describe(
      "Data classes of fields that the consumer may read, besides `public` and `internal`; by default all but `restricted` and `secret`.",
    ),
  cors: cors().optional(),
  exchange: z
    .array(exchange)
    .max(itemsMax)
    .prefault([])
    .describe("Which tokens the consumer may exchange for one to the provider (RFC 8693); none by default."),
  operations: z
    .union([z.array(operationName()).min(1).max(1_000), z.record(operationName(), granted.nullable())])
    .describe("Operations of the provider that are granted: a list, or a map with bounds for this consumer."),
  ...modeKeys,
});

/** One integration in one environment, after its overrides were applied. */
export const integrationSchema = base;
export type IntegrationSource = z.output<typeof base>;
export type LimitSource = z.output<typeof limit>;
export type ProofSource = z.output<typeof proof>;

/** The file as it is written, for the JSON Schema and the reference. */
export const integrationFileSchema = base.extend({
  environments: z
    .union([z.array(id()), z.record(id(), base.partial().nullable())])
    .optional()
    .describe(
      "Where it exists: a list, or a map whose values override any key of the file; by default every environment both systems have.",
    ),
  waivers: waiversKey(),
});
