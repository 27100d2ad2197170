// Promises what may be written about the access token that a provider is called with: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types (reference.ts); what the keys do: docs/identity/next-hop.md.
import { claimScope } from "@sallyport/protocol/token/claim-types.ts";
import { z } from "zod";
import { claimValue, date, httpsUrl, id, prose, word } from "./words.ts";

const scopesMax = 32;
/** RFC 6749 §3.3: one word. */
const scopeWord = () =>
  word((text) =>
    text.length <= 256 && claimScope(text) !== undefined && !text.includes(" ")
      ? { value: text }
      : {
          refused: "not one word of a scope",
          fix: "use visible ASCII without spaces, quotes and `\\`, one word an entry",
        },
  );
const scope = () => z.array(scopeWord()).max(scopesMax);

const outside = z.strictObject({
  endpoint: httpsUrl("a token endpoint is asked over https only").describe(
    "The provider's own token endpoint, https; control asks it, gateways never do.",
  ),
  grant: z
    .enum(["token-exchange", "client-credentials"])
    .prefault("token-exchange")
    .describe(
      "What is asked for there: `token-exchange` (RFC 8693) with a token of ours that names caller and user, or `client-credentials`, which is the same token for all callers.",
    ),
  client: claimValue().describe("The id control is registered under there; it proves itself with `private_key_jwt`."),
  issuer: claimValue()
    .optional()
    .describe("Whom what control signs is addressed to there: the issuer of that endpoint; the endpoint by default."),
  resource: claimValue().optional().describe("Sent as `resource` (RFC 8707): the API the token shall be for."),
  scopes: scope()
    .prefault([])
    .describe("Words of scope that are asked for there; an operation may name its own (`nextHopScope`)."),
  allowPrivate: z
    .boolean()
    .prefault(false)
    .describe("`endpoint` may lead to a private, loopback or link-local address."),
  tls: z
    .strictObject({
      ca: id()
        .optional()
        .describe("Bundle in trust/ that the server of `endpoint` must chain to, in place of the public roots."),
    })
    .optional()
    .describe("How the connection to `endpoint` is secured."),
});

const details = z.strictObject({
  actor: z
    .enum(["gateway", "caller"])
    .prefault("gateway")
    .describe(
      "Who acts in the token for whoever the caller's token is about: the `gateway`, before everybody who did so already, or the `caller` alone.",
    ),
  identity: z
    .boolean()
    .prefault(true)
    .describe("`Sallyport-Identity` goes on beside it; `false` for a provider that reads `Authorization` alone."),
  bearer: z
    .strictObject({
      reason: prose().describe("Why the provider cannot verify DPoP."),
      until: date().describe("Last day on which it gets tokens that are bound to nothing; then it gets none."),
    })
    .optional()
    .describe("Tokens for it are bearer tokens until a date; without it they are bound to the gateway's key (DPoP)."),
  outside: outside.optional().describe("Tokens come from the provider's own authorization server, not from ours."),
});

export const nextHop = () =>
  z
    .union([z.literal("own"), details])
    .optional()
    .describe(
      "It is called with an access token of its own in `Authorization`, made for caller and operation: `own` from this environment's issuer, or a map.",
    );

export const nextHopScope = () =>
  scope()
    .min(1)
    .optional()
    .describe("Words of scope that are asked for at `nextHop.outside` for this operation, in place of those there.");
