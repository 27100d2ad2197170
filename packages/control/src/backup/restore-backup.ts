// Promises an installation from a backup, in an empty place, in which nothing issued before is valid; whole or not there at all.
// Trusts verify-backup.ts to have judged the file first. Specified in docs/backup.md "Restoring" and "After a restore".
import { createHash } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BackupFault } from "@sallyport/kernel/backup/fault.ts";
import type { BackupManifest } from "@sallyport/kernel/backup/manifest.ts";
import { readBackup } from "@sallyport/kernel/backup/read-backup.ts";
import { completeCopy, writeCopied } from "@sallyport/kernel/log/closed-copy.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { beforeFolder } from "@sallyport/kernel/log/seam.ts";
import { writePrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { preparePrivateDirectory } from "@sallyport/kernel/store/directory.ts";
import {
  dropSchema,
  importPostgres,
  importSqlite,
  isSchemaEmpty,
  renameSchema,
} from "@sallyport/kernel/store/import.ts";
import { openStore, type StorePlace } from "@sallyport/kernel/store/open.ts";
import type { ControlCommands } from "../commands.ts";
import { assertEmpty, controlDirectory, defaultSchema, gatewayDirectory, type InstallationPlace } from "./places.ts";
import { restoreEpoch } from "./restore-epoch.ts";
import type { FenceReport } from "./store.ts";
import {
  commandsModule,
  gather,
  importOf,
  logsOf,
  partBytesMax,
  type VerifiedBackup,
  type VerifyBackupOptions,
  verifyBackup,
} from "./verify-backup.ts";

export interface RestoreOptions extends InstallationPlace, VerifyBackupOptions {
  /** `hold`: integrations wait for an operator; `keep`: they come back when their estate is applied. */
  readonly states: "hold" | "keep";
  readonly actor: string;
  /** Judge the file and the target, change nothing. */
  readonly dryRun: boolean;
}

export interface RestoreReport extends VerifiedBackup {
  readonly dryRun: boolean;
  readonly dataDirectory: string;
  readonly dialect: "sqlite" | "postgres";
  readonly epochBefore: number;
  /** In a dry run the lowest it can be. */
  readonly epoch: number;
  readonly states: "hold" | "keep";
  /** What ended. In a dry run what will, counted in the backup. */
  readonly ended: FenceReport;
  /** Origins that end here; the first leaf of the next one names the last of each log. */
  readonly logs: BackupManifest["logs"];
}

/** Restores, or says what it would do. Faults: BackupFault, StoreFault, LogFault, SealFault; the target is as it was then. */
export async function restoreBackup(options: RestoreOptions): Promise<RestoreReport> {
  const target = resolve(options.dataDirectory);
  await assertTarget({ ...options, dataDirectory: target });
  const verified = await verifyBackup(options);
  const staged = join(
    dirname(target),
    `${basename(target)}.restoring-${Buffer.from(options.random.bytes(6)).toString("hex")}`,
  );
  const staging: Staging = {
    directory: staged,
    place: options.storeUrl === null ? null : { url: options.storeUrl, schema: stagedSchema(options) },
  };
  try {
    await fill(staging, options, verified);
    const { epoch, ended } = await fence(storeIn(staging, verified.manifest), options, verified.manifest);
    if (!options.dryRun) await putInPlace(staging, target, options);
    return {
      ...verified,
      dryRun: options.dryRun,
      dataDirectory: target,
      dialect: options.storeUrl === null ? "sqlite" : "postgres",
      epochBefore: verified.manifest.epoch,
      epoch,
      states: options.states,
      ended,
      logs: verified.manifest.logs,
    };
  } finally {
    rmSync(staged, { recursive: true, force: true });
    if (staging.place !== null) await dropSchema(staging.place.url, staging.place.schema).catch(() => undefined);
  }
}

interface Staging {
  readonly directory: string;
  /** PostgreSQL, or null. */
  readonly place: { readonly url: string; readonly schema: string } | null;
}

function stagedSchema({ storeSchema = defaultSchema, random }: RestoreOptions): string {
  return `${storeSchema.slice(0, 40)}_restoring_${Buffer.from(random.bytes(4)).toString("hex")}`;
}

async function assertTarget({
  dataDirectory,
  storeUrl,
  storeSchema = defaultSchema,
}: InstallationPlace): Promise<void> {
  assertEmpty(dataDirectory);
  if (!existsSync(dirname(dataDirectory)))
    throw new BackupFault("backup-target", `${dirname(dataDirectory)} does not exist: make it, or name another place`);
  if (storeUrl === null || (await isSchemaEmpty(storeUrl, storeSchema))) return;
  throw new BackupFault(
    "backup-target",
    `the schema ${storeSchema} of that database has tables: a restore never writes over anything. Name another database, or rename the schema (ALTER SCHEMA ${storeSchema} RENAME TO ${storeSchema}_old)`,
  );
}

function storeIn({ directory, place }: Staging, { layout }: BackupManifest): StorePlace {
  return place ?? { path: join(controlDirectory(directory, layout), "control.sqlite") };
}

async function fill(staging: Staging, options: RestoreOptions, verified: VerifiedBackup): Promise<void> {
  const { directory, place } = staging;
  const { layout } = verified.manifest;
  const control = controlDirectory(directory, layout);
  const disk = realDisk();
  preparePrivateDirectory(control);
  const folderOf = (name: string) =>
    join(name === "gateway-log" ? gatewayDirectory(directory) : control, "log", beforeFolder);
  for (const name of logsOf(verified.manifest)) mkdirSync(folderOf(name), { recursive: true, mode: 0o700 });
  const { manifest } = await readBackup(options.path, options.unlock, {
    part: async (name, content, head) => {
      const [log = "", ...rest] = name.split("/");
      if (name === "store" && place !== null) await importPostgres(place, importOf(head, content, options.clock));
      else if (name === "store")
        await importSqlite(join(control, "control.sqlite"), importOf(head, content, options.clock));
      else if (name === "kek.key") writePrivateFile(join(control, name), await gather(content, 32), options.random);
      else writeCopied(disk, folderOf(log), rest.join("/"), await gather(content, partBytesMax));
    },
  });
  if (digestOf(manifest) !== digestOf(verified.manifest))
    throw new BackupFault(
      "backup-damaged",
      `${options.path} changed while it was being read: it is not the file that was judged`,
    );
  for (const name of logsOf(manifest)) completeCopy(disk, folderOf(name));
}

function digestOf(manifest: BackupManifest): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

async function fence(
  place: StorePlace,
  options: RestoreOptions,
  manifest: BackupManifest,
): Promise<{ readonly epoch: number; readonly ended: FenceReport }> {
  const { clock, random, states, actor } = options;
  const store = await openStore<ControlCommands>({ ...place, commands: commandsModule, clock, random });
  try {
    const highest = await store.run("highestNumber", null);
    const epoch = restoreEpoch(clock.now(), random.bytes(2), highest);
    const { tenant, id: backup, createdAt: backupAt } = manifest;
    return { epoch, ended: await store.run("fenceRestore", { tenant, epoch, backup, backupAt, states, actor }) };
  } finally {
    await store.close();
  }
}

/** The store first: a directory without it would be taken for a new installation. */
async function putInPlace(staging: Staging, target: string, options: RestoreOptions): Promise<void> {
  await assertTarget({ ...options, dataDirectory: target });
  const { place } = staging;
  if (place !== null) await renameSchema(place.url, place.schema, options.storeSchema ?? defaultSchema);
  if (existsSync(target)) rmdirSync(target);
  renameSync(staging.directory, target);
  if (process.platform === "win32") return;
  const folder = openSync(dirname(target), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
