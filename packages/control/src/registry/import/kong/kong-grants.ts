// Promises who may call what, as Kong let them by name: one grant for each consumer, system, set of limits and list of pages. Pure.
// Trusts kong-access.ts for who, kong-limits.ts for how much, kong-cors.ts for which pages. Specified in docs/import-kong.md "Consumers, acl and limits".
import type { Reporter } from "../import-report.ts";
import { accessTo } from "./kong-access.ts";
import { type KongCors, keptFromPages, readCors } from "./kong-cors.ts";
import { type Limit, readLimits } from "./kong-limits.ts";
import { describePlugin } from "./kong-plugins.ts";
import { type CallPlace, type KongPlugin, type KongSource, pluginFor } from "./kong-source.ts";
import type { ImportedOperation, ImportedSystem } from "./kong-systems.ts";

export interface Grant {
  /** Name of the consumer at Kong. */
  readonly consumer: string;
  readonly system: string;
  readonly operations: readonly string[];
  /** Null: Kong had none. */
  readonly limits: readonly Limit[] | null;
  /** Null: pages of browsers may not call. */
  readonly cors: KongCors | null;
}

export function grantsOf(source: KongSource, systems: readonly ImportedSystem[], report: Reporter): readonly Grant[] {
  const grants = new Map<string, { readonly grant: Grant; readonly operations: string[] }>();
  const used = new Set<KongPlugin>();
  for (const system of systems)
    for (const route of new Set(system.operations.map((operation) => operation.route))) {
      const place: CallPlace = { service: system.service.name, route };
      const own = system.operations.filter((operation) => operation.route === route);
      const operations = own.map(({ name }) => name);
      const cors = pluginFor(source.plugins, "cors", place);
      for (const consumer of consumersOf(source, place, { system, used, report })) {
        const { limits, plugin } = limitsOf(source, { ...place, consumer });
        if (plugin !== null) used.add(plugin);
        if (cors !== undefined) used.add(cors);
        if (cors !== undefined) sayMethods(cors, own, report);
        const pages = cors === undefined ? null : readCors(cors).cors;
        const key = JSON.stringify([consumer, system.id, limits, pages]);
        const known = grants.get(key) ?? {
          grant: { consumer, system: system.id, operations: [], limits, cors: pages },
          operations: [],
        };
        known.operations.push(...operations);
        grants.set(key, known);
      }
    }
  sayUnused(source, used, report);
  return [...grants.values()].map(({ grant, operations }) => ({ ...grant, operations: [...new Set(operations)] }));
}

interface Saying {
  readonly system: ImportedSystem;
  readonly used: Set<KongPlugin>;
  readonly report: Reporter;
}

function consumersOf(source: KongSource, place: CallPlace, { system, used, report }: Saying): readonly string[] {
  const access = accessTo(source, place);
  const route = system.service.routes.find(({ name }) => name === place.route)?.tree ?? system.service.tree;
  if (access.kind === "nobody-known") {
    report.lost(route.at, `route ${place.route}`, {
      why: "anybody could call it without a proof; here nobody may before it is granted",
      fix: "add `uses` to the systems that call it",
    });
    return [];
  }
  const { consumers, acl, lists, authentication } = access;
  if (acl !== null) used.add(acl);
  if (acl !== null && lists !== null)
    report.mapped(acl.tree.at, describePlugin(acl), "grants to the consumers that it lets in");
  if (acl !== null && lists === "deny")
    report.changed(acl.tree.at, describePlugin(acl), {
      why: "a consumer that comes later is not let in by itself",
      fix: "grant each new one what it needs",
    });
  if (lists === null)
    report.changed(route.at, `route ${place.route}`, {
      why: "any consumer with a credential could call it; those of the file are granted it, one by one",
      fix: "remove the grants that nobody needs",
    });
  if (consumers.length === 0)
    report.changed(authentication[0]?.tree.at ?? route.at, `route ${place.route}`, {
      why: "no consumer of the file may call it, so nobody is granted it",
      fix: "add `uses` to the systems that call it",
    });
  return consumers.map(({ name }) => name);
}

function limitsOf(
  source: KongSource,
  place: CallPlace,
): { limits: readonly Limit[] | null; plugin: KongPlugin | null } {
  const plugin =
    pluginFor(source.plugins, "rate-limiting", place) ?? pluginFor(source.plugins, "rate-limiting-advanced", place);
  if (plugin === undefined) return { limits: null, plugin: null };
  const { limits } = readLimits(plugin, false);
  return { limits: limits.length === 0 ? null : limits, plugin };
}

function sayMethods(plugin: KongPlugin, operations: readonly ImportedOperation[], report: Reporter): void {
  const methods = operations.map(({ declaration }) => String(declaration["match"]).split(" ")[0] ?? "");
  const kept = keptFromPages(plugin, methods);
  if (kept.length > 0)
    report.changed(plugin.tree.at, describePlugin(plugin), {
      why: `a page may call what its integration grants, so ${kept.join(", ")} too, which \`methods\` kept pages from`,
      fix: "put those operations into an integration without `cors`",
    });
}

function sayCors(plugin: KongPlugin, report: Reporter): void {
  const what = describePlugin(plugin);
  const { cors, changes, losses } = readCors(plugin);
  for (const said of losses) report.lost(plugin.tree.at, what, said);
  if (cors === null) return;
  report.mapped(plugin.tree.at, what, `\`cors\` of the integrations for ${cors.origins.join(", ")}`);
  for (const said of changes) report.changed(plugin.tree.at, what, said);
}

/** Each plugin is spoken of once, however many integrations it became part of. */
function sayUnused(source: KongSource, used: ReadonlySet<KongPlugin>, report: Reporter): void {
  for (const plugin of source.plugins) {
    const what = describePlugin(plugin);
    const isLimit = plugin.name === "rate-limiting" || plugin.name === "rate-limiting-advanced";
    if (plugin.group !== undefined) continue;
    if (plugin.name === "cors" && used.has(plugin)) sayCors(plugin, report);
    else if (isLimit && used.has(plugin)) {
      const { limits, changes, losses } = readLimits(
        plugin,
        plugin.service === undefined && plugin.route === undefined,
      );
      for (const said of losses) report.lost(plugin.tree.at, what, said);
      if (limits.length === 0) continue;
      report.mapped(plugin.tree.at, what, `limits ${limits.map(({ per, rate }) => `${rate} per ${per}`).join(", ")}`);
      for (const said of changes) report.changed(plugin.tree.at, what, said);
    } else if ((isLimit || plugin.name === "acl" || plugin.name === "cors") && !used.has(plugin))
      report.lost(plugin.tree.at, what, {
        why: "it holds for nothing that was taken over: a more specific one does, or nobody is granted what it is for",
        fix: "write it into the integrations it should hold for",
      });
  }
}
