// Promises what a control plane is started with. Trusts whoever starts it. Described in docs/control.md and docs/cli/serve.md.
import type { GeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { DirectoryPorts } from "@sallyport/kernel/store/directory.ts";
import type { TrustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import type { SinkSettings } from "./audit/export/sink-settings.ts";
import type { ArchiveStoreConfig } from "./audit/keeping/store-file.ts";
import type { Place } from "./listener-place.ts";
import type { LoadedEstate } from "./registry/config/estate.ts";
import type { AlertSettings } from "./watch/alerts/alert-settings.ts";

export interface ControlOptions {
  readonly tenant: string;
  readonly region: string;
  readonly dataDirectory: string;
  /** Of files sent by operators: as this control serves them; absent: as they stand. */
  readonly sentAs?: (loaded: LoadedEstate) => LoadedEstate;
  readonly storeUrl: string | null;
  /** Schema in that PostgreSQL database; absent: `sallyport`. */
  readonly storeSchema?: string;
  readonly checkpointCopy: string | null;
  readonly archiveStore?: ArchiveStoreConfig | null;
  /** Where copies of the log go; absent: nowhere. */
  readonly sinks?: readonly SinkSettings[];
  /** Who is told of findings; absent: nobody. */
  readonly alerts?: readonly AlertSettings[];
  /** Outside witnesses of control's log; absent: none. */
  readonly witnesses?: readonly OutsideWitness[];
  /** Where strangers have their logs cosigned; absent or null: nowhere. */
  readonly witnessListen?: { readonly host: string; readonly port: number } | null;
  /** `proxies`: whose word about addresses counts; absent: nobody's. */
  readonly identity: Place & { readonly proxies?: TrustedProxies };
  readonly channel: Place;
  readonly admin: Place;
  /** Where addresses are, for policies about tokens; absent or null: nobody knows. */
  readonly geo?: GeoFile | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  readonly snapshotLifetimeMs: number;
  /** The log's disk failed: nothing is recorded any more, so the process should end. */
  readonly logEnded?: (fault: Error) => void;
  readonly heartbeatMs: number;
  readonly rotateEveryMs: number;
  /** For tests: what statfs would say of the data directory. */
  readonly directory?: DirectoryPorts;
}
