// Promises what may be written in sallyport.yaml, teams/<id>.yaml and trust/<name>.yaml: one sentence per key.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { proxyNetworksMax } from "@sallyport/kernel/trusted-proxies.ts";
import { z } from "zod";
import { operatorRoles } from "../../admin/permissions.ts";
import { bots } from "./bots-schema.ts";
import { itemsMax } from "./bounds.ts";
import { certificateSchema } from "./identity-schema.ts";
import { modeKeys } from "./mode-schema.ts";
import { peopleKeys } from "./people-schema.ts";
import { tokensKeys } from "./tokens-schema.ts";
import { estateWaiversKey, waiversKey } from "./waiver-schema.ts";
import { witnessesSchema } from "./witnesses-schema.ts";
import { duration, filePath, id, originUrl, prose, proxyNetwork } from "./words.ts";

const staleness = () => duration({ minMs: 1_000, maxMs: 86_400_000, says: "`1s` to `24h`" });

const environment = z.strictObject({
  approval: z
    .enum(["none", "operator"])
    .prefault("none")
    .describe(
      "`none`: an applied integration is active at once; `operator`: it is `proposed` until an operator activates it.",
    ),
  staleness: z
    .strictObject({
      public: staleness().prefault("5m").describe("Bound for operations classified public."),
      internal: staleness().prefault("5m").describe("Bound for operations classified internal."),
      confidential: staleness().prefault("5m").describe("Bound for operations classified confidential."),
      restricted: staleness().prefault("3s").describe("Bound for operations classified restricted."),
    })
    .prefault({})
    .describe("How long a gateway serves without a heartbeat from the control plane, by classification."),
  ...modeKeys,
  ...peopleKeys,
  ...tokensKeys,
});

const team = z.strictObject({
  name: prose().optional().describe("Name of the team for people."),
  contact: prose().optional().describe("Where to reach it: an address, a channel."),
});

const authorizer = z.strictObject({
  proxy: z
    .enum(["nginx", "caddy", "traefik", "envoy", "envoy-grpc", "services"])
    .describe(
      "How the request is told: `X-Original-*` (nginx), `X-Forwarded-*` (caddy, traefik), by the question itself (envoy), or in a `CheckRequest` of Envoy's gRPC form (envoy-grpc); `services` are no proxies: they ask about callers of their own operations, each with its own proof.",
    ),
  trustedProxies: z
    .array(proxyNetwork())
    .max(proxyNetworksMax)
    .prefault([])
    .describe(
      "Addresses or CIDRs of the proxies that may ask; everybody else is refused. Required without `certificate`, but for `services`.",
    ),
  certificate: certificateSchema
    .optional()
    .describe(
      "Client certificate that every proxy that asks has to show: bundle and exactly one of `uri`, `dns`, `x5t`.",
    ),
});

const proxyProtocol = z.strictObject({
  trustedProxies: z
    .array(proxyNetwork())
    .min(1)
    .max(proxyNetworksMax)
    .describe("Addresses or CIDRs of the load balancers; a connection from anywhere else is closed."),
});

const listener = z.strictObject({
  serves: z
    .literal("gateway")
    .prefault("gateway")
    .describe(
      "What stands behind it; only `gateway` in this version: control's own listeners are options of `sallyport serve`.",
    ),
  url: originUrl().describe(
    "Origin that clients use to reach it (scheme, host, port); DPoP proofs are checked against it.",
  ),
  authorizer: authorizer
    .optional()
    .describe(
      "Makes it answer these proxies whether a request may pass, and serve nobody; `url` is then the proxy's own.",
    ),
  proxyProtocol: proxyProtocol
    .optional()
    .describe(
      "Stands behind load balancers that pass TCP on and begin every connection with a header of the PROXY protocol, version 2; the address in it is the caller's.",
    ),
  bots: bots().optional().describe("How programs that look around are met, before anybody is identified."),
  environments: z.array(id()).min(1).optional().describe("Environments it serves; all by default."),
  region: id().optional().describe("Region whose gateways open it; all by default."),
  http2: z
    .boolean()
    .prefault(true)
    .describe("Whether it offers HTTP/2 beside HTTP/1.1; over TLS only, in clear HTTP/1.1 alone is spoken."),
});

const operator = z.strictObject({
  name: prose().optional().describe("Name for people."),
  keys: z
    .array(filePath())
    .min(1)
    .max(itemsMax)
    .describe("JWKS files with public keys (ES256 or EdDSA) of this operator."),
  roles: z
    .array(z.enum(operatorRoles))
    .min(1)
    .max(operatorRoles.length)
    .prefault(["admin"])
    .describe(
      "What the operator may do: `admin` everything, `auditor` read what was recorded, `viewer` read what is declared and running; several add up.",
    ),
});

export const environmentSchema = environment;
export const teamSchema = team;
export const listenerSchema = listener;
export const operatorSchema = operator;
export type EnvironmentSource = z.output<typeof environment>;
export type ListenerSource = z.output<typeof listener>;
export type OperatorSource = z.output<typeof operator>;

/** sallyport.yaml as it is written, for the JSON Schema and the reference. */
export const estateFileSchema = z.strictObject({
  estate: id().prefault("default").describe("Name of the estate; its objects are managed by `config:<name>`."),
  tenant: z.literal("main").prefault("main").describe("The organisation it belongs to; only `main` in this version."),
  environments: z
    .union([z.array(id()), z.record(id(), environment.nullable())])
    .prefault(["production"])
    .describe("The environments that exist: a list, or a map with their rules."),
  teams: z
    .record(id(), team.nullable())
    .prefault({})
    .describe("Teams that own things; `default` always exists. Or one file per team in teams/."),
  listeners: z
    .record(id(), listener)
    .prefault({})
    .describe("Where callers reach the gateways, by the name that `sallyport serve --listen <name>=host:port` opens."),
  operators: z
    .record(id(), operator)
    .prefault({})
    .describe("People who may use the admin API, by name, with their public keys."),
  witnesses: witnessesSchema
    .prefault({})
    .describe("Who outside cosigns the logs, how many of them must, and whose logs are cosigned here."),
  waivers: estateWaiversKey(),
});

/** The keys of sallyport.yaml that hold no named objects of their own. */
export const estateScalarsSchema = z.strictObject({
  estate: estateFileSchema.shape.estate,
  tenant: estateFileSchema.shape.tenant,
});
export type EstateScalars = z.output<typeof estateScalarsSchema>;

export const teamFileSchema = team.extend({
  team: id().describe("Id of the team; equals the name of the file."),
});

const trustBase = z.strictObject({
  trust: id().describe("Name of the bundle; equals the name of the file."),
  description: prose().optional().describe("Whose certificates it accepts, for reviewers."),
  roots: z.array(filePath()).min(1).max(itemsMax).describe("PEM files with the CA certificates that may end a chain."),
  revocation: z
    .strictObject({
      lists: z
        .array(filePath())
        .min(1)
        .max(itemsMax)
        .describe("PEM files with the revocation lists (CRLs) of the CAs of its chains; complete ones, 1 MiB in all."),
      required: z
        .boolean()
        .prefault(true)
        .describe(
          "Deny every client certificate of which an issuer has no list in force; `false` lets those pass that no list names.",
        ),
    })
    .optional()
    .describe("Client certificates that were taken back before their end."),
});

export const trustSchema = trustBase;
export type TrustSource = z.output<typeof trustBase>;

export const trustFileSchema = trustBase.extend({
  environments: z
    .union([z.array(id()), z.record(id(), trustBase.partial().nullable())])
    .optional()
    .describe(
      "Where it is trusted: a list, or a map whose values override any key of the file; every environment by default.",
    ),
  waivers: waiversKey(),
});
