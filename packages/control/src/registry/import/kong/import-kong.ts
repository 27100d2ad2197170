// Promises an estate from a declarative Kong file: systems, operations, callers, grants and limits, and a report of what differs. Pure.
// Credentials are never copied. Trusts the loader to judge the result (import-source.ts). Specified in docs/import-kong.md.
import { idMax } from "../../config/bounds.ts";
import { createNames, idFrom, type Names } from "../ids.ts";
import { createReporter, type Reporter, sortEntries } from "../import-report.ts";
import type { Imported, ImportInput } from "../openapi/import-openapi.ts";
import { type WrittenFile, writeObject } from "../written-estate.ts";
import { type Grant, grantsOf } from "./kong-grants.ts";
import { describePlugin, sayOtherObjects, sayPlugins } from "./kong-plugins.ts";
import { type KongSource, readKong } from "./kong-source.ts";
import { closingPlugin, type ImportedSystem, systemsOf } from "./kong-systems.ts";

export function importKong(input: ImportInput): Imported {
  const report = createReporter();
  const source = readKong(input.root);
  const names = createNames(idMax);
  const systems = systemsOf({ source, report, names, now: input.io.now() });
  const consumers = consumerIds(source, names, report);
  const grants = grantsOf(source, systems, report);
  sayClosedPrefixes(source, systems, report);
  sayUngranted(source, grants, report);
  sayDefaults(source, { systems, grants, report });
  sayPlugins(source, report);
  sayOtherObjects(source, report);
  return {
    files: [...systems.map(systemFile), ...callerFiles(consumers, grants)],
    report: { kind: "kong", source: input.file, entries: sortEntries(report.entries) },
    call: null,
  };
}

/** Consumer at Kong -> id of its system. One with the name of a service is kept apart: whether they are one application, the file does not say. */
function consumerIds(source: KongSource, names: Names, report: Reporter): ReadonlyMap<string, string> {
  return new Map(
    source.consumers.map(({ name, tree }) => {
      const wanted = idFrom(name, "consumer");
      const first = names.take(wanted);
      const { name: id } = first.collided ? names.take(idFrom(`${wanted}-client`, "consumer")) : first;
      const what = `consumer ${name}`;
      report.mapped(tree.at, what, `system ${id} with the client ${id}`);
      if (first.collided)
        report.changed(tree.at, what, {
          why: `another system has the id \`${wanted}\`, so this one is \`${id}\``,
          fix: "if both are one application, put `identity` and `uses` into the other's file",
        });
      return [name, id] as const;
    }),
  );
}

function systemFile({ id, service, upstream, place, operations, openUntil }: ImportedSystem): WrittenFile {
  const isDefault = place.host === null && place.strip && place.path === `/${id}`;
  const visible = {
    ...(place.host === null ? {} : { host: place.host }),
    path: place.path,
    ...(place.strip ? {} : { strip: false }),
  };
  const declared = Object.fromEntries(
    operations.map(({ name, declaration }) => [
      name,
      Object.keys(declaration).length === 1 ? declaration["match"] : declaration,
    ]),
  );
  return writeObject({
    kind: "system",
    file: `systems/${id}.yaml`,
    comment: `Imported from Kong: service ${service.name.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 100)}. What that changed is in import-report.md.`,
    value: {
      system: id,
      ...placesOf(upstream),
      ...(upstream.isPrivate ? { allowPrivate: true } : {}),
      ...(upstream.retries === undefined ? {} : { retries: upstream.retries }),
      ...(isDefault ? {} : { public: visible }),
      ...(openUntil === null
        ? { operations: declared }
        : {
            passthrough: { until: openUntil, reason: "Kong asked for no proof; its operations are not declared yet" },
          }),
    },
  });
}

function placesOf({ endpoints, health }: ImportedSystem["upstream"]): object {
  const [only, ...others] = endpoints;
  if (others.length === 0) return { url: only.url };
  return {
    endpoints: endpoints.map(({ url, weight }) => (weight === 1 ? url : { url, weight })),
    ...(health === undefined ? {} : { health }),
  };
}

function callerFiles(consumers: ReadonlyMap<string, string>, grants: readonly Grant[]): readonly WrittenFile[] {
  const integrationNames = createNames(idMax);
  return [...consumers].flatMap(([consumer, id]) => {
    const own = grants.filter((grant) => grant.consumer === consumer);
    const uses: object[] = [];
    const files: WrittenFile[] = [];
    for (const { system, operations, limits, cors } of own) {
      const purpose = `Imported from Kong: ${id} may call ${system}. Say here what for`;
      const wanted = `${id}-to-${system}`;
      const { name: integration } = integrationNames.take(wanted);
      // The short form has no limits and no pages, and its id is always the same.
      if (limits === null && cors === null && integration === wanted && operations.length <= 1_000)
        uses.push({ to: system, purpose, operations });
      else
        files.push(
          writeObject({
            kind: "integration",
            file: `integrations/${integration}.yaml`,
            comment: `Imported from Kong. What that changed is in import-report.md.`,
            value: {
              ...{ integration, from: id, to: system, purpose },
              ...(limits === null ? {} : { limits }),
              ...(cors === null ? {} : { cors }),
              operations,
            },
          }),
        );
    }
    const system = writeObject({
      kind: "system",
      file: `systems/${id}.yaml`,
      comment: "Imported from Kong: a consumer. Its credentials were not copied: make it a key of its own.",
      value: { system: id, identity: { client: id }, ...(uses.length === 0 ? {} : { uses }) },
    });
    return [system, ...files];
  });
}

interface Taken {
  readonly systems: readonly ImportedSystem[];
  readonly grants: readonly Grant[];
  readonly report: Reporter;
}

/** A route served everything below its path; what is not left open serves what is declared. Says which plugin closed it. */
function sayClosedPrefixes(source: KongSource, systems: readonly ImportedSystem[], report: Reporter): void {
  for (const { id, service, place, openUntil } of systems)
    for (const { route, at, isPrefix } of place.routes) {
      if (!isPrefix || openUntil !== null) continue;
      const closing = closingPlugin(source, service, route.name);
      const because =
        closing === null
          ? ""
          : ` (not left open, because of ${describePlugin(closing)} at line ${closing.tree.at.line})`;
      report.changed(at, `route ${route.name}`, {
        why: `Kong served everything below ${place.path}; of \`${id}\` only the paths that are declared are served${because}`,
        fix: "declare its operations, for example from its OpenAPI description (`sallyport init --from`)",
      });
    }
}

function sayUngranted({ consumers }: KongSource, grants: readonly Grant[], report: Reporter): void {
  for (const { name, tree } of consumers)
    if (!grants.some(({ consumer }) => consumer === name))
      report.changed(tree.at, `consumer ${name}`, {
        why: "no route of the file knows it by its credentials and lets it in, so it is granted nothing",
        fix: "add `uses` to its system, or remove the system if nobody calls with it any more",
      });
}

/** What holds for the whole file is said once, at its beginning. */
function sayDefaults({ root }: KongSource, { systems, grants, report }: Taken): void {
  const say = (what: string, why: string, fix: string): void => report.changed(root.at, what, { why, fix });
  if (systems.length === 0) return;
  say(
    "paths",
    "a public path is whole segments: `/ord` does not serve `/orders`",
    "nothing to do, unless a route counted on it",
  );
  say(
    "bodies",
    "POST, PUT and PATCH take JSON of at most 1 MiB unless the operation says otherwise",
    "write `body: { contentType }` or `size` where callers send something else",
  );
  if (systems.some(({ upstream }) => upstream.timeout === undefined))
    say(
      "timeouts",
      "a provider has 10 s to answer; Kong's default was 60 s",
      "write `timeout` where answers take longer",
    );
  if (grants.some(({ limits }) => limits === null))
    say(
      "limits",
      "where Kong had no rate limit, each client has the default of 100/s with bursts of 200",
      "write `limits` where that is too little",
    );
}
