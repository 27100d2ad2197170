// Promises where a service is served, as one URL, and how long it may take. Pure. Trusts words.ts for what a URL may be.
// Source: Kong 3 service object; its defaults are port 80, 60 s, no check of the upstream's certificate.
import { needsPrivateWord } from "../../config/private-hosts.ts";
import { upstreamUrl } from "../../config/words.ts";
import type { Reporter } from "../import-report.ts";
import { flagOf, itemsOf, member, numberOf, placeOfKey, textOf, textsOf } from "../tree-members.ts";
import type { KongService, KongSource } from "./kong-source.ts";

export interface KongUpstream {
  readonly url: string;
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
  const written = textOf(tree, "url") ?? composed(source, service, report);
  const read = upstreamUrl().safeParse(written);
  if (!read.success) {
    const why = `its URL is not one to send HTTP to: ${read.error.issues[0]?.message ?? ""}`;
    report.lost(tree.at, `service ${name}`, { why, fix: "declare the system by hand" });
    return null;
  }
  const url = read.data;
  if (url.startsWith("https:") && flagOf(tree, "tls_verify") !== true)
    report.changed(tree.at, `service ${name}`, {
      why: "the provider's certificate is checked here, and was not at Kong unless `tls_verify` said so",
      fix: "a private CA becomes a bundle in trust/, named by `tls: { ca }`",
    });
  sayServiceKeys(service, report);
  const isPrivate = needsPrivateWord(new URL(url).hostname);
  if (isPrivate)
    report.changed(tree.at, `service ${name}`, {
      why: "its URL leads to a private address, so `allowPrivate: true` is written",
      fix: "see that this is meant",
    });
  return { url, isPrivate, timeout: timeoutOf(service, report), retries: retriesOf(service, report) };
}

/** `protocol`, `host`, `port` and `path`; a host that is the name of an upstream stands for its targets. */
function composed(source: KongSource, { name, tree }: KongService, report: Reporter): string {
  const setting = (key: string): string | undefined => textOf(tree, key) ?? textOf(source.serviceDefaults, key);
  const protocol = setting("protocol") ?? "http";
  const host = setting("host") ?? "";
  const port = setting("port");
  const path = setting("path") ?? "";
  const targets = targetsOf(source, host);
  const [first] = targets;
  if (first !== undefined) {
    report.changed(placeOfKey(tree, "host"), `service ${name}`, {
      why: `its host is an upstream with ${targets.length === 1 ? "one target" : `${targets.length} targets`}; here the first one is its URL, without health checks`,
      fix: targets.length === 1 ? "see that this is meant" : "write the address of a load balancer in front of them",
    });
    return `${protocol}://${first}${path}`;
  }
  if (protocol === "https" && port === undefined)
    report.changed(tree.at, `service ${name}`, {
      why: "its port is 443 here; Kong's default is 80, also for https",
      fix: "see that this is meant",
    });
  return `${protocol}://${host}${port === undefined ? "" : `:${port}`}${path}`;
}

function targetsOf(source: KongSource, host: string): readonly string[] {
  const upstream = itemsOf(source.root, "upstreams").find((one) => textOf(one, "name") === host);
  if (upstream === undefined) return [];
  const elsewhere = itemsOf(source.root, "targets").filter((one) => {
    const named =
      textOf(one, "upstream") ?? textOf(member(one, "upstream"), "name") ?? textOf(member(one, "upstream"), "id");
    return named === host || (named !== undefined && named === textOf(upstream, "id"));
  });
  return [...itemsOf(upstream, "targets"), ...elsewhere].flatMap((one) =>
    numberOf(one, "weight") === 0 ? [] : (textOf(one, "target") ?? []),
  );
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
