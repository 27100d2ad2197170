// Promises a sentence for every plugin and every other object of a Kong file: what stands in for it here, or that nothing does. Pure.
// Trusts nothing. Source: the plugins of Kong 3 by name. Specified in docs/import-kong.md "Plugins".

import type { Reporter } from "../import-report.ts";
import { scalarText, textOf, textsOf } from "../tree-members.ts";
import { credentialKinds, type KongPlugin, type KongSource, settingOf } from "./kong-source.ts";

type Saying = readonly [outcome: "changed" | "not-mapped", why: string, fix: string];

const ownLog: Saying = [
  "changed",
  "every crossing is recorded in the gateway's own log, and nothing is sent elsewhere",
  "have a shipper read the log, or scrape /metrics",
];
const ownTraces: Saying = [
  "not-mapped",
  "the plugin has nothing that stands in for it here",
  "`traceparent` of callers is passed on",
];
const transformation: Saying = [
  "not-mapped",
  "requests and answers are forwarded as they are",
  "change them at the caller or the provider",
];
const code: Saying = ["not-mapped", "no code runs in the gateway", "move it to the caller or the provider"];
const authenticates: Saying = [
  "changed",
  "callers prove themselves with a token bound to their own key (DPoP), or with a certificate",
  "make each caller a key: `sallyport client-key new`; `sallyport proxy` proves for those that cannot",
];

const sayings: Readonly<Record<string, Saying>> = {
  "ip-restriction": [
    "not-mapped",
    "addresses do not decide who may call",
    "keep it in the firewall; here the proof of the caller decides",
  ],
  "bot-detection": ["not-mapped", "user agents do not decide who may call", "nothing to do: strangers are refused"],
  "correlation-id": [
    "changed",
    "every answer has a correlation id of the gateway's own",
    "nothing to do, unless the header's name matters",
  ],
  "request-transformer": transformation,
  "request-transformer-advanced": transformation,
  "response-transformer": transformation,
  "response-transformer-advanced": transformation,
  "proxy-cache": ["not-mapped", "nothing is cached", "cache at the caller or the provider"],
  "proxy-cache-advanced": ["not-mapped", "nothing is cached", "cache at the caller or the provider"],
  "response-ratelimiting": ["not-mapped", "limits do not read answers", "write a rate per client under `limits`"],
  prometheus: [
    "changed",
    "metrics are at /metrics of the status listener, under names of their own",
    "change dashboards and alerts",
  ],
  statsd: ownLog,
  datadog: ownLog,
  "file-log": ownLog,
  "http-log": ownLog,
  "tcp-log": ownLog,
  "udp-log": ownLog,
  syslog: ownLog,
  loggly: ownLog,
  "kafka-log": ownLog,
  opentelemetry: ownTraces,
  zipkin: ownTraces,
  "pre-function": code,
  "post-function": code,
  "aws-lambda": code,
  "azure-functions": code,
  "openid-connect": authenticates,
  "ldap-auth": authenticates,
  "ldap-auth-advanced": authenticates,
  "oauth2-introspection": authenticates,
  session: authenticates,
};
const unknown: Saying = [
  "not-mapped",
  "the plugin has nothing that stands in for it here",
  "see what it did for callers or the provider before you switch",
];
/** The importer speaks of these where it maps them. */
const elsewhere = new Set([
  "acl",
  "cors",
  "rate-limiting",
  "rate-limiting-advanced",
  "request-size-limiting",
  "request-termination",
]);

/** It watches, or speaks to browsers: without it nobody reaches more. */
export function onlyWatches(name: string): boolean {
  const saying = sayings[name];
  return saying === ownLog || saying === ownTraces || ["cors", "prometheus", "correlation-id"].includes(name);
}

export function describePlugin(plugin: KongPlugin): string {
  const scope = (["consumer", "group", "route", "service"] as const).flatMap((key) =>
    plugin[key] === undefined ? [] : `${key === "group" ? "consumer group" : key} ${plugin[key]}`,
  );
  return `plugin ${plugin.name} ${scope.length === 0 ? "(global)" : `of ${scope.join(", ")}`}`;
}

export function sayPlugins(source: KongSource, report: Reporter): void {
  for (const plugin of source.disabledPlugins)
    report.lost(plugin.tree.at, describePlugin(plugin), { why: "it is disabled", fix: "" });
  const authentication = new Set(credentialKinds.values());
  for (const plugin of source.plugins) {
    const what = describePlugin(plugin);
    if (plugin.group !== undefined) {
      report.lost(plugin.tree.at, what, {
        why: "there are no groups of consumers",
        fix: "say it for each integration",
      });
      continue;
    }
    if (authentication.has(plugin.name) && scalarText(settingOf(plugin, "anonymous")) !== undefined)
      report.lost(plugin.tree.at, `anonymous of ${what}`, {
        why: "nobody calls without a proof",
        fix: "make those callers systems",
      });
    if (elsewhere.has(plugin.name)) continue;
    const [outcome, why, fix] = authentication.has(plugin.name) ? authenticates : (sayings[plugin.name] ?? unknown);
    if (outcome === "changed") report.changed(plugin.tree.at, what, { why, fix });
    else report.lost(plugin.tree.at, what, { why, fix });
  }
}

/** Keys of the file that are read, or say nothing about traffic. */
const readKeys = new Set([
  ...["_format_version", "_info", "_comment", "_transform", "_workspace", "_konnect", "_ignore", "_plugin_configs"],
  ...["services", "routes", "consumers", "plugins", "upstreams", "targets", "acls", ...credentialKinds.keys()],
]);

export function sayOtherObjects(source: KongSource, report: Reporter): void {
  for (const [key, entry] of source.root.entries)
    if (!readKeys.has(key) && !(entry.value.kind === "list" && entry.value.items.length === 0))
      report.lost(entry.keyAt, key.slice(0, 60), {
        why: "objects of this kind are not read",
        fix:
          key.includes("certificate") || key === "snis"
            ? "give the listener its certificate with `sallyport serve --tls-cert`"
            : "see what they did before you switch",
      });
  for (const { name, tree } of source.strayRoutes)
    report.lost(tree.at, `route ${name}`, { why: "it leads to no service", fix: "" });
  for (const consumer of source.consumers) {
    for (const { kind, tree } of consumer.credentials)
      report.lost(tree.at, `${kind} of consumer ${consumer.name}`, {
        why: "credentials are never copied: whoever reads an estate would have them",
        fix: "make the caller a key of its own: `sallyport client-key new`, or `sallyport dev` to begin with",
      });
    if (textsOf(consumer.tree, "groups").length > 0 || textOf(consumer.tree, "group") !== undefined)
      report.lost(consumer.tree.at, `groups of consumer ${consumer.name}`, {
        why: "there are no groups of consumers",
        fix: "say it for each integration",
      });
  }
}
