// Promises operators a look at the data-encryption keys, never at their bytes, and new versions of all of them in one transaction with its record.
// Trusts the keyring and the store. Specified in docs/formats/seal.md "Rotation".
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { Actor } from "../admin/actions.ts";
import type { SecretCommands } from "./store.ts";

/** The versions of one purpose, or of the tenant key itself (`tenant`). */
export interface DataKeyReport {
  readonly purpose: string;
  /** What seals from now on. */
  readonly version: number;
  /** When that version was made, in milliseconds since the epoch. */
  readonly since: number;
  /** Versions that only open. */
  readonly older: number;
}

export interface DataKeyActions {
  /** The tenant key first, then in ascending order of purpose. */
  dataKeys(): Promise<readonly DataKeyReport[]>;
  rotateDataKeys(actor: Actor, reason: string): Promise<readonly DataKeyReport[]>;
}

export interface DataKeyParts {
  readonly tenant: string;
  readonly store: Pick<Store<SecretCommands>, "run">;
  readonly keyring: Pick<Keyring, "rotateAll">;
}

export function createDataKeyActions({ tenant, store, keyring }: DataKeyParts): DataKeyActions {
  const dataKeys = async (): Promise<readonly DataKeyReport[]> => {
    const rows = (await store.run("listWrappedKeys", null)).filter((row) => row.tenant === tenant);
    const reports = [...Map.groupBy(rows, ({ purpose }) => purpose)].map(([purpose, versions]): DataKeyReport => {
      const newest = versions.reduce((a, b) => (b.version > a.version ? b : a));
      return { purpose, version: newest.version, since: newest.createdAtMs, older: versions.length - 1 };
    });
    const rank = ({ purpose }: DataKeyReport): string => (purpose === "tenant" ? "" : purpose);
    return reports.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  };
  return {
    dataKeys,
    rotateDataKeys: async (actor, reason) => {
      await keyring.rotateAll(tenant, (keys) => store.run("rotateDataKeys", { tenant, keys, actor, reason }));
      return dataKeys();
    },
  };
}
