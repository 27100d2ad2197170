// Promises which operation, system and client a command line means, with the nearest name where it means none. Pure.
// Trusts the loaded estate. Specified in docs/cli/call.md.
import { existsSync } from "node:fs";
import type { EnvironmentConfig, SystemConfig } from "@sallyport/control/registry/config/estate.ts";
import { suggest } from "@sallyport/control/registry/config/nearest.ts";
import type { OperationConfig } from "@sallyport/control/registry/config/operation-config.ts";
import { loadDirectory } from "../commands/check.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { clientKeyPath } from "./way.ts";

export interface Provided {
  readonly system: SystemConfig;
  readonly operation: OperationConfig;
}

/** One environment of the estate in a directory. Throws CommandEnd. */
export async function loadEnvironment(directory: string | null, name: string): Promise<EnvironmentConfig> {
  if (directory === null)
    throw new CommandEnd(
      exitCode.badUse,
      "no estate says what is offered where",
      "name its directory with --config <directory>",
    );
  const { estate } = await loadDirectory(directory);
  const environment = estate.environments.find((one) => one.name === name);
  if (environment !== undefined) return environment;
  const known = estate.environments.map((one) => one.name);
  throw new CommandEnd(exitCode.badUse, `the estate has no environment ${name}`, suggest(name, known));
}

/** `billing:invoice.read`. Throws CommandEnd with the nearest name, or with what is wrong with a broken system. */
export function findOperation(environment: EnvironmentConfig, fullName: string): Provided {
  const [systemId = "", name = ""] = split(fullName);
  const system = findSystem(environment, systemId, name);
  const operation = system.operations.find((one) => one.name === name);
  if (operation !== undefined) return { system, operation };
  const all = environment.systems.flatMap((one) => one.operations.map((op) => `${one.id}:${op.name}`));
  throw new CommandEnd(
    exitCode.badUse,
    `${systemId} has no operation ${name || "(none named)"}`,
    suggest(fullName, all),
  );
}

function split(fullName: string): string[] {
  const at = fullName.indexOf(":");
  return at === -1 ? [fullName] : [fullName.slice(0, at), fullName.slice(at + 1)];
}

/** Throws CommandEnd when there is none of that id. */
export function findSystem(environment: EnvironmentConfig, id: string, operation = ""): SystemConfig {
  const system = environment.systems.find((one) => one.id === id);
  if (system !== undefined) return system;
  const broken = environment.broken.find(({ object }) => object === `system/${id}`);
  if (broken !== undefined)
    throw new CommandEnd(exitCode.no, `system ${id} is not served: ${broken.why}`, `${broken.file}:${broken.line}`);
  const offered = environment.systems.filter((one) => one.operations.some(({ name }) => name === operation));
  const fix =
    offered.length > 0
      ? `did you mean ${offered.map((one) => `${one.id}:${operation}`).join(" or ")}?`
      : suggest(
          id,
          environment.systems.map((one) => one.id),
        );
  throw new CommandEnd(exitCode.badUse, `there is no system ${id} in ${environment.name}`, fix);
}

export interface CallingClient {
  readonly system: SystemConfig;
  readonly client: string;
}

/**
 * Who calls: the system `--as` names, or the only one that is granted something of the provider and whose key lies here.
 * Throws CommandEnd when that is nobody, or more than one.
 */
export function findClient(
  environment: EnvironmentConfig,
  as: string | undefined,
  for_: { readonly provider: string | null; readonly dataDirectory: string; readonly key: string | undefined },
): CallingClient {
  if (as !== undefined) return clientOf(systemOrClient(environment, as));
  const consumers = environment.integrations
    .filter(({ to }) => for_.provider === null || to === for_.provider)
    .map(({ from }) => environment.systems.find((one) => one.id === from))
    .filter((one) => one !== undefined);
  const able = [...new Set(consumers)].filter(({ clients: [client] }) => {
    if (client === undefined) return false;
    return for_.key !== undefined || existsSync(clientKeyPath(for_.dataDirectory, client.id));
  });
  const [only, second] = able;
  if (only !== undefined && second === undefined) return clientOf(only);
  const names = (able.length > 0 ? able : consumers).map(({ id }) => `--as ${id}`).join(", ");
  throw new CommandEnd(
    exitCode.badUse,
    second === undefined ? "no consumer with a key here: nobody to call as" : "more than one consumer could call",
    names === "" ? "name the calling system with --as <system> and its key with --key <file>" : `say which: ${names}`,
  );
}

function systemOrClient(environment: EnvironmentConfig, name: string): SystemConfig {
  return (
    environment.systems.find(({ id }) => id === name) ??
    environment.systems.find(({ clients }) => clients.some(({ id }) => id === name)) ??
    findSystem(environment, name)
  );
}

/** Whose API key is presented: the key says it to the gateway, `--as` to whoever reads the answer. */
export function findHolder(environment: EnvironmentConfig, as: string | undefined): CallingClient {
  if (as === undefined)
    throw new CommandEnd(exitCode.badUse, "an API key does not say here whose it is", "name its system with --as");
  const system = systemOrClient(environment, as);
  return { system, client: system.clients[0]?.id ?? system.id };
}

function clientOf(system: SystemConfig): CallingClient {
  const [client] = system.clients;
  if (client !== undefined) return { system, client: client.id };
  throw new CommandEnd(
    exitCode.badUse,
    `system ${system.id} has no client that could ask for a token`,
    `add identity: { client: ${system.id}, keys: [${system.id}.jwks.json] } to ${system.declaredAt.file}; sallyport client-key new makes the key`,
  );
}
