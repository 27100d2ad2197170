// Promises where a gateway's data-plane store is: beside its other state, or in a schema of its own for each tenant, environment and region of a PostgreSQL
// database. Trusts the node's identity. Specified in docs/idempotency.md "The data-plane store".
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { DataStorePort } from "@sallyport/gateway/idempotency/data-plane.ts";
import { dataStoreAt } from "@sallyport/gateway/idempotency/open-data-store.ts";
import { systemClock, systemRandom } from "./system-ports.ts";

export interface DataStoreIdentity {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
}

/** PostgreSQL cuts longer names, so that two could become one. */
const schemaLengthMax = 63;

/** `url`: null for SQLite under `dataDirectory`. */
export function gatewayDataStore(
  { dataDirectory, dataStoreUrl: url }: { readonly dataDirectory: string; readonly dataStoreUrl: string | null },
  identity: DataStoreIdentity,
): DataStorePort {
  const place =
    url === null
      ? { path: join(dataDirectory, "data-plane", "data-plane.sqlite") }
      : { url, schema: dataStoreSchema(identity) };
  return dataStoreAt(place, { clock: systemClock, random: systemRandom });
}

/** `data_<tenant>_<environment>_<region>`, or a hash of it where that would be too long; whose it is, the store itself says. */
export function dataStoreSchema({ tenant, environment, region }: DataStoreIdentity): string {
  const name = `data_${tenant}_${environment}_${region}`.replaceAll("-", "_");
  return name.length <= schemaLengthMax ? name : `data_${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
}
