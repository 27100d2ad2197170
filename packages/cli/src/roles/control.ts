// Promises the control plane role: an estate applied at start and on change, operators' first key, everything said at start.
// Trusts packages/control. Specified in docs/control.md.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Control, startControl } from "@sallyport/control/control.ts";
import { operatorKeyFile } from "@sallyport/control/identity/operator-key.ts";
import { loadEstate } from "@sallyport/control/registry/config/load.ts";
import { assertEstateDirectory } from "../commands/estate-directory.ts";
import type { ServeOptions } from "../commands/serve.ts";
import type { RoleEndpoints } from "./endpoints.ts";
import type { Standing } from "./reporter.ts";
import type { RoleHooks } from "./role-hooks.ts";
import type { RoleLogger, RunningRole } from "./running-role.ts";
import { systemClock, systemRandom } from "./system-ports.ts";
import { watchEstate } from "./watch-estate.ts";

const heartbeatMs = 1_000;
const rotateEveryMs = 30 * 86_400_000;

export interface RunningControl extends RunningRole {
  readonly control: Control;
}

/** Starts the control role. Throws the faults of its parts, each with its fix. */
export async function startControlRole(
  options: ServeOptions,
  logger: RoleLogger,
  hooks: RoleHooks,
): Promise<RunningControl> {
  const { checkpointCopy, archiveStore, sinks, alerts, witnesses, witnessListen } = options;
  const control = await startControl({
    tenant: "main",
    region: "default",
    dataDirectory: options.dataDirectory,
    storeUrl: options.storeUrl,
    ...{ checkpointCopy, archiveStore, sinks, alerts, witnesses, witnessListen },
    identity: {
      ...options.identity,
      url: options.identityUrl,
      ...(options.identityProxies === null ? {} : { proxies: options.identityProxies }),
    },
    geo: options.geo,
    channel: { ...options.channel, url: options.channelUrl },
    admin: { ...options.admin, url: options.adminUrl },
    clock: systemClock,
    random: systemRandom,
    logger,
    logEnded: hooks.logEnded,
    ...(hooks.sentAs === undefined ? {} : { sentAs: hooks.sentAs }),
    snapshotLifetimeMs: options.snapshotLifetimeMs,
    heartbeatMs,
    rotateEveryMs,
  });
  const { configDirectory } = options;
  let stopWatching = () => {};
  if (configDirectory !== null) {
    try {
      await applyDirectory(control, configDirectory, hooks);
    } catch (error) {
      await control.stop();
      throw error;
    }
    if (options.watch) stopWatching = watchDirectory(control, configDirectory, hooks);
  }
  const stopFollowing = followPlaces(options, logger);
  tellOperatorKey(control, logger);
  // Its operator may have moved it to where it belongs: a start line must not claim a file that is not there.
  const operatorKey = join(options.dataDirectory, operatorKeyFile);
  return {
    control,
    addresses: control.addresses,
    details: {
      ...(existsSync(operatorKey) ? { operatorKey } : {}),
      roots: join(options.dataDirectory, "ca"),
    },
    endpoints: () => endpointsOf(control, options),
    standing: () => standingOf(control),
    readiness: () => control.readiness(),
    metricsText: () => control.metricsText(),
    stop: async () => {
      stopWatching();
      stopFollowing();
      await control.stop();
    },
  };
}

/** In role all the gateway beside it looks for changes of the file. */
function followPlaces({ role, geo }: ServeOptions, logger: RoleLogger): () => void {
  return (role === "control" ? geo?.follow(logger) : undefined) ?? (() => {});
}

/** Said where somebody may look for it: once, when it is made. */
function tellOperatorKey({ operatorKey }: Control, logger: RoleLogger): void {
  if (operatorKey === null) return;
  logger.info({ operatorKey }, "the first operator key was made; it is the only way in: keep it safe");
}

function endpointsOf(control: Control, options: ServeOptions): RoleEndpoints {
  const { identity, admin, channel } = control.addresses;
  const operatorKey = join(options.dataDirectory, operatorKeyFile);
  const issuers = control.issuers();
  const root = (name: string) => join(options.dataDirectory, "ca", `${name}.pem`);
  return {
    identityUrl: identity,
    adminUrl: admin,
    channelUrl: channel,
    issuers,
    gateway: [],
    roots: {
      identity: root("control"),
      gateway: Object.fromEntries(Object.keys(issuers).map((name) => [name, root(name)])),
    },
    operatorKey: existsSync(operatorKey) ? operatorKey : null,
  };
}

async function standingOf(control: Control): Promise<Standing> {
  const { served, groups, inactive, notices, warnings } = await control.status();
  const broken = groups.flatMap(({ environment, broken }) =>
    broken.map(({ object, file, line, why }) => ({ environment, object, place: `${file}:${line}`, why })),
  );
  const waiting = inactive.map(({ id, environment, state, declaredAt }) => ({
    environment,
    object: `integration/${id}`,
    place: declaredAt,
    why: `it is ${state}. Fix: sallyport integration activate ${id} --environment ${environment}`,
  }));
  return { served, notServed: unique([...broken, ...waiting]), notices, warnings };
}

/** Groups of one environment share what is broken. */
function unique(notServed: Standing["notServed"]): Standing["notServed"] {
  return [...new Map(notServed.map((one) => [`${one.environment}/${one.object}`, one])).values()];
}

async function applyDirectory(control: Control, directory: string, hooks: RoleHooks): Promise<void> {
  // Also on a change: a directory that was just moved away must not be applied as an empty estate.
  assertEstateDirectory(directory);
  const loaded = hooks.load === undefined ? loadEstate(directory, systemClock) : hooks.load(directory);
  if (loaded !== null) hooks.applied(await control.apply(loaded), loaded);
}

function watchDirectory(control: Control, directory: string, hooks: RoleHooks): () => void {
  let applying: Promise<void> = Promise.resolve();
  return watchEstate(
    directory,
    () => {
      applying = applying
        .then(() => applyDirectory(control, directory, hooks))
        .catch((error: unknown) => hooks.applyFailed(error));
    },
    (error) => hooks.applyFailed(error),
  );
}
