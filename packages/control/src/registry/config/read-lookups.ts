// Promises where attributes of an operation's resource are looked up, as a gateway obeys it, and that what is named there exists. Trusts the types.
// Specified in docs/attributes.md.
import type { LookupRule } from "@sallyport/protocol/snapshot/lookup-rule.ts";
import { compareText, errorAt, type Finding } from "./finding.ts";
import type { LinkedEnvironment } from "./link.ts";
import { lookupsMax } from "./lookup-schema.ts";
import { suggest } from "./nearest.ts";
import type { OperationConfig } from "./operation-config.ts";
import { type AttributeReader, type Carried, refuseSource } from "./read-attributes.ts";
import type { OperationSource } from "./system-schema.ts";
import { spotOf } from "./yaml-tree.ts";

export function readLookups(
  { tree, findings }: AttributeReader,
  at: readonly string[],
  { lookups, attributes }: Pick<OperationSource, "lookups" | "attributes">,
  carried: Carried,
): Pick<OperationConfig, "lookups"> {
  const entries = Object.entries(lookups).sort(([a], [b]) => compareText(a, b));
  if (entries.length === 0) return {};
  const say = (path: readonly string[], message: string, fix: string): void => {
    findings.push(errorAt(spotOf(tree, [...at, "lookups", ...path], "key"), message, fix));
  };
  if (entries.length > lookupsMax) say([], `more than ${lookupsMax} lookups`, "look up less for one crossing");
  const used = new Set(
    Object.values(attributes).flatMap(({ from }) => (from.from === "lookup" ? [from.name.split(":")[0]] : [])),
  );
  const read = entries.map(([name, { operation, with: given, timeout, keep, keepMissing }]): [string, LookupRule] => {
    if (!used.has(name))
      say(
        [name],
        "no attribute comes from this lookup",
        `write an attribute with \`lookup:${name}:$.member\`, or remove it`,
      );
    for (const [parameter, source] of Object.entries(given))
      findings.push(
        ...refuseSource(spotOf(tree, [...at, "lookups", name, "with", parameter]), source, {
          ...carried,
          unanswered: "it is looked up before there is one",
          lookups: [],
        }),
      );
    const [system = "", ...rest] = operation.split(":");
    const sources = Object.entries(given).map(([parameter, source]) => [
      parameter,
      { ...source, type: "string" as const },
    ]);
    return [
      name,
      {
        system,
        operation: rest.join(":"),
        with: Object.fromEntries(sources),
        timeoutMs: timeout,
        keepMs: keep,
        missMs: keepMissing,
      },
    ];
  });
  return { lookups: Object.fromEntries(read) };
}

/** What lookups name has to be a read of a system of the same environment, with exactly the parameters that are given. */
export function linkLookups(environment: LinkedEnvironment): void {
  for (const { config, tree, findings } of environment.systems.values())
    for (const { name: asking, lookups = {} } of config?.operations ?? [])
      for (const [name, rule] of Object.entries(lookups)) {
        const spot = tree === null ? null : spotOf(tree, ["operations", asking, "lookups", name, "operation"]);
        const wrong = refuseTarget(rule, environment);
        if (spot !== null && wrong !== null) findings.push(errorAt(spot, wrong.message, wrong.fix));
      }
}

function refuseTarget(rule: LookupRule, { systems }: LinkedEnvironment): Pick<Finding, "message" | "fix"> | null {
  const system = systems.get(rule.system);
  if (system === undefined)
    return { message: `there is no system \`${rule.system}\` here`, fix: suggest(rule.system, systems.keys()) };
  // Why it is broken is said at its own place; nothing can be looked up there.
  if (system.config === null) return { message: `\`${rule.system}\` is not served`, fix: "mend it first" };
  const target = system.config.operations.find(({ name }) => name === rule.operation);
  if (target === undefined)
    return {
      message: `\`${rule.system}\` has no operation \`${rule.operation}\``,
      fix: suggest(
        rule.operation,
        system.config.operations.map(({ name }) => name),
      ),
    };
  if (target.method !== "GET" || target.webSocket !== undefined || target.grpc !== undefined)
    return { message: "what is looked up is a read, with GET", fix: "name such an operation" };
  if (system.config.upstream?.signed === true)
    return {
      message: `\`${rule.system}\` wants signed requests, and a look is not signed`,
      fix: "name an operation of another system",
    };
  if (system.config.upstream?.nextHop !== undefined)
    return {
      message: `\`${rule.system}\` wants a token of its own, and a look has none`,
      fix: "name an operation of another system",
    };
  if (
    target.response !== undefined &&
    target.response.contentType !== "application/json" &&
    !/\+json$/.test(target.response.contentType)
  )
    return {
      message: `its answers are ${target.response.contentType}, and no JSON`,
      fix: "name an operation that answers with JSON",
    };
  const needed = [...target.path.matchAll(/\{(\w+)\}/g)].map(([, parameter = ""]) => parameter);
  const given = Object.keys(rule.with);
  const off = [...needed.filter((one) => !given.includes(one)), ...given.filter((one) => !needed.includes(one))];
  return off.length === 0
    ? null
    : {
        message: `its path is ${target.path}, and \`with\` gives ${given.length === 0 ? "nothing" : given.join(", ")}`,
        fix: "give exactly the parameters of the path under `with`",
      };
}
