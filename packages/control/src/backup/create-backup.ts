// Promises one encrypted file with everything control needs to serve again, of one moment, while it serves; on record before anything is read.
// Trusts the data directory and whoever may read it. Specified in docs/backup.md; bytes in docs/formats/backup.md.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BackupFault } from "@sallyport/kernel/backup/fault.ts";
import type { BackupHead, BackupManifest } from "@sallyport/kernel/backup/manifest.ts";
import type { BackupLock } from "@sallyport/kernel/backup/slots.ts";
import { type BackupWriter, writeBackup } from "@sallyport/kernel/backup/write-backup.ts";
import { type ClosedLog, closedCopy, durableLeaves, publishedLeaves } from "@sallyport/kernel/log/closed-copy.ts";
import type { Disk } from "@sallyport/kernel/log/disk.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { type LogIdentity, yearFolders } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { recordAt } from "@sallyport/kernel/log/segment-lookup.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { recipientId } from "@sallyport/kernel/seal/recipient.ts";
import { eventIds, idSeedBytes } from "@sallyport/kernel/store/event-id.ts";
import { exportStore, type StoreExport } from "@sallyport/kernel/store/export.ts";
import { openStore, type StorePlace } from "@sallyport/kernel/store/open.ts";
import { printBase64 } from "@sallyport/protocol/audit/base64.ts";
import { signNote } from "@sallyport/protocol/audit/note.ts";
import type { ControlCommands } from "../commands.ts";
import { version } from "../version.ts";
import {
  controlDirectory,
  gatewayDirectory,
  type InstallationPlace,
  type Layout,
  layoutOf,
  storeOf,
} from "./places.ts";

export interface CreateBackupOptions extends InstallationPlace {
  readonly tenant: string;
  /** File to make. */
  readonly path: string;
  readonly locks: readonly BackupLock[];
  /** Who asks, for the record. */
  readonly actor: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Bytes of the file so far; called often. */
  readonly onProgress?: (bytes: number) => void;
}

export interface CreatedBackup {
  readonly bytes: number;
  readonly manifest: BackupManifest;
}

const kekBytesMax = 64;
/** Control publishes a checkpoint every second; a disk may be slow. */
const checkpointWaitMsMax = 30_000;
const checkpointPollMs = 50;

/** Makes the backup. Faults: BackupFault, StoreFault, LogFault, SealFault; nothing is left behind then but the record of the attempt. */
export async function createBackup(options: CreateBackupOptions): Promise<CreatedBackup> {
  const { dataDirectory, path, clock, random } = options;
  const layout = layoutOf(dataDirectory);
  if (existsSync(path))
    throw new BackupFault(
      "backup-target",
      `${path} exists already, and a backup is never overwritten: name another file`,
    );
  const place = storeOf(options, layout);
  const id = eventIds(clock.now(), random.bytes(idSeedBytes))();
  const control = controlDirectory(dataDirectory, layout);
  const disk = realDisk();
  const logDirectory = join(control, "log");
  await record(place, id, options);
  const exported = await exportStore(place);
  try {
    // After the rows: what had left the outbox for the log by then is in this copy of the log.
    await settleLog(disk, logDirectory, clock);
    const log = closedCopy(disk, logDirectory);
    const head: BackupHead = {
      v: 1,
      id,
      createdAt: clock.now(),
      product: version,
      tenant: options.tenant,
      node: nodeOf(log),
      layout,
      dialect: exported.dialect,
      schema: exported.schema,
    };
    const writer = await writeBackup({
      path,
      locks: options.locks,
      head,
      random,
      sign: signerOf(disk, logDirectory, log),
    });
    return await written(writer, async () => {
      await writeStore(writer, { control, exported }, options);
      const logs = [
        ...(await writeLog(writer, { name: "control-log", log }, options)),
        ...(await writeGatewayLog(writer, { disk, layout }, options)),
      ];
      const manifest = await writer.finish({
        finishedAt: clock.now(),
        epoch: await epochOf(exported),
        tables: exported.counts,
        logs,
      });
      return { bytes: writer.bytes, manifest };
    });
  } finally {
    await exported.close();
  }
}

async function written<T>(writer: BackupWriter, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** Before a byte is read: whoever takes a copy of all keys is on record, also when it fails afterwards. */
async function record(
  place: StorePlace,
  id: string,
  { tenant, actor, locks, clock, random }: CreateBackupOptions,
): Promise<void> {
  const commands = new URL("../commands.ts", import.meta.url);
  const store = await openStore<ControlCommands>({ ...place, commands, clock, random, pendingSteps: "refuse" });
  try {
    const to = locks.map((lock) => (lock.kind === "recipient" ? recipientId(lock.publicKey) : "passphrase")).join(" ");
    await store.run("recordBackup", { tenant, backup: id, actor, to });
  } finally {
    await store.close();
  }
}

async function writeStore(
  writer: BackupWriter,
  { control, exported }: { readonly control: string; readonly exported: StoreExport },
  options: CreateBackupOptions,
): Promise<void> {
  await writer.part("store", observed(exported.content(), writer, options));
  const kek = readPrivateFile(join(control, "kek.key"), kekBytesMax);
  if (kek === null)
    throw new BackupFault("backup-source", `${control}/kek.key is gone: nothing sealed could be opened again`);
  await writer.part("kek.key", [kek]);
  kek.fill(0);
}

async function* observed(
  content: AsyncIterable<Uint8Array>,
  writer: BackupWriter,
  { onProgress }: CreateBackupOptions,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const bytes of content) {
    yield bytes;
    onProgress?.(writer.bytes);
  }
}

async function writeLog(
  writer: BackupWriter,
  { name, log }: { readonly name: "control-log" | "gateway-log"; readonly log: ClosedLog },
  { onProgress }: CreateBackupOptions,
): Promise<BackupManifest["logs"]> {
  for (const file of log.files()) {
    await writer.part(`${name}/${file.path}`, [file.bytes]);
    onProgress?.(writer.bytes);
  }
  return log.origins.map(({ folder, origin, size, root }) => ({
    folder: `${name}/${folder}`,
    origin,
    size,
    root: printBase64(root),
  }));
}

async function writeGatewayLog(
  writer: BackupWriter,
  { disk, layout }: { readonly disk: Disk; readonly layout: Layout },
  options: CreateBackupOptions,
): Promise<BackupManifest["logs"]> {
  const directory = join(gatewayDirectory(options.dataDirectory), "log");
  if (layout !== "all" || yearFolders(disk.list(directory)).length === 0) return [];
  await settleLog(disk, directory, options.clock);
  return writeLog(writer, { name: "gateway-log", log: closedCopy(disk, directory) }, options);
}

/** Waits until a published checkpoint covers every leaf that is durable now; a log that nobody has open is recovered as a start would. */
async function settleLog(disk: Disk, directory: string, clock: Clock): Promise<void> {
  const due = durableLeaves(disk, directory);
  if (publishedLeaves(disk, directory) >= due && due > 0) return;
  const unlock = disk.lock(join(directory, "lock"));
  if (unlock !== null) {
    unlock();
    Log.open({ disk, directory, identity: identityOf(disk, directory), now: () => clock.now() }).close();
    return;
  }
  const deadline = clock.monotonic() + checkpointWaitMsMax;
  while (publishedLeaves(disk, directory) < due) {
    if (clock.monotonic() > deadline)
      throw new BackupFault(
        "backup-source",
        `${directory} published no checkpoint over its ${due} leaves in ${checkpointWaitMsMax / 1000} s: sallyport status and the log of control say what it waits for`,
      );
    await delay(checkpointPollMs);
  }
}

/** Who wrote this log: its origin line and its first leaf say so. */
function identityOf(disk: Disk, directory: string): LogIdentity {
  const year = yearFolders(disk.list(directory)).at(-1);
  const folder = join(directory, String(year));
  const origin = closedCopy(disk, directory).origins.at(-1)?.origin ?? "";
  const [tenant = "", environment = "", node = "", role = ""] = origin.split("/").slice(-5);
  const first = recordAt({ disk, directory: folder, origin }, 0);
  const { region = "default" } =
    first === null ? {} : (JSON.parse(Buffer.from(first.leaf).toString("latin1")) as { region?: string }); // as: a leaf is JSON
  return { tenant, environment, region, node, role: role === "gateway" ? "gateway" : "control", version };
}

function nodeOf(log: ClosedLog): string {
  return log.origins.at(-1)?.origin.split("/").at(-3) ?? "";
}

/** The note of docs/formats/backup.md "Signature", by the key of control's log. */
function signerOf(disk: Disk, directory: string, log: ClosedLog): (text: string) => string {
  const key = loadLogKey(disk, directory);
  const name = log.origins.at(-1)?.origin ?? "";
  return (text) => signNote(sha256, text, { name, publicKey: key.publicKey, sign: key.sign });
}

async function epochOf(exported: StoreExport): Promise<number> {
  const [row] = await exported.read("SELECT coalesce(max(epoch), 0) FROM registry_group");
  return Number(row?.[0] ?? 0);
}
