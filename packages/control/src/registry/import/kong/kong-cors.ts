// Promises a cors plugin as the `cors` of an integration: what means the same is taken over, what does not is said. Pure.
// Trusts cors-schema.ts for which origins and fields may be named. Source: Kong 3's cors plugin, with its defaults: any origin, the fields that
// were asked for, no time to keep a preflight (browsers then keep it 5 s, Fetch §4.8).
import { cors } from "../../config/cors-schema.ts";
import type { Tree } from "../../config/yaml-tree.ts";
import { scalarText } from "../tree-members.ts";
import type { Said } from "./kong-limits.ts";
import { type KongPlugin, settingOf } from "./kong-source.ts";

export interface KongCors {
  readonly origins: readonly string[];
  readonly allowHeaders?: readonly string[];
  readonly exposeHeaders?: readonly string[];
  readonly maxAge: string;
}

export interface CorsReading {
  /** Null: no page that could be named was let in. */
  readonly cors: KongCors | null;
  readonly changes: readonly Said[];
  readonly losses: readonly Said[];
}

/** Fields that every page may set (docs/cors.md). */
const always = new Set(["authorization", "dpop", "content-type", "idempotency-key"]);
const maxAgeMaxSeconds = 86_400;
const listMax = 32;

const shape = cors();
const refusalOf = (part: object, origins: readonly string[]): string | null =>
  shape.safeParse({ origins, ...part }).error?.issues[0]?.message ?? null;

export function readCors(plugin: KongPlugin): CorsReading {
  const changes: Said[] = [];
  const losses: Said[] = [];
  const origins = originsOf(plugin, losses);
  const fields = (key: string, target: "allowHeaders" | "exposeHeaders", known: ReadonlySet<string>): string[] => {
    const named = [...new Set(textsIn(settingOf(plugin, key)).map((name) => name.toLowerCase()))];
    return named
      .filter((name) => !known.has(name))
      .filter((name, index) => {
        const refused =
          index >= listMax ? `there are ${listMax} at most` : refusalOf({ [target]: [name] }, ["https://page.example"]);
        if (refused !== null)
          losses.push({ why: `\`${name.slice(0, 64)}\` of ${key}: ${refused}`, fix: "see that no page needs it" });
        return refused === null;
      });
  };
  const allowHeaders = fields("headers", "allowHeaders", always);
  const exposeHeaders = fields("exposed_headers", "exposeHeaders", new Set());
  if (settingOf(plugin, "headers") === undefined)
    changes.push({
      why: "a page could set any field; here `Authorization`, `DPoP`, `Content-Type`, `Idempotency-Key` and those of `allowHeaders`",
      fix: "name the others that pages set under `allowHeaders`",
    });
  sayFlags(plugin, losses);
  const maxAge = maxAgeOf(plugin, changes);
  return {
    cors:
      origins.length === 0
        ? null
        : {
            origins,
            ...(allowHeaders.length === 0 ? {} : { allowHeaders }),
            ...(exposeHeaders.length === 0 ? {} : { exposeHeaders }),
            maxAge,
          },
    changes,
    losses,
  };
}

/** Exact origins alone; a text with other characters than those of one is a regular expression at Kong. */
function originsOf(plugin: KongPlugin, losses: Said[]): readonly string[] {
  const written = textsIn(settingOf(plugin, "origins"));
  const fix = "name each origin under `cors: { origins }` of the integrations";
  if (written.length === 0) losses.push({ why: "it named no origins, so pages of anybody could call", fix });
  return [...new Set(written)].filter((origin, index) => {
    const refused = index >= listMax ? `there are ${listMax} at most` : refusalOf({}, [origin]);
    if (refused !== null) losses.push({ why: `origin \`${origin.slice(0, 100)}\`: ${refused}`, fix });
    return refused === null;
  });
}

function sayFlags(plugin: KongPlugin, losses: Said[]): void {
  const isOn = (key: string): boolean => scalarText(settingOf(plugin, key)) === "true";
  if (isOn("credentials"))
    losses.push({
      why: "`credentials`: pages call with a token and never with cookies, so `Access-Control-Allow-Credentials` is not said",
      fix: 'have the page call with `credentials: "omit"`',
    });
  if (isOn("preflight_continue"))
    losses.push({ why: "`preflight_continue`: a preflight never reaches the provider", fix: "" });
  if (isOn("private_network"))
    losses.push({ why: "`private_network`: nothing is said to pages about private networks", fix: "" });
}

function maxAgeOf(plugin: KongPlugin, changes: Said[]): string {
  const seconds = Number(scalarText(settingOf(plugin, "max_age")) ?? "5");
  const kept = Number.isFinite(seconds) ? Math.min(Math.max(Math.round(seconds), 0), maxAgeMaxSeconds) : 5;
  if (kept !== seconds)
    changes.push({
      why: `\`max_age\` is out of range here, so \`maxAge\` is ${kept} s`,
      fix: "see that this is meant",
    });
  return `${kept}s`;
}

/** Methods that it kept pages from; here a page may call whatever the integration grants. Empty: none of `granted`. */
export function keptFromPages(plugin: KongPlugin, granted: readonly string[]): readonly string[] {
  const methods = new Set(textsIn(settingOf(plugin, "methods")).map((method) => method.toUpperCase()));
  return methods.size === 0 ? [] : [...new Set(granted)].filter((method) => !methods.has(method));
}

function textsIn(tree: Tree | undefined): readonly string[] {
  return (tree?.kind === "list" ? tree.items : tree === undefined ? [] : [tree]).flatMap(
    (item) => scalarText(item) ?? [],
  );
}
