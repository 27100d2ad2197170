// Promises who is believed, in sentences: every outside issuer, provider of log-ins and rule of exchange, each by what it lets somebody do. Pure.
// A member that decides something stands in a sentence, so that no change of one passes a plan unseen. Trusts the estate to be loaded. docs/cli/plan.md.
import { createHash } from "node:crypto";
import type {
  EnvironmentConfig,
  ExchangeConfig,
  IntegrationConfig,
  IssuerConfig,
  KeysUri,
  ProviderConfig,
} from "./config/estate.ts";

export interface TrustWord {
  /** One name for it: `issuer/keycloak`, `provider/corp` or `exchange/portal-to-billing`, and what tells it from its neighbours. */
  readonly key: string;
  /** `issuer/keycloak`, `provider/corp`, `exchange/portal-to-billing` */
  readonly about: string;
  readonly says: string;
}

export interface TrustChange {
  readonly environment: string;
  readonly about: string;
  readonly change: "added" | "removed" | "changed";
  /** Null: nothing was there. */
  readonly before: string | null;
  /** Null: nothing will be there. */
  readonly after: string | null;
}

type Trusting = Pick<EnvironmentConfig, "issuers" | "people" | "integrations">;

/** What differs between what an estate holds and what is wanted of it, in ascending order of environment, object and sentence. */
export function trustChanges(
  held: readonly EnvironmentConfig[],
  wanted: readonly EnvironmentConfig[],
): readonly TrustChange[] {
  const names = [...new Set([...held, ...wanted].map(({ name }) => name))].sort();
  const wordsIn = (environments: readonly EnvironmentConfig[], name: string) =>
    new Map(environments.filter((one) => one.name === name).flatMap((one) => trustWords(one).map((w) => [w.key, w])));
  return names.flatMap((environment) => {
    const [before, after] = [wordsIn(held, environment), wordsIn(wanted, environment)];
    return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((key): TrustChange[] => {
      const [old, now] = [before.get(key), after.get(key)];
      if (old?.says === now?.says) return [];
      const change = old === undefined ? "added" : now === undefined ? "removed" : "changed";
      return [
        {
          environment,
          about: (now ?? old)?.about ?? "",
          change,
          before: old?.says ?? null,
          after: now?.says ?? null,
        },
      ];
    });
  });
}

/** Everybody one environment believes, and who may exchange whose tokens there. */
export function trustWords({ issuers, people, integrations }: Trusting): readonly TrustWord[] {
  return [
    ...issuers.flatMap(issuerWords),
    ...(people?.providers ?? []).map(providerWords),
    ...integrations.flatMap((integration) =>
      (integration.exchange ?? []).map((rule) => exchangeWords(integration, rule)),
    ),
  ];
}

export function issuerWords(issuer: IssuerConfig): readonly TrustWord[] {
  const { id, systems, gateways = [] } = issuer;
  const about = `issuer/${id}`;
  const mappings = systems.map((mapping) => ({
    key: `${about} trade ${mapping.system} ${pinsOf(mapping)}`,
    about,
    says: `whoever shows a token of ${id} with ${pinsOf(mapping)} gets tokens as ${mapping.system}`,
  }));
  const presented = gateways.map((rule) => ({
    key: `${about} present ${rule.system} ${rule.speaksFor} ${pinsOf(rule)}`,
    about,
    says: sentence(`whoever has a token of ${id} with ${pinsOf(rule)} may present it at gateways as ${rule.system}`, [
      rule.speaksFor === "user" ? "acting for the user it names" : "acting for nobody else",
      ...Object.entries(rule.audiences).map(([word, opens]) => `audience ${quoted(word)} opens ${list(opens)}`),
      ...stands(rule.carries),
      rule.carries === undefined ? "its scope says nothing here" : "",
      ...Object.entries(rule.acr ?? {}).map(([word, level]) => `acr ${quoted(word)} is worth ${levelWord(level)}`),
    ]),
  }));
  const believed = { key: about, about, says: believedWords(issuer) };
  return [believed, ...mappings, ...presented, ...askedWords(issuer)];
}

function askedWords({ id, introspection }: IssuerConfig): readonly TrustWord[] {
  if (introspection === undefined) return [];
  const about = `issuer/${id}`;
  const { client, providers, keepMs, perSecond } = introspection;
  return [
    {
      key: `${about} introspection`,
      about,
      says: sentence(`${id} is asked about opaque tokens that are presented for ${list(providers)}`, [
        `at ${fetchedWords(introspection)}`,
        `as its client ${quoted(client)}`,
        `a yes is used again for ${keepMs / 1_000} s`,
        `at most ${perSecond} questions a second`,
      ]),
    },
  ];
}

function believedWords(issuer: IssuerConfig): string {
  const { id, url, kind, algorithms, audiences, companions, parties, lifetimeSecondsMax, keys } = issuer;
  return sentence(`tokens of ${id} (${url}) are believed`, [
    kindWords[kind],
    `signed with ${list(algorithms)}`,
    `for ${audiences.length === 0 ? "this environment's issuer" : list(audiences)}`,
    companions.length === 0 ? "" : `beside ${list(companions)}`,
    parties === null ? "" : `issued to ${list(parties)}`,
    `at most ${lifetimeSecondsMax} s long`,
    keys.from === "uri"
      ? `keys from ${fetchedWords(keys)}`
      : `keys of a file: ${list(keys.keys.map(({ kid, alg, jwk }) => `${kid} (${alg} ${shortHash(jwk)})`))}`,
  ]);
}

const kindWords: Readonly<Record<IssuerConfig["kind"], string>> = {
  assertion: "assertions for us alone",
  kubernetes: "service account tokens of Kubernetes",
  keycloak: "access tokens of Keycloak",
  "access-token": "access tokens (RFC 9068)",
};

export function providerWords(provider: ProviderConfig): TrustWord {
  const { id, name, issuer, client, acr, jit, allowPrivate, trust } = provider;
  const about = `provider/${id}`;
  return {
    key: about,
    about,
    says: sentence(`people may sign in through ${id} (${quoted(name)}, ${issuer}) as its client ${quoted(client)}`, [
      `a log-in there is worth ${levelWord(acr)}`,
      jit ? "who is new gets a user" : "only those an operator linked",
      ...reachWords({ allowPrivate, ...(trust === undefined ? {} : { trust }) }),
    ]),
  };
}

export function exchangeWords({ id, from, to }: IntegrationConfig, rule: ExchangeConfig): TrustWord {
  const about = `exchange/${id}`;
  const whose =
    rule.subject === "own" ? "tokens of this environment that were issued to or for them" : `tokens of ${rule.subject}`;
  return {
    key: `${about} ${rule.subject}`,
    about,
    says: sentence(`clients of ${from} may exchange ${whose} for tokens to ${to}`, [
      `for ${list(rule.operations)}`,
      rule.as === "delegate" ? "named as the actor" : "not named as the actor (impersonation)",
      ...stands(rule.carries),
      `at most ${rule.depth} ${rule.depth === 1 ? "exchange" : "exchanges"} deep`,
      rule.binding === "keep"
        ? "only with the key the token is bound to"
        : "bound to their own key, whatever the token was bound to",
    ]),
  };
}

function pinsOf({ subject, party, claims }: IssuerConfig["systems"][number] | PinnedRule): string {
  const pins = [
    ...(subject === undefined ? [] : [`sub ${quoted(subject)}`]),
    ...(party === undefined ? [] : [`azp ${quoted(party)}`]),
    ...Object.entries(claims)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${quoted(name)} ${quoted(value)}`),
  ];
  return list(pins);
}
type PinnedRule = NonNullable<IssuerConfig["gateways"]>[number];

function stands(carries: Readonly<Record<string, readonly string[]>> | undefined): readonly string[] {
  return Object.entries(carries ?? {}).map(
    ([word, operations]) => `scope ${quoted(word)} stands for ${list(operations)}`,
  );
}

function fetchedWords(keys: KeysUri): string {
  return sentence(keys.uri, reachWords(keys), " ");
}

function reachWords({ allowPrivate, trust }: Pick<KeysUri, "allowPrivate" | "trust">): readonly string[] {
  const roots = trust === undefined ? "" : `with the roots of ${trust}`;
  return [roots, allowPrivate ? "private addresses too" : ""];
}

function sentence(main: string, parts: readonly string[], first = "; "): string {
  const said = parts.filter((part) => part !== "");
  return said.length === 0 ? main : `${main}${first}${said.join("; ")}`;
}

/** `mfa` of `urn:sallyport:acr:mfa` */
const levelWord = (acr: ProviderConfig["acr"]): string => acr.slice(acr.lastIndexOf(":") + 1);

const list = (items: readonly string[]): string => (items.length === 0 ? "nothing" : items.join(", "));

/** JSON: what somebody outside chose cannot end the quotes, nor move a cursor. */
const quoted = (text: string): string => JSON.stringify(text);

function shortHash(jwk: object): string {
  const members = Object.entries(jwk).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(members)).digest("base64url").slice(0, 12);
}
