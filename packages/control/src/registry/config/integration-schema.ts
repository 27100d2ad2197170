// Promises what may be written in integrations/<id>.yaml: one sentence per key.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { z } from "zod";
import { exchangeDepthMax } from "../../identity/exchange/decide-exchange.ts";
import { itemsMax } from "./bounds.ts";
import { modeKeys } from "./mode-schema.ts";
import { stepUpKeys } from "./step-up-schema.ts";
import { timeout } from "./system-schema.ts";
import { waiversKey } from "./waiver-schema.ts";
import { claimValue, date, id, operationName, owner, prose, rate, size } from "./words.ts";

const limit = z.strictObject({
  per: z
    .enum(["client", "integration"])
    .describe("Who shares the permits: each client, or all clients of the integration."),
  rate: rate().describe("Permits per second, minute, hour or day, for example `200/s`."),
  burst: z
    .int()
    .min(1)
    .max(10_000_000)
    .optional()
    .describe("Most permits that may be used at once; the rate by default."),
});

const granted = z.strictObject({
  body: size()
    .optional()
    .describe("Most bytes of a body for this consumer; it can only lower the bound of the operation."),
  timeout: timeout()
    .optional()
    .describe("How long the provider may take for this consumer; it can only lower the bound of the operation."),
  ...stepUpKeys,
});

const proof = z.strictObject({
  accept: z
    .array(z.enum(["dpop", "mtls", "bearer"]))
    .min(1)
    .max(3)
    .prefault(["dpop", "mtls"])
    .describe("Proofs that are accepted; `bearer` needs `reason` and `until`."),
  reason: prose().optional().describe("Why a token without proof of possession must be accepted."),
  until: date().optional().describe("Last day on which `bearer` is accepted."),
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
    .describe("Rate limits, all of which must hold."),
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
