// Promises the targets of an upstream as endpoints with weights and a health check, and what they mean otherwise than at Kong. Pure.
// Trusts words.ts for what a URL and a path may be. Source: Kong 3 upstream and target objects; a target has port 8000 and weight 100 by default.
import { itemsMax } from "../../config/bounds.ts";
import { publicPath, upstreamUrl } from "../../config/words.ts";
import type { Tree } from "../../config/yaml-tree.ts";
import type { Reporter } from "../import-report.ts";
import { itemsOf, member, numberOf, placeOfKey, textOf } from "../tree-members.ts";
import type { KongSource } from "./kong-source.ts";

export interface KongEndpoint {
  readonly url: string;
  readonly weight: number;
}

export interface KongHealth {
  readonly path: string;
  readonly every: string;
  readonly timeout: string;
  readonly failures?: number;
  readonly successes?: number;
}

export interface KongPool {
  readonly name: string;
  readonly tree: Tree;
  readonly targets: readonly Tree[];
}

/** The upstream of a name with the targets that get requests; null: no upstream has it. */
export function poolOf(source: KongSource, name: string): KongPool | null {
  const tree = itemsOf(source.root, "upstreams").find((one) => textOf(one, "name") === name);
  if (tree === undefined) return null;
  const elsewhere = itemsOf(source.root, "targets").filter((one) => {
    const named =
      textOf(one, "upstream") ?? textOf(member(one, "upstream"), "name") ?? textOf(member(one, "upstream"), "id");
    return named === name || (named !== undefined && named === textOf(tree, "id"));
  });
  const targets = [...itemsOf(tree, "targets"), ...elsewhere].filter((one) => numberOf(one, "weight") !== 0);
  return { name, tree, targets };
}

export interface PoolUse {
  readonly protocol: string;
  /** Base path of the service; empty: none. */
  readonly path: string;
}

/** Where requests go, in the order of the file; what cannot be one of them is said. */
export function endpointsOf(pool: KongPool, { protocol, path }: PoolUse, report: Reporter): readonly KongEndpoint[] {
  const places = new Map<string, number>();
  for (const target of pool.targets) {
    const written = textOf(target, "target") ?? "";
    const what = `target ${written.slice(0, 100)} of upstream ${pool.name}`;
    const authority = /:\d+$/.test(written) ? written : `${written}:8000`;
    const read = upstreamUrl().safeParse(`${protocol}://${authority}${path}`);
    const why = !read.success
      ? `not a place to send HTTP to: ${read.error.issues[0]?.message ?? ""}`
      : places.has(read.data)
        ? "it stands in the upstream twice"
        : places.size >= itemsMax
          ? `a system has at most ${itemsMax} endpoints`
          : null;
    if (why === null && read.success) places.set(read.data, numberOf(target, "weight") ?? 100);
    else report.lost(target.at, what, { why: why ?? "", fix: "write it under `endpoints` by hand if it is needed" });
  }
  const weights = smallWeights([...places.values()]);
  return [...places.keys()].map((url, index) => ({ url, weight: weights[index] ?? 1 }));
}

const weightMax = 100;

/** The same proportions in whole numbers of 1 to 100, as nearly as they can be. */
function smallWeights(weights: readonly number[]): readonly number[] {
  const divisor = weights.reduce((a, b) => greatest(a, b), 0) || 1;
  const small = weights.map((weight) => weight / divisor);
  const largest = Math.max(...small);
  return largest <= weightMax ? small : small.map((weight) => Math.max(1, Math.round((weight * weightMax) / largest)));
}

function greatest(a: number, b: number): number {
  return b === 0 ? a : greatest(b, a % b);
}

/** What several endpoints do otherwise than the targets did. */
export function sayPool({ name, tree }: KongPool, endpoints: readonly KongEndpoint[], report: Reporter): void {
  const what = `upstream ${name}`;
  const weights = endpoints.map(({ weight }) => weight);
  report.mapped(tree.at, what, `\`endpoints\` with the weights ${weights.join(", ")}`);
  const hashOn = textOf(tree, "hash_on") ?? "none";
  const algorithm = textOf(tree, "algorithm") ?? (hashOn === "none" ? "round-robin" : "consistent-hashing");
  const at = placeOfKey(tree, textOf(tree, "algorithm") === undefined ? "hash_on" : "algorithm");
  const isKept = algorithm === "consistent-hashing" || algorithm === "sticky-sessions";
  report.changed(at, `${algorithm} of ${what}`, {
    why: isKept
      ? `requests with one ${hashOn === "none" ? "session" : hashOn} stayed with one target; here any endpoint may get any request: of two drawn by weight the less busy one`
      : "of two endpoints drawn by weight the second gets a request where the first is much busier for its weight",
    fix: isKept
      ? "see that no endpoint has a state of its own that the others miss, or write the one `url`"
      : "nothing to do, unless something counts on the order",
  });
  if (new Set(weights).size > 1)
    report.changed(tree.at, `weights of ${what}`, {
      why: "a weight is the share of endpoints that are as quick as each other: one that is slow gets less than its own",
      fix: "nothing to do, unless something counts on exact shares",
    });
  report.changed(placeOfKey(tree, "healthchecks"), `health of ${what}`, {
    why: isPassive(tree)
      ? "passive checks took a target out by counts of their own; here the breaker does, by its defaults"
      : "an endpoint that fails is left alone for a while (`breaker`); Kong went on asking it",
    fix: "see `breaker` in docs/resilience.md, and write another if its defaults do not fit",
  });
  for (const key of ["host_header", "client_certificate"])
    if (textOf(tree, key) !== undefined || textOf(member(tree, key), "id") !== undefined)
      report.lost(placeOfKey(tree, key), `${key} of ${what}`, {
        why:
          key === "host_header"
            ? "an endpoint sees the host of its own URL"
            : "certificates of yours are named by `tls: { certificate }`, and are not in the file",
        fix: key === "host_header" ? "write endpoints under the names they serve" : "declare it by hand",
      });
}

function isPassive(tree: Tree): boolean {
  const unhealthy = member(member(member(tree, "healthchecks"), "passive"), "unhealthy");
  return ["http_failures", "tcp_failures", "timeouts"].some((key) => (numberOf(unhealthy, key) ?? 0) > 0);
}

/** Active checks; undefined: there were none, or none that can be asked here, which is said. */
export function healthOf({ name, tree }: KongPool, use: PoolUse, report: Reporter): KongHealth | undefined {
  const active = member(member(tree, "healthchecks"), "active");
  const [healthy, unhealthy] = [member(active, "healthy"), member(active, "unhealthy")];
  const everySeconds = numberOf(healthy, "interval") || numberOf(unhealthy, "interval") || 0;
  if (active === undefined || everySeconds <= 0) return undefined;
  const what = `active health checks of upstream ${name}`;
  const type = textOf(active, "type") ?? "http";
  const asked = textOf(active, "http_path") ?? "/";
  const below = asked.startsWith(`${use.path}/`) ? asked.slice(use.path.length) : null;
  if (type !== use.protocol || below === null || !publicPath().safeParse(below).success) {
    report.lost(active.at, what, {
      why:
        type === use.protocol
          ? `\`health\` asks a plain path below the base path of the endpoints, and \`${asked.slice(0, 100)}\` is none`
          : `they spoke ${type.slice(0, 20)}; \`health\` asks over the protocol of the endpoints`,
      fix: "write `health: { path }` with a path that the provider answers there",
    });
    return undefined;
  }
  const counts = ["http_failures", "tcp_failures", "timeouts"].map((key) => numberOf(unhealthy, key) ?? 0);
  const failures = Math.min(...counts.filter((count) => count > 0));
  const successes = numberOf(healthy, "successes") ?? 0;
  report.changed(active.at, what, {
    why: "`health` only prefers: where no endpoint is left it is overruled; well is 200 to 299, and failures of every kind have one count",
    fix: "see that the path answers so",
  });
  return {
    path: below,
    every: `${Math.min(Math.max(Math.round(everySeconds), 1), 3_600)}s`,
    timeout: `${Math.min(Math.max(Math.round((numberOf(active, "timeout") ?? 1) * 1_000), 10), 10_000)}ms`,
    ...(failures >= 1 && failures <= 100 ? { failures } : {}),
    ...(successes >= 1 && successes <= 100 ? { successes } : {}),
  };
}

/** Upstreams that no service stands for. */
export function sayUnusedPools(source: KongSource, used: ReadonlySet<string>, report: Reporter): void {
  for (const tree of itemsOf(source.root, "upstreams")) {
    const name = textOf(tree, "name") ?? "?";
    if (!used.has(name))
      report.lost(tree.at, `upstream ${name.slice(0, 100)}`, { why: "no service leads to it", fix: "" });
  }
}
