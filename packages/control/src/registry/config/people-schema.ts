// Promises what may be written under `people` of an environment: one sentence per key. Trusts nothing.
// The reference in docs/configuration.md is generated from these types; what the keys do: docs/identity/people.md, docs/identity/sessions.md.
import type { Acr } from "@sallyport/protocol/token/acr.ts";
import { z } from "zod";
import type { PeopleConfig, ProviderConfig } from "./estate.ts";
import { claimValue, duration, httpsUrl, id, prose } from "./words.ts";

export const providersMax = 16;
export const ownWays = ["passkey", "password"] as const;
const levels = ["password", "mfa", "phishing-resistant"] as const;

const provider = z.strictObject({
  issuer: httpsUrl("keys are fetched over https only").describe(
    "Its issuer, an https URL, compared byte by byte; its metadata is discovered there.",
  ),
  client: claimValue().describe("Our client id there."),
  name: prose().optional().describe("What the button says; the id by default."),
  acr: z
    .enum(levels)
    .prefault("password")
    .describe(
      "What a log-in there is worth here: `password`, `mfa` or `phishing-resistant`. What it says itself counts for nothing.",
    ),
  jit: z
    .boolean()
    .prefault(false)
    .describe(
      "Whoever signs in there for the first time becomes a user here, under an opaque name; without it only who was connected before gets in.",
    ),
  allowPrivate: z.boolean().prefault(false).describe("It may stand at a private, loopback or link-local address."),
  tls: z
    .strictObject({
      ca: id().optional().describe("Bundle in trust/ that its servers must chain to, in place of the public roots."),
    })
    .optional()
    .describe("How connections to it are secured."),
});

const people = z.strictObject({
  signIn: z
    .array(id())
    .min(1)
    .max(ownWays.length + providersMax)
    .prefault([...ownWays])
    .describe(
      "How people may sign in: `passkey`, `password` (with a one-time code where a user has set one up), ids of `providers`.",
    ),
  providers: z
    .record(id(), provider)
    .refine((all) => Object.keys(all).length <= providersMax)
    .prefault({})
    .describe("OpenID Connect providers outside that people may sign in through, by id."),
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

export type PeopleSource = z.output<typeof people>;

export function peopleOf(source: PeopleSource | undefined): { readonly people?: PeopleConfig } {
  if (source === undefined) return {};
  const providers = Object.entries(source.providers).map(([key, one]) => providerOf(key, one));
  const { idle: idleMs, absolute: absoluteMs } = source;
  const signIn = [...new Set(source.signIn)].sort();
  return { people: { signIn, ...(providers.length === 0 ? {} : { providers }), idleMs, absoluteMs } };
}

function providerOf(key: string, source: z.output<typeof provider>): ProviderConfig {
  const { issuer, client, name = key, jit, allowPrivate, tls } = source;
  const acr: Acr = `urn:sallyport:acr:${source.acr}`;
  const trust = tls?.ca;
  return { id: key, name, issuer, client, acr, jit, allowPrivate, ...(trust === undefined ? {} : { trust }) };
}
