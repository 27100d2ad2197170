// Promises where a service is served, as one URL or several, and how long it may take. Pure. Trusts words.ts for what a URL may be, kong-targets.ts for several.
// Source: Kong 3 service object; its defaults are port 80, 60 s, no check of the upstream's certificate.
import { needsPrivateWord } from "../../config/private-hosts.ts";
import { upstreamUrl } from "../../config/words.ts";
import type { Reporter } from "../import-report.ts";
import { flagOf, member, numberOf, placeOfKey, textOf, textsOf } from "../tree-members.ts";
import type { KongService, KongSource } from "./kong-source.ts";
import {
  endpointsOf,
  healthOf,
  type KongEndpoint,
  type KongHealth,
  type PoolUse,
  poolOf,
  sayPool,
} from "./kong-targets.ts";

export interface KongUpstream {
  /** One, or several that share the requests. */
  readonly endpoints: readonly [KongEndpoint, ...KongEndpoint[]];
  readonly health: KongHealth | undefined;
  readonly isPrivate: boolean;
  /** `timeout` of its operations; undefined: the default. */
  readonly timeout: string | undefined;
  /** `retries` of the system; undefined: the default. */
  readonly retries: "none" | { readonly attempts: number } | undefined;
}

/** Null: it has no URL that this gateway could use; the report says why. */
export function upstreamOf(source: KongSource, service: KongService, report: Reporter): KongUpstream | null {
  const { name, tree } = service;
  if (flagOf(tree, "enabled") === false) {
    report.lost(placeOfKey(tree, "enabled"), `service ${name}`, { why: "it is disabled", fix: "" });
    return null;
  }
  const { endpoints, health } = placesOf(source, service, report);
  const [first, ...others] = endpoints;
  if (first === undefined) return null;
  const { url } = first;
  if (url.startsWith("https:") && flagOf(tree, "tls_verify") !== true)
    report.changed(tree.at, `service ${name}`, {
      why: "the provider's certificate is checked here, and was not at Kong unless `tls_verify` said so",
      fix: "a private CA becomes a bundle in trust/, named by `tls: { ca }`",
    });
  sayServiceKeys(service, report);
  const isPrivate = endpoints.some((endpoint) => needsPrivateWord(new URL(endpoint.url).hostname));
  if (isPrivate)
    report.changed(tree.at, `service ${name}`, {
      why: "its URL leads to a private address, so `allowPrivate: true` is written",
      fix: "see that this is meant",
    });
  return {
    endpoints: [first, ...others],
    health,
    isPrivate,
    timeout: timeoutOf(service, report),
    retries: retriesOf(service, report),
  };
}

interface Places {
  readonly endpoints: readonly KongEndpoint[];
  readonly health: KongHealth | undefined;
}

/** A host that is the name of an upstream stands for its targets, also in a `url`. */
export function hostOf(source: KongSource, { tree }: KongService): string {
  const url = textOf(tree, "url");
  return url !== undefined && URL.canParse(url) ? new URL(url).hostname : (settingOf(source, tree, "host") ?? "");
}

const settingOf = (source: KongSource, tree: KongService["tree"], key: string): string | undefined =>
  textOf(tree, key) ?? textOf(source.serviceDefaults, key);

function placesOf(source: KongSource, service: KongService, report: Reporter): Places {
  const { name, tree } = service;
  const pool = poolOf(source, hostOf(source, service));
  if (pool !== null && pool.targets.length > 0) {
    const use = useOf(source, service);
    const endpoints = endpointsOf(pool, use, report);
    if (endpoints.length > 1) {
      sayPool(pool, endpoints, report);
      return { endpoints, health: healthOf(pool, use, report) };
    }
    if (endpoints.length === 0)
      report.lost(tree.at, `service ${name}`, { why: "its upstream has no target to send HTTP to", fix: "" });
    else
      report.changed(placeOfKey(tree, "host"), `service ${name}`, {
        why: "its host is an upstream with one target; here that is its URL, without health checks",
        fix: "see that this is meant",
      });
    return { endpoints, health: undefined };
  }
  const read = upstreamUrl().safeParse(textOf(tree, "url") ?? composed(source, service, report));
  if (read.success) return { endpoints: [{ url: read.data, weight: 1 }], health: undefined };
  const why = `its URL is not one to send HTTP to: ${read.error.issues[0]?.message ?? ""}`;
  report.lost(tree.at, `service ${name}`, { why, fix: "declare the system by hand" });
  return { endpoints: [], health: undefined };
}

/** How a service speaks to the targets of its upstream. */
function useOf(source: KongSource, { tree }: KongService): PoolUse {
  const url = textOf(tree, "url");
  if (url !== undefined && URL.canParse(url)) {
    const { protocol, pathname } = new URL(url);
    return { protocol: protocol.slice(0, -1), path: pathname.replace(/\/$/, "") };
  }
  return {
    protocol: settingOf(source, tree, "protocol") ?? "http",
    path: (settingOf(source, tree, "path") ?? "").replace(/\/$/, ""),
  };
}

/** `protocol`, `host`, `port` and `path` as one URL. */
function composed(source: KongSource, { name, tree }: KongService, report: Reporter): string {
  const protocol = settingOf(source, tree, "protocol") ?? "http";
  const port = settingOf(source, tree, "port");
  if (protocol === "https" && port === undefined)
    report.changed(tree.at, `service ${name}`, {
      why: "its port is 443 here; Kong's default is 80, also for https",
      fix: "see that this is meant",
    });
  const host = settingOf(source, tree, "host") ?? "";
  return `${protocol}://${host}${port === undefined ? "" : `:${port}`}${settingOf(source, tree, "path") ?? ""}`;
}

function sayServiceKeys({ name, tree }: KongService, report: Reporter): void {
  for (const key of ["client_certificate", "ca_certificates"]) {
    if (textsOf(tree, key).length === 0 && textOf(member(tree, key), "id") === undefined) continue;
    report.lost(placeOfKey(tree, key), `${key} of service ${name}`, {
      why:
        key === "ca_certificates"
          ? "its roots are not in the file's service"
          : "the gateway proves itself with a signed header, not with a certificate of yours",
      fix:
        key === "ca_certificates"
          ? "put them in trust/ and name the bundle by `tls: { ca }`"
          : "have the provider check `Sallyport-Identity`",
    });
  }
}

const attemptsMax = 5;

/** Kong counts what follows the first attempt, the estate all of them. */
function retriesOf({ name, tree }: KongService, report: Reporter): KongUpstream["retries"] {
  const written = numberOf(tree, "retries");
  if (written === undefined) return undefined;
  const [at, what] = [placeOfKey(tree, "retries"), `retries of service ${name}`];
  if (written < 1) {
    report.mapped(at, what, "`retries: none`");
    return "none";
  }
  const attempts = Math.min(Math.round(written) + 1, attemptsMax);
  report.changed(at, what, {
    why: `a request is tried ${attempts} times in all${attempts <= written ? ", the most there is" : ""}, within a budget of the system, and one with an effect only while nothing of it had left`,
    fix: "write another `retries: { attempts, budget }`, or `retries: none`",
  });
  return { attempts };
}

const timeoutMaxMs = 300_000;

function timeoutOf({ name, tree }: KongService, report: Reporter): string | undefined {
  const readMs = numberOf(tree, "read_timeout");
  if (readMs === undefined) return undefined;
  const timeoutMs = Math.min(Math.max(Math.round(readMs), 10), timeoutMaxMs);
  report.changed(placeOfKey(tree, "read_timeout"), `read_timeout of service ${name}`, {
    why:
      timeoutMs === readMs
        ? "it bounded each wait for bytes of the provider; `timeout` bounds how long the provider may take to answer"
        : `it is out of range here, so \`timeout\` is ${timeoutMs} ms`,
    fix: "see that this is long enough, and no longer than callers wait",
  });
  return timeoutMs % 1_000 === 0 ? `${timeoutMs / 1_000}s` : `${timeoutMs}ms`;
}
