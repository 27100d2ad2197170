// Promises what may be written under `identity` of a system about the end of log-ins: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types (reference.ts); what the keys do: docs/identity/logout.md.
import { z } from "zod";

export const logoutKeys = {
  postLogoutRedirectUris: z
    .array(z.string())
    .max(16)
    .prefault([])
    .describe("Where browsers may be sent after the client had its user sign out; as strict as `redirectUris`."),
};
