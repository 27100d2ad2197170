// Promises the data-plane store at a place: SQLite beside the gateway's other state, or a PostgreSQL schema that the gateways of one environment and region
// share. Trusts kernel/store, which is loaded when a store is opened and not before. Specified in docs/idempotency.md "The data-plane store".
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { StorePlace } from "@sallyport/kernel/store/open.ts";
import type { DataStorePort } from "./data-plane.ts";
import type { DataPlaneCommands } from "./store-commands.ts";

/** A crossing waits for it: what takes longer is a denial. */
const connectTimeoutMs = 2_000;
const statementTimeoutMs = 4_000;
const lockTimeoutMs = 3_000;
/** Bound of the SQLite file. */
export const databaseBytesMax = 16 * 1024 ** 3;

export function dataStoreAt(
  place: StorePlace,
  ports: { readonly clock: Clock; readonly random: Random },
): DataStorePort {
  return {
    dialect: "path" in place ? "sqlite" : "postgres",
    open: async () => {
      const { openStore } = await import("@sallyport/kernel/store/open.ts");
      const commands = new URL("./store-commands.ts", import.meta.url);
      const bounds = "path" in place ? { databaseBytesMax } : { connectTimeoutMs, statementTimeoutMs, lockTimeoutMs };
      return openStore<DataPlaneCommands>({ ...bounds, ...place, ...ports, commands });
    },
  };
}
