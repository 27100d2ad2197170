// Promises each place at which Kong served a service (host, path, stripped or not) with the methods and routes that lead there. Pure.
// Trusts words.ts for what a place may be. Source: Kong 3 "How routing works": prefixes, `~` expressions, `strip_path`.
import type { Place } from "../../config/finding.ts";
import { compareText } from "../../config/finding.ts";
import { hostName, match, publicPath } from "../../config/words.ts";
import type { Reporter } from "../import-report.ts";
import { flagOf, itemsOf, member, placeOfKey, textOf, textsOf } from "../tree-members.ts";
import { type KongRoute, type KongService, type KongSource, pluginFor } from "./kong-source.ts";
import { expressionPath } from "./path-expression.ts";

export interface PlacedRoute {
  readonly route: KongRoute;
  readonly methods: readonly string[];
  /** What remains after the public path: `/` for a prefix. */
  readonly path: string;
  /** The route names no methods. */
  readonly anyMethod: boolean;
  /** Kong served everything below, too. */
  readonly isPrefix: boolean;
  readonly at: Place;
}

export interface ServedPlace {
  readonly host: string | null;
  readonly path: string;
  readonly strip: boolean;
  readonly routes: PlacedRoute[];
}

/** Places of one service; more is a mistake or an attack. */
const placesMax = 200;
/** What a route without `methods` is served for here. */
const allMethods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const served = new Set([...allMethods, "HEAD", "OPTIONS"]);

export function placesOf(source: KongSource, service: KongService, report: Reporter): readonly ServedPlace[] {
  const places = new Map<string, ServedPlace>();
  for (const route of service.routes) {
    if (!isServable(source, { service, route }, report)) continue;
    const methods = methodsOf(route, report);
    const strip = flagOf(route.tree, "strip_path") ?? flagOf(source.routeDefaults, "strip_path") ?? true;
    for (const host of hostsOf(route, report))
      for (const found of pathsOf(source, route, { strip, report })) {
        const key = JSON.stringify([host, found.prefix, strip]);
        const place = places.get(key) ?? { host, path: found.prefix, strip, routes: [] };
        place.routes.push({
          route,
          methods,
          anyMethod: textsOf(route.tree, "methods").length === 0,
          path: found.path,
          isPrefix: found.isPrefix,
          at: found.at,
        });
        if (places.size < placesMax) places.set(key, place);
      }
  }
  if (places.size >= placesMax)
    report.lost(service.tree.at, `service ${service.name}`, {
      why: `only its first ${placesMax} places are taken`,
      fix: "divide it",
    });
  return [...places.values()];
}

/** Matching by what a system's place does not have would serve requests that Kong did not. */
function isServable(
  source: KongSource,
  { service, route }: { readonly service: KongService; readonly route: KongRoute },
  report: Reporter,
): boolean {
  const what = `route ${route.name}`;
  const stopped = pluginFor(source.plugins, "request-termination", { service: service.name, route: route.name });
  if (stopped !== undefined) {
    const why = "a plugin answered in its place and nothing was forwarded, so it is not written";
    report.lost(stopped.tree.at, what, { why, fix: "declare it by hand if it is to be served again" });
    return false;
  }
  const protocols = textsOf(route.tree, "protocols");
  if (protocols.length > 0 && !protocols.some((protocol) => protocol === "http" || protocol === "https")) {
    const why = `it serves ${protocols.join(", ")}, and only HTTP crosses in this version`;
    report.lost(placeOfKey(route.tree, "protocols"), what, { why, fix: "leave it where it is" });
    return false;
  }
  for (const key of ["headers", "snis", "sources", "destinations", "expression"]) {
    const value = member(route.tree, key);
    const isEmpty =
      value === undefined ||
      (value.kind === "list" && value.items.length === 0) ||
      (value.kind === "map" && value.entries.size === 0) ||
      (value.kind === "scalar" && value.value === null);
    if (isEmpty) continue;
    report.lost(placeOfKey(route.tree, key), what, {
      why: `it is chosen by \`${key}\`, and a system's place is host and path only`,
      fix: "declare its operations by hand, under a path of their own",
    });
    return false;
  }
  sayRouteKeys(source, route, report);
  return true;
}

function sayRouteKeys(source: KongSource, { name, tree }: KongRoute, report: Reporter): void {
  if ((flagOf(tree, "preserve_host") ?? flagOf(source.routeDefaults, "preserve_host")) === true)
    report.lost(placeOfKey(tree, "preserve_host"), `preserve_host of route ${name}`, {
      why: "the provider is always sent the host of its own `url`",
      fix: "have the provider accept that name; callers' host names do not reach it",
    });
  if (textOf(tree, "path_handling") === "v1")
    report.lost(placeOfKey(tree, "path_handling"), `path_handling of route ${name}`, {
      why: "base path and path are joined at a `/`",
      fix: "compare one request at the provider",
    });
  for (const key of ["request_buffering", "response_buffering"])
    if (flagOf(tree, key) === false)
      report.changed(placeOfKey(tree, key), `${key} of route ${name}`, {
        why: "JSON bodies are read whole before they are forwarded; answers stream",
        fix: "nothing to do, unless callers stream JSON",
      });
}

function methodsOf({ name, tree }: KongRoute, report: Reporter): readonly string[] {
  const written = textsOf(tree, "methods").map((method) => method.toUpperCase());
  const known = written.filter((method) => served.has(method));
  for (const method of written.filter((one) => !served.has(one)))
    report.lost(placeOfKey(tree, "methods"), `${method} of route ${name}`, {
      why: "the method is not served",
      fix: "",
    });
  return written.length > 0 ? [...new Set(known)] : allMethods;
}

function hostsOf({ name, tree }: KongRoute, report: Reporter): readonly (string | null)[] {
  const written = textsOf(tree, "hosts");
  const hosts = written
    .map((host) => host.toLowerCase().replace(/:\d+$/, ""))
    .filter((host) => {
      if (hostName().safeParse(host).success) return true;
      report.lost(placeOfKey(tree, "hosts"), `host ${host} of route ${name}`, {
        why: "a host with a wildcard is not served",
        fix: "name each host, one system for each",
      });
      return false;
    });
  return written.length === 0 ? [null] : [...new Set(hosts)];
}

interface FoundPath {
  readonly prefix: string;
  readonly path: string;
  readonly isPrefix: boolean;
  readonly at: Place;
}

function pathsOf(source: KongSource, route: KongRoute, on: { strip: boolean; report: Reporter }): readonly FoundPath[] {
  const items = itemsOf(route.tree, "paths");
  if (textsOf(route.tree, "paths").length === 0) return [{ prefix: "/", path: "/", isPrefix: true, at: route.tree.at }];
  const found = items.flatMap((item): readonly FoundPath[] => {
    const written = item.kind === "scalar" && typeof item.value === "string" ? item.value : "";
    const isExpression = written.startsWith("~") || (source.guessesRegex && /[^A-Za-z0-9._~/%-]/.test(written));
    const read = isExpression ? expressionPath(written.replace(/^~/, ""), on.strip) : prefixPath(written);
    const what = `path ${written} of route ${route.name}`;
    if ("refused" in read) {
      on.report.lost(item.at, what, { why: read.refused, fix: read.fix });
      return [];
    }
    if (read.changed !== null)
      on.report.changed(item.at, what, { why: read.changed, fix: "compare with what callers send" });
    return [{ ...read, at: item.at }];
  });
  return found.toSorted((a, b) => compareText(a.prefix, b.prefix));
}

type ReadPath =
  | (Omit<FoundPath, "at"> & { readonly changed: string | null })
  | { readonly refused: string; readonly fix: string };

function prefixPath(written: string): ReadPath {
  const bare = written.length > 1 ? written.replace(/\/+$/, "") : written;
  const judged = publicPath().safeParse(bare === "" ? "/" : bare);
  if (!judged.success || !match().safeParse(`GET ${bare === "" ? "/" : bare}`).success)
    return {
      refused: judged.error?.issues[0]?.message ?? "not a path that is served",
      fix: "declare it by hand in another form",
    };
  const changed =
    bare === written || written === "/" ? null : "the `/` at its end is dropped: the path without it is served, too";
  return { prefix: judged.data, path: "/", isPrefix: true, changed };
}
