// Promises what may be written under `identity` of a system about the end of log-ins: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types (reference.ts); what the keys do: docs/identity/logout.md.
import { z } from "zod";
import { httpsUrl, id } from "./words.ts";

export const logoutKeys = {
  postLogoutRedirectUris: z
    .array(z.string())
    .max(16)
    .prefault([])
    .describe("Where browsers may be sent after the client had its user sign out; as strict as `redirectUris`."),
  backchannelLogout: z
    .strictObject({
      uri: httpsUrl("keys are fetched over https only").describe(
        "Where the client takes logout tokens, https; control calls it.",
      ),
      allowPrivate: z
        .boolean()
        .prefault(false)
        .describe("`uri` may lead to a private, loopback or link-local address."),
      tls: z
        .strictObject({
          ca: id()
            .optional()
            .describe("Bundle in trust/ that the server of `uri` must chain to, in place of the public roots."),
        })
        .optional()
        .describe("How the connection to `uri` is secured."),
    })
    .optional()
    .describe("The client is told when a log-in that it had tokens of has ended (OpenID Connect Back-Channel Logout)."),
};
