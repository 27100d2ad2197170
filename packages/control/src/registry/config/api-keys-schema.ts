// Promises what may be written under `identity.apiKeys`: the one field a key may come in besides Authorization, none that means something else.
// Trusts the types. The reference in docs/configuration.md is generated from these types; what they do: docs/identity/api-keys.md.
import { isIdentityHeader, reachesProvider } from "@sallyport/protocol/canonical/hop-headers.ts";
import { z } from "zod";

/** Fields that are something else to us, to caches or to browsers. */
const taken = ["cookie", "content-type", "content-digest", "idempotency-key", "signature", "signature-input", "origin"];

const apiKeys = z.strictObject({
  header: z
    .string()
    .max(64)
    .regex(/^[a-z][a-z0-9-]*$/)
    .refine((name) => reachesProvider(name) && !isIdentityHeader(name) && !taken.includes(name), {
      error: "is a field that means something else",
    })
    .optional()
    .describe("Field (lower case) that a key may come in besides `Authorization: ApiKey`, for example `x-api-key`."),
});

export const apiKeysKeys = {
  apiKeys: apiKeys
    .optional()
    .describe(
      "API keys that control makes may stand for the system, where an integration accepts `api-key`; for callers that can do nothing better.",
    ),
};
