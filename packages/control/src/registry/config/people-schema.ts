// Promises what may be written under `people` of an environment: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types; what the keys do: docs/identity/people.md, docs/identity/sessions.md.
import { z } from "zod";
import type { PeopleConfig } from "./estate.ts";
import { duration } from "./words.ts";

const people = z.strictObject({
  signIn: z
    .array(z.enum(["passkey", "password"]))
    .min(1)
    .max(2)
    .prefault(["passkey", "password"])
    .describe(
      "How people may sign in: `passkey`, `password` (with a one-time code where a user has set one up), or both.",
    ),
  idle: duration({ minMs: 60_000, maxMs: 86_400_000, says: "`1m` to `24h`" })
    .prefault("1h")
    .describe("A log-in session ends after this long without use."),
  absolute: duration({ minMs: 300_000, maxMs: 2_592_000_000, says: "`5m` to `30d`" })
    .prefault("12h")
    .describe("A log-in session ends this long after its log-in in any case."),
});

export const peopleKeys = {
  people: people
    .optional()
    .describe(
      "Serves log-in pages at the issuer of this environment; without it there are no users, sessions or pages.",
    ),
};

export function peopleOf(source: z.output<typeof people> | undefined): { readonly people?: PeopleConfig } {
  if (source === undefined) return {};
  return { people: { signIn: [...new Set(source.signIn)].sort(), idleMs: source.idle, absoluteMs: source.absolute } };
}
