// Promises each place of each service as a system with its operations, no two at one place. Pure. Trusts kong-places.ts and kong-upstream.ts.
// Specified in docs/import-kong.md "Services and routes".
import { isSamePlace } from "../../config/link.ts";
import { createNames, idFrom, type Names, operationNameFrom, operationNameMax } from "../ids.ts";
import type { Reporter } from "../import-report.ts";
import { requestShape } from "../openapi/operation-path.ts";
import { scalarText } from "../tree-members.ts";
import { type PlacedRoute, placesOf, type ServedPlace } from "./kong-places.ts";
import { describePlugin, onlyWatches } from "./kong-plugins.ts";
import { type KongPlugin, type KongService, type KongSource, pluginFor, pluginsAt, settingOf } from "./kong-source.ts";
import { sayUnusedPools } from "./kong-targets.ts";
import { hostOf, type KongUpstream, upstreamOf } from "./kong-upstream.ts";

export interface ImportedOperation {
  readonly name: string;
  /** Name of the route it came from. */
  readonly route: string;
  readonly declaration: Readonly<Record<string, unknown>>;
}

export interface ImportedSystem {
  readonly id: string;
  readonly service: KongService;
  readonly upstream: KongUpstream;
  readonly place: ServedPlace;
  readonly operations: readonly ImportedOperation[];
  /** Set where Kong let anybody call anything below the path: last day on which it stays so. Then there are no operations. */
  readonly openUntil: string | null;
}

export interface SystemsInput {
  readonly source: KongSource;
  readonly report: Reporter;
  /** Ids of systems, shared with the consumers. */
  readonly names: Names;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

type PlacedSystem = Omit<ImportedSystem, "operations" | "openUntil">;

/** How long what Kong left open stays open. */
const openDays = 90;

export function systemsOf(input: SystemsInput): readonly ImportedSystem[] {
  const { source, report } = input;
  const placed = placeSystems(input);
  const until = new Date(input.now + openDays * 86_400_000).toISOString().slice(0, 10);
  return placed.map((system) => {
    const isOpen = wasOpen(source, system, placed);
    if (!isOpen) return { ...system, openUntil: null, operations: operationsOf({ source, report }, system) };
    for (const { at, route } of system.place.routes)
      report.changed(at, `route ${route.name}`, {
        why: `anybody could call anything below ${system.place.path}, and with \`passthrough\` anybody may until ${until}`,
        fix: "declare the operations, grant them to the systems that call them, and remove `passthrough`",
      });
    return { ...system, openUntil: until, operations: [] };
  });
}

/**
 * Passing what is undeclared passes it from anybody: only where Kong asked for no proof, kept nobody and no method out, and no other
 * system has operations at the same URL does that take nothing away.
 */
function wasOpen(source: KongSource, system: PlacedSystem, all: readonly PlacedSystem[]): boolean {
  const { service, place, upstream, id } = system;
  const isShared = all.some((other) => other.id !== id && sharePlace(other.upstream, upstream));
  const isOpen = ({ route, isPrefix, anyMethod }: PlacedRoute): boolean =>
    isPrefix && anyMethod && closingPlugin(source, service, route.name) === null;
  return !isShared && place.routes.every(isOpen);
}

function sharePlace(a: KongUpstream, b: KongUpstream): boolean {
  return a.endpoints.some((one) => b.endpoints.some((other) => isSamePlace(one.url, other.url)));
}

/** The first plugin that may keep somebody away from a route; null where none does. */
export function closingPlugin(source: KongSource, service: KongService, route: string): KongPlugin | null {
  const inForce = pluginsAt(source.plugins, { service: service.name, route });
  return inForce.find(({ name }) => !onlyWatches(name)) ?? null;
}

function placeSystems({ source, report, names }: SystemsInput): readonly PlacedSystem[] {
  const taken = new Map<string, string>();
  sayUnusedPools(source, new Set(source.services.map((service) => hostOf(source, service))), report);
  return source.services.flatMap((service) => {
    const upstream = upstreamOf(source, service, report);
    if (upstream === null) return [];
    const places = placesOf(source, service, report);
    if (places.length === 0)
      report.lost(service.tree.at, `service ${service.name}`, {
        why: "no route leads to it that could be taken over",
        fix: "declare the system by hand if something calls it",
      });
    const systems = places.flatMap((place, index): readonly PlacedSystem[] => {
      const key = `${place.host ?? "*"} ${place.path}`;
      const other = taken.get(key);
      if (other !== undefined) {
        const why = `\`${other}\` stands at the same host and path already`;
        const fix = "declare its operations by hand, in one system or under another path";
        for (const { at, route } of place.routes) report.lost(at, `route ${route.name}`, { why, fix });
        return [];
      }
      const own = idFrom(service.name, "service");
      const wanted = index === 0 ? own : idFrom(`${own}-${place.routes[0]?.route.name ?? index + 1}`, "service");
      const { name: id } = names.take(wanted);
      taken.set(key, id);
      return [{ id, service, upstream, place }];
    });
    saySystems(service, systems, report);
    return systems;
  });
}

function saySystems(service: KongService, systems: readonly PlacedSystem[], report: Reporter): void {
  const what = `service ${service.name}`;
  for (const { id } of systems) report.mapped(service.tree.at, what, `system ${id}`);
  if (systems.length > 1)
    report.changed(service.tree.at, what, {
      why: `a system has one place at the gateway, so the service is ${systems.length} systems: ${systems.map(({ id }) => id).join(", ")}`,
      fix: "give it one public path when callers can be moved",
    });
}

interface PlaceInput {
  readonly service: KongService;
  readonly upstream: KongUpstream;
  readonly place: ServedPlace;
}

function operationsOf(on: { source: KongSource; report: Reporter }, input: PlaceInput): readonly ImportedOperation[] {
  const names = createNames(operationNameMax);
  const shapes = new Map<string, string>();
  for (const { anyMethod, methods, route, at } of input.place.routes)
    if (anyMethod)
      on.report.changed(at, `route ${route.name}`, {
        why: `it names no methods, so Kong served all; here ${methods.join(", ")} (HEAD goes with GET)`,
        fix: "keep those that callers use",
      });
  return input.place.routes.flatMap((placed) =>
    placed.methods.flatMap((method): readonly ImportedOperation[] => {
      const shape = requestShape(method, placed.path);
      const other = shapes.get(shape);
      if (other !== undefined) {
        if (other !== placed.route.name)
          on.report.lost(placed.at, `${method} of route ${placed.route.name}`, {
            why: `route ${other} takes the same requests`,
            fix: "",
          });
        return [];
      }
      shapes.set(shape, placed.route.name);
      const wanted = operationNameFrom(`${placed.route.name.replaceAll(".", "-")}.${method}`) ?? method.toLowerCase();
      const { name } = names.take(wanted);
      on.report.mapped(placed.at, `${method} of route ${placed.route.name}`, `operation ${name} of the system`);
      return [{ name, route: placed.route.name, declaration: declarationOf(on, { ...input, placed, method }) }];
    }),
  );
}

function declarationOf(
  on: { source: KongSource; report: Reporter },
  input: PlaceInput & { readonly placed: PlacedRoute; readonly method: string },
): Readonly<Record<string, unknown>> {
  const { placed, method, service, upstream } = input;
  const takesBody = ["POST", "PUT", "PATCH"].includes(method);
  const size = takesBody ? sizeOf(on, { service: service.name, route: placed.route.name }) : undefined;
  return {
    match: `${method} ${placed.path}`,
    ...(size === undefined ? {} : { body: { size } }),
    ...(upstream.timeout === undefined ? {} : { timeout: upstream.timeout }),
  };
}

const units: Readonly<Record<string, number>> = { megabytes: 1024 * 1024, kilobytes: 1024, bytes: 1 };
const sizeMax = 16 * 1024 * 1024;

function sizeOf(
  on: { source: KongSource; report: Reporter },
  place: { service: string; route: string },
): string | undefined {
  const plugin = pluginFor(on.source.plugins, "request-size-limiting", place);
  if (plugin === undefined) return undefined;
  const written = Number(scalarText(settingOf(plugin, "allowed_payload_size")) ?? "128");
  const unit = units[scalarText(settingOf(plugin, "size_unit")) ?? "megabytes"];
  const what = describePlugin(plugin);
  if (unit === undefined || !Number.isInteger(written) || written < 0) {
    on.report.lost(plugin.tree.at, what, { why: "its size is not a number of bytes", fix: "write `body: { size }`" });
    return undefined;
  }
  const bytes = Math.min(written * unit, sizeMax);
  if (bytes < written * unit)
    on.report.changed(plugin.tree.at, what, {
      why: "a body has at most 16 MiB here",
      fix: "send larger ones past the gateway",
    });
  else on.report.mapped(plugin.tree.at, what, "`body: { size }` of its operations");
  if (bytes % (1024 * 1024) === 0) return `${bytes / (1024 * 1024)}MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024}KiB` : `${bytes}B`;
}
