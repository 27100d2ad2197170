// Promises control plane and one gateway per environment in one process, joined by the same channel a remote gateway uses: one way, one set of tests.
// Trusts the two role files. Specified in docs/cli/serve.md.
import { join } from "node:path";
import { needsToken } from "@sallyport/gateway/join/join.ts";
import type { ServeOptions } from "../commands/serve.ts";
import { startControlRole } from "./control.ts";
import { type GatewayExtras, startGateway } from "./gateway.ts";
import type { RoleHooks } from "./role-hooks.ts";
import type { RoleLogger, RunningRole } from "./running-role.ts";
import { systemClock } from "./system-ports.ts";

/** Starts control, then the gateway of the group `--group` names (default: the only one, else production's). */
export async function startAll(
  options: ServeOptions,
  logger: RoleLogger,
  more: { readonly hooks: RoleHooks; readonly extras: GatewayExtras },
): Promise<RunningRole> {
  const controlDirectory = join(options.dataDirectory, "control");
  const control = await startControlRole({ ...options, dataDirectory: controlDirectory }, logger, more.hooks);
  try {
    const dataDirectory = join(options.dataDirectory, "gateway");
    // A token that nobody uses would stay good for a minute, and in the log for ever.
    const joinToken = needsToken(dataDirectory, systemClock.now())
      ? await control.control.joinToken(options.group)
      : null;
    const gateway = await startGateway({ ...options, dataDirectory, joinToken }, logger, {
      ...more.extras,
      controlUrl: control.control.addresses.channel,
    });
    return {
      addresses: { ...control.addresses, ...gateway.addresses },
      details: { ...control.details, ...gateway.details },
      endpoints: () => ({
        ...control.endpoints(),
        gateway: gateway.endpoints().gateway,
        // With a certificate of your own the local CA proves nothing about the listeners.
        ...(options.tls === null ? {} : { roots: { identity: control.endpoints().roots.identity, gateway: {} } }),
      }),
      standing: () => control.standing(),
      readiness: async () => {
        const [first, second] = [await control.readiness(), await gateway.readiness()];
        return { ready: first.ready && second.ready, control: first, gateway: second };
      },
      metricsText: async () => (await control.metricsText()) + (await gateway.metricsText()),
      stop: async (graceMs) => {
        await gateway.stop(graceMs);
        await control.stop(graceMs);
      },
    };
  } catch (error) {
    await control.stop(0);
    throw error;
  }
}
