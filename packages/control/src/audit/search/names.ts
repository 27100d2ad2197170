// Promises that operators search by names and read names: every pseudonym a value can have, and for a pseudonym the declared name that gives it.
// Trusts the pseudonym keys, which only control has; makes no key for a year that has none. Specified in docs/audit-search.md "Names".
import { isIP } from "node:net";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { outsideTokenId } from "@sallyport/protocol/token/outside-subject.ts";
import type { ControlParts } from "../../control-parts.ts";
import { createTokenActions } from "../../identity/tokens/token-actions.ts";
import { readEnvironments } from "../../registry/estate-state.ts";
import type { SearchField } from "./record-terms.ts";
import type { DeclaredNames } from "./unknown-names.ts";

/** Operators' acts lie under a name no environment can have. */
const operatorEnvironment = "sallyport";
/** Nothing was recorded before. */
const firstYear = 2025;
const pseudonymForm = /^[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{22}$/;
const userForm = /^usr_[A-Za-z0-9_-]{22}$/;

/** Fields whose values stand in leaves as pseudonyms. */
export const namedFields: ReadonlySet<SearchField> = new Set([
  "caller",
  "subject",
  "client",
  "actor",
  "address",
  "token",
]);

interface Said {
  readonly domain: string;
  readonly value: string;
}

export interface NameScope {
  readonly environments: readonly string[];
  /** Four digits. */
  readonly years: readonly string[];
}

export function scopeOf(
  parts: ControlParts,
  {
    from,
    to,
    environments,
  }: { readonly from: number; readonly to: number; readonly environments: readonly string[] | null },
): NameScope {
  const now = new Date(parts.clock.now()).getUTCFullYear();
  const first = Math.max(firstYear, from <= 0 ? firstYear : new Date(from).getUTCFullYear());
  const last = Math.min(now, to >= 8.64e15 ? now : new Date(to).getUTCFullYear());
  const years = Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => String(first + n));
  return { environments: environments ?? [...parts.identities.keys(), operatorEnvironment], years };
}

/** Every pseudonym that a name, address or token can have in these environments and years. A pseudonym stands for itself. */
export async function pseudonymsOf(
  parts: ControlParts,
  { field, value, scope }: { readonly field: SearchField; readonly value: string; readonly scope: NameScope },
): Promise<readonly string[]> {
  if (pseudonymForm.test(value)) return [value];
  const said = await meantBy(parts, field, value);
  const found: string[] = [];
  for (const environment of scope.environments)
    for (const year of scope.years) {
      const make = await parts.pseudonyms.ofYear(environment, year);
      if (make !== null) found.push(...said.map((one) => make(one.domain, one.value)));
    }
  return found;
}

async function meantBy(parts: ControlParts, field: SearchField, value: string): Promise<readonly Said[]> {
  if (field === "address") return addressWords(value);
  if (field === "token") return [{ domain: "token", value: await tokenIdOf(parts, value) }];
  if (field === "subject")
    return (await subjectsOf(parts, value)).map((subject) => ({ domain: "subject", value: subject }));
  if (field === "actor") return (await actorWords(parts, value)).map((actor) => ({ domain: "actor", value: actor }));
  return [{ domain: field, value }];
}

/** The address itself, and the networks under which strangers are counted: by gateways, and by the issuer. */
function addressWords(text: string): readonly Said[] {
  const address = text.startsWith("::ffff:") && text.includes(".") ? text.slice(7) : text;
  const whole = { domain: "address", value: address };
  if (isIP(address) !== 4) return [whole];
  const network = address.split(".").slice(0, 3).join(".");
  return [whole, { domain: "address", value: network }, { domain: "prefix", value: `v4:${network}` }];
}

/** `user:ada`, `ada` or an id: of a user of that name their ids, and always the text itself. */
async function subjectsOf(parts: ControlParts, text: string): Promise<readonly string[]> {
  const name = text.startsWith("user:") ? text.slice("user:".length) : text;
  if (userForm.test(name)) return [name];
  const ids: string[] = [];
  for (const environment of parts.identities.keys()) {
    const users = await parts.store.run("listUsers", { tenant: parts.tenant, environment });
    ids.push(...users.filter((user) => user.name === name).map(({ id }) => id));
  }
  return [name, ...ids];
}

async function actorWords(parts: ControlParts, text: string): Promise<readonly string[]> {
  if (text.startsWith("user:")) return (await subjectsOf(parts, text)).map((id) => `user:${id}`);
  return [text.includes(":") || text === "built-in" ? text : `operator:${text}`];
}

/** A whole token, of ours or of somebody else's, a handle, or an id: the id it is recorded under. */
async function tokenIdOf(parts: ControlParts, text: string): Promise<string> {
  const { claims } = await createTokenActions(parts).inspectToken(text);
  if (claims !== null) return claims.jti;
  const segments = text.split(".");
  if (segments.length !== 3) return text;
  const said = parseJsonObject(Buffer.from(segments[1] ?? "", "base64url"));
  const { iss, jti } = said ?? {};
  // Whatever it claims is only looked up: a token that nobody verified finds what was recorded under that id.
  const id = typeof jti === "string" ? jti : undefined;
  if (typeof iss !== "string") return id ?? text;
  const isOurs = [...parts.identities.values()].some(({ issuer }) => issuer === iss);
  return isOurs && id !== undefined ? id : outsideTokenId({ issuer: iss, jti: id, text }, createTokenCrypto());
}

/** What is declared now, to hold names of a search against; `environments` null: of every one. */
export async function declaredNames(
  parts: ControlParts,
  environments: readonly string[] | null,
): Promise<DeclaredNames> {
  const { tenant, store, identities } = parts;
  const all = await readEnvironments(store, tenant);
  const asked = [...all].filter(([name]) => environments?.includes(name) ?? true).map(([, { config }]) => config);
  const systems = asked.flatMap((config) => config?.systems ?? []).map(({ id }) => id);
  const operators = (await store.run("readOperators", { tenant })).map(({ id }) => id);
  const declared = await store.run("listDeclaredOperators", { tenant });
  return {
    caller: new Set(systems),
    // Its own operations have a system too (docs/receipts.md).
    system: new Set([...systems, "sallyport"]),
    client: new Set([
      ...[...identities.values()].flatMap((one) => [...one.clients().keys()]),
      ...operators,
      ...declared,
    ]),
    integration: new Set(asked.flatMap((config) => config?.integrations ?? []).map(({ id }) => id)),
    environment: new Set([...all.keys(), operatorEnvironment]),
  };
}

/** Pseudonym to name, of everything declared in one environment and of its users, for one year. */
export async function nameTable(
  parts: ControlParts,
  environment: string,
  year: string,
): Promise<ReadonlyMap<string, string>> {
  const make = await parts.pseudonyms.ofYear(environment, year);
  const table = new Map<string, string>();
  if (make === null) return table;
  const { tenant, store } = parts;
  const config = (await readEnvironments(store, tenant)).get(environment)?.config;
  for (const { id } of config?.systems ?? []) table.set(make("caller", id), id);
  for (const client of parts.identities.get(environment)?.clients().keys() ?? [])
    table.set(make("client", client), client);
  if (environment !== operatorEnvironment)
    for (const { id, name } of await store.run("listUsers", { tenant, environment })) {
      table.set(make("subject", id), `user:${name}`);
      table.set(make("actor", `user:${id}`), `user:${name}`);
    }
  for (const actor of await actorsOf(parts)) {
    table.set(make("actor", actor), actor);
    // The operators' issuer records who logged in as its client.
    if (actor.startsWith("operator:")) table.set(make("client", actor.slice("operator:".length)), actor);
  }
  return table;
}

async function actorsOf({ tenant, store, identities }: ControlParts): Promise<readonly string[]> {
  const operators = (await store.run("readOperators", { tenant })).map(({ id }) => id);
  const declared = await store.run("listDeclaredOperators", { tenant });
  const nodes = await store.run("listNodes", { tenant });
  const objects = await store.run("listObjects", { tenant, environment: null, kind: null });
  return [
    "built-in",
    ...new Set([...operators, ...declared].map((id) => `operator:${id}`)),
    ...nodes.map(({ node }) => `gateway:${node}`),
    ...new Set(objects.map(({ managedBy }) => managedBy)),
    ...[...identities.values()].flatMap((identity) =>
      [...identity.clients().keys()].map((client) => `client:${client}`),
    ),
  ];
}
