// Promises what may be written in issuers/<id>.yaml: one sentence per key.
// Trusts nothing. The reference in docs/configuration.md is generated from these types (reference.ts).
import { outsideAlgorithms } from "@sallyport/protocol/token/outside-jwk.ts";
import { pinnedClaimsMax } from "@sallyport/protocol/token/outside-mapping.ts";
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { levels } from "./step-up-schema.ts";
import { waiversKey } from "./waiver-schema.ts";
import { claimName, claimValue, duration, filePath, fullOperationName, httpsUrl, id, prose } from "./words.ts";

const mapping = z.strictObject({
  system: id().describe(
    "The system the token stands for; it needs an `identity.client`, whose id the new token carries.",
  ),
  subject: claimValue().optional().describe("The whole `sub` of the token."),
  claims: z
    .record(claimName(), claimValue())
    .refine((claims) => Object.keys(claims).length <= pinnedClaimsMax)
    .prefault({})
    .describe(
      "Claims and their exact values: by name, or by JSON Pointer for a nested one (`/kubernetes.io/serviceaccount/uid`).",
    ),
});

const presented = z.strictObject({
  system: id().describe("The caller's system that such a token stands for."),
  party: claimValue().describe("The client the token was issued to, whole: its `azp`, else its `client_id`."),
  subject: claimValue().optional().describe("The whole `sub`; a rule that speaks for a workload needs it."),
  claims: z
    .record(claimName(), claimValue())
    .refine((claims) => Object.keys(claims).length <= pinnedClaimsMax)
    .prefault({})
    .describe("Further claims and their exact values, by name or JSON Pointer."),
  speaksFor: z
    .enum(["user", "workload"])
    .describe(
      "`user`: `sub` is somebody the system acts for, known here as `ext_…`; `workload`: it is the system itself.",
    ),
  audiences: z
    .record(claimValue(), z.array(id()).min(1).max(itemsMax))
    .refine((audiences) => Object.keys(audiences).length <= itemsMax)
    .prefault({})
    .describe("Values of `aud` and the providers each opens, beside every provider's own `<issuer>/systems/<system>`."),
  carries: z
    .record(claimValue(), z.array(fullOperationName()).min(1).max(1_000))
    .optional()
    .describe("Words of its scope and the operations they stand for; absent, the grant alone decides."),
  acr: z
    .record(claimValue(), z.enum(levels))
    .optional()
    .describe("Its values of `acr` and the levels here they are worth; absent, its log-ins are worth nothing here."),
});

/** Much longer, and a token that ended at its issuer goes on here as one of ours never would. */
export const keepMsMax = 300_000;

const introspection = z.strictObject({
  url: httpsUrl("tokens are shown over https only").describe(
    "Its introspection endpoint, https; control asks it, gateways never do.",
  ),
  client: claimValue().describe(
    "Our client id there; control proves it by `private_key_jwt` under a key of its own, published at `<issuer>/introspection-jwks`.",
  ),
  providers: z
    .array(id())
    .min(1)
    .max(itemsMax)
    .describe(
      "Providers for which tokens that are no JWT are taken for this issuer's; no provider may be named by two issuers.",
    ),
  keep: duration({ minMs: 0, maxMs: keepMsMax, says: "`0s` to `5m`" })
    .prefault("30s")
    .describe(
      "How long a gateway may use a yes again; at most 10 s for what is confidential and 5 s for what is restricted.",
    ),
  perSecond: z
    .int()
    .min(2)
    .max(1_000)
    .prefault(50)
    .describe("Questions it is asked in a second at most; made-up tokens get half of them."),
});

const base = z.strictObject({
  issuer: id().describe("Id of the issuer here; equals the name of the file."),
  description: prose().optional().describe("Whose tokens these are, for reviewers."),
  url: claimValue().describe("The `iss` of its tokens, compared byte by byte."),
  preset: z
    .enum(["assertion", "kubernetes", "github", "keycloak", "access-token"])
    .prefault("assertion")
    .describe("What its tokens look like: which kind is accepted, and which ids a mapping must pin."),
  algorithms: z
    .array(z.enum(outsideAlgorithms))
    .min(1)
    .optional()
    .describe(
      "Algorithms its keys may sign with; RS256 by default for kubernetes, github and keycloak, else required where there are keys.",
    ),
  audiences: z
    .array(claimValue())
    .min(1)
    .max(itemsMax)
    .optional()
    .describe("Values of `aud` that mean us; the environment's own issuer by default."),
  companions: z
    .array(claimValue())
    .max(itemsMax)
    .prefault([])
    .describe("What else may stand in `aud` beside them; a token that names anybody else is refused."),
  parties: z
    .array(claimValue())
    .min(1)
    .max(itemsMax)
    .optional()
    .describe("Clients the token must have been issued to (`azp`, else `client_id`)."),
  lifetime: duration({ minMs: 60_000, maxMs: 86_400_000, says: "`1m` to `24h`" })
    .prefault("1h")
    .describe("Longest life of a token that is accepted."),
  jwks: filePath().optional().describe("JWKS file with its public keys; nothing is fetched then."),
  jwksUri: httpsUrl("keys are fetched over https only")
    .optional()
    .describe("Where its public keys are published, https; control fetches them, gateways never do."),
  allowPrivate: z
    .boolean()
    .prefault(false)
    .describe("`jwksUri` and `introspection.url` may lead to a private, loopback or link-local address."),
  tls: z
    .strictObject({
      ca: id()
        .optional()
        .describe(
          "Bundle in trust/ that the servers of `jwksUri` and `introspection.url` must chain to, in place of the public roots.",
        ),
    })
    .optional()
    .describe("How the connections to `jwksUri` and `introspection.url` are secured."),
  systems: z
    .array(mapping)
    .max(1_000)
    .prefault([])
    .describe("Which of its tokens may be traded for a token of which system (RFC 7523)."),
  gateways: z
    .array(presented)
    .max(1_000)
    .prefault([])
    .describe("Which of its access tokens may be presented at gateways, as which system; none by default."),
  introspection: introspection
    .optional()
    .describe("It is asked about access tokens that are no JWT (RFC 7662), under the same rules as its JWTs."),
});

/** One issuer in one environment, after its overrides were applied. */
export const issuerSchema = base;
export type IssuerSource = z.output<typeof base>;

/** The file as it is written, for the JSON Schema and the reference. */
export const issuerFileSchema = base.extend({
  environments: z
    .union([z.array(id()), z.record(id(), base.partial().nullable())])
    .optional()
    .describe(
      "Where it is trusted: a list, or a map whose values override any key of the file; `production` by default.",
    ),
  waivers: waiversKey(),
});
