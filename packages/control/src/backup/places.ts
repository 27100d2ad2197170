// Promises where everything of an installation lies below one --data directory, whichever role made it. Trusts the directory.
// Specified in docs/backup.md "What is in it".
import { existsSync, readdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { BackupFault } from "@sallyport/kernel/backup/fault.ts";
import type { StorePlace } from "@sallyport/kernel/store/open.ts";

export type Layout = "all" | "control";

/** What restore and backup are told of an installation. */
export interface InstallationPlace {
  readonly dataDirectory: string;
  /** PostgreSQL; null: SQLite in the data directory. */
  readonly storeUrl: string | null;
  readonly storeSchema?: string;
}

export const defaultSchema = "sallyport";

export function controlDirectory(dataDirectory: string, layout: Layout): string {
  return layout === "all" ? join(dataDirectory, "control") : dataDirectory;
}

export function gatewayDirectory(dataDirectory: string): string {
  return join(dataDirectory, "gateway");
}

/** Which role's directory this is. Faults: `backup-source`. */
export function layoutOf(dataDirectory: string): Layout {
  if (existsSync(join(dataDirectory, "control", "kek.key"))) return "all";
  if (existsSync(join(dataDirectory, "kek.key"))) return "control";
  throw new BackupFault(
    "backup-source",
    `${dataDirectory} holds no control plane (no kek.key): name the --data directory of role all or control. A gateway alone needs no backup: it joins again, and its log is shipped`,
  );
}

/** The store of an installation that is there. Faults: `backup-source`. */
export function storeOf({ dataDirectory, storeUrl, storeSchema }: InstallationPlace, layout: Layout): StorePlace {
  if (storeUrl !== null) return { url: storeUrl, schema: storeSchema ?? defaultSchema };
  const path = join(controlDirectory(dataDirectory, layout), "control.sqlite");
  if (!existsSync(path))
    throw new BackupFault(
      "backup-source",
      `${path} is not there: where the store is PostgreSQL, name the variable that holds its URL with --store`,
    );
  return { path };
}

/** Faults: `backup-target` unless the directory is empty or not there. */
export function assertEmpty(dataDirectory: string): void {
  const names = existsSync(dataDirectory) ? readdirSync(dataDirectory) : [];
  const [first] = names;
  if (first !== undefined)
    throw new BackupFault(
      "backup-target",
      `${dataDirectory} is not empty (${first}): a restore never writes over anything. Name a new directory, or move this one aside`,
    );
}

/** Who runs this command, for the record: there is no operator, but a user of the machine who may read the data directory. */
export function localActor(): string {
  const name = userInfo().username.replace(/[^A-Za-z0-9._-]/g, "");
  return `local:${name === "" ? "unknown" : name}`;
}
