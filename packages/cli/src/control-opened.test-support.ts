// Promises a control plane of this process, over what a test names and what every other of them has in common. Trusts nothing.
import { type Control, startControl } from "@sallyport/control/control.ts";
import type { ControlOptions } from "@sallyport/control/control-options.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

interface Opening extends Partial<Omit<ControlOptions, "dataDirectory">> {
  readonly dataDirectory: string;
  readonly host?: string;
  /** Of identity, channel and admin; absent: free ones. */
  readonly ports?: readonly number[];
  /** What is logged as an error; absent: nobody listens. */
  readonly error?: (fields: object) => void;
}

/** Of tenant main on SQLite, unless something else is named. */
export function openControl({ host = "127.0.0.1", ports = [], error, ...named }: Opening): Promise<Control> {
  const [identity = 0, channel = 0, admin = 0] = ports;
  const at = (port: number) => ({ host, port, url: null });
  const nobody = () => undefined;
  return startControl({
    ...{ tenant: "main", region: "default", checkpointCopy: null, storeUrl: null },
    ...{ identity: at(identity), channel: at(channel), admin: at(admin), clock: systemClock, random: systemRandom },
    logger: { info: nobody, warn: nobody, error: error ?? nobody },
    ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
    ...named,
  });
}
