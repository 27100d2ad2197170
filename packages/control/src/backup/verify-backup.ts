// Promises that a backup which is called good can be restored: every byte judged, its rows put into a store, its keys opened, its logs verified.
// Trusts the key it is given and nothing in the file. What is checked: docs/backup.md "Verifying".
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupFault } from "@sallyport/kernel/backup/fault.ts";
import type { BackupHead, BackupManifest } from "@sallyport/kernel/backup/manifest.ts";
import { readBackup } from "@sallyport/kernel/backup/read-backup.ts";
import type { BackupUnlock } from "@sallyport/kernel/backup/slots.ts";
import { completeCopy, writeCopied } from "@sallyport/kernel/log/closed-copy.ts";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { noteCrypto, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { readVerifierKey, verifierKeyFile } from "@sallyport/kernel/log/seam.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { kekFromBytes } from "@sallyport/kernel/seal/key-file.ts";
import { openKeyring } from "@sallyport/kernel/seal/keyring.ts";
import { SealFault } from "@sallyport/kernel/seal/seal-fault.ts";
import { StoreFault } from "@sallyport/kernel/store/fault.ts";
import { importSqlite } from "@sallyport/kernel/store/import.ts";
import { openStore } from "@sallyport/kernel/store/open.ts";
import { parseVerifierKey, verifyNote } from "@sallyport/protocol/audit/note.ts";
import type { ControlCommands } from "../commands.ts";

export interface VerifyBackupOptions {
  readonly path: string;
  readonly unlock: BackupUnlock;
  /** Verifier key of control's log, kept elsewhere: only then it is known whose backup this is. */
  readonly signer: string | null;
  readonly clock: Clock;
  readonly random: Random;
  /** Plaintext bytes judged so far. */
  readonly onProgress?: (bytes: number) => void;
}

export interface VerifiedBackup {
  readonly manifest: BackupManifest;
  /** Verifier key that signed it. */
  readonly signer: string;
  /** Was that the key that was given? */
  readonly signerGiven: boolean;
}

export const commandsModule: URL = new URL("../commands.ts", import.meta.url);
const kekBytes = 32;

/** Judges all of it. Faults: BackupFault, each naming the first bad place; nothing is left on the disk. */
export async function verifyBackup(options: VerifyBackupOptions): Promise<VerifiedBackup> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-verify-"));
  try {
    return await verifyInto(folder, options);
  } catch (error) {
    throw damage(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a store or log says of parts whose hashes are right means that they were wrong when they were written. */
function damage(error: unknown): unknown {
  const isOurs = error instanceof StoreFault || error instanceof LogFault || error instanceof SealFault;
  const isNewer = error instanceof StoreFault && (error.code === "schema-newer" || error.code === "schema-changed");
  if (!isOurs) return error;
  const code = isNewer ? "backup-newer" : "backup-damaged";
  return new BackupFault(code, `what the backup holds is not sound: ${error.message}`, error);
}

async function verifyInto(folder: string, options: VerifyBackupOptions): Promise<VerifiedBackup> {
  const disk = realDisk();
  const store = join(folder, "store", "control.sqlite");
  let kek = new Uint8Array(0);
  let counts: Readonly<Record<string, number>> = {};
  const { manifest, signature } = await readBackup(options.path, options.unlock, {
    ...(options.onProgress === undefined ? {} : { progress: options.onProgress }),
    part: async (name, content, head) => {
      if (name === "store") counts = await importSqlite(store, importOf(head, content, options.clock));
      else if (name === "kek.key") kek = await gather(content, kekBytes);
      else writeCopied(disk, folder, name, await gather(content, partBytesMax));
    },
  });
  compareCounts(manifest, counts);
  await openKeys(store, kek, manifest, options);
  kek.fill(0);
  for (const name of logsOf(manifest)) verifyLog(join(folder, name), name, manifest);
  const signer = readVerifierKey(disk, join(folder, "control-log"));
  if (signer === null || verifyNote(noteCrypto, signature, [signer]).kind !== "ok")
    throw new BackupFault("backup-damaged", "the manifest is not signed by the key of the log that is in the backup");
  return { manifest, ...judgeSigner(join(folder, "control-log"), options.signer) };
}

/** A segment and the largest frame that may end it. */
export const partBytesMax = 67_108_864 + 16_777_216;

export async function gather(content: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of content) {
    size += bytes.length;
    if (size > bytesMax) throw new BackupFault("backup-damaged", `a part is longer than ${bytesMax} bytes`);
    pieces.push(bytes);
  }
  return new Uint8Array(Buffer.concat(pieces));
}

export function importOf(head: BackupHead, content: AsyncIterable<Uint8Array>, clock: Clock) {
  const { dialect, schema } = head;
  return { commands: commandsModule, from: { dialect, schema }, now: clock.now(), content };
}

/** `control-log`, and `gateway-log` where there is one: what the manifest says of and what there are parts of. Either without the other is refused. */
export function logsOf({ logs, parts }: Pick<BackupManifest, "logs" | "parts">): readonly string[] {
  const folders = [...logs.map(({ folder }) => folder), ...parts.map(({ name }) => name)];
  return [...new Set(folders.flatMap((path) => /^(?:control|gateway)-log(?=\/)/.exec(path)?.[0] ?? []))];
}

function compareCounts(manifest: BackupManifest, counts: Readonly<Record<string, number>>): void {
  const names = new Set([...Object.keys(manifest.tables), ...Object.keys(counts)]);
  for (const name of names)
    if (manifest.tables[name] !== counts[name])
      throw new BackupFault(
        "backup-damaged",
        `the manifest says ${manifest.tables[name] ?? "nothing"} of rows of ${name}, there are ${counts[name] ?? "none"}`,
      );
}

/** The KEK opens the keys of the store, and one of them a secret: a backup with another's KEK would restore to nothing. */
async function openKeys(
  path: string,
  kek: Uint8Array,
  { tenant }: BackupManifest,
  { clock, random }: VerifyBackupOptions,
): Promise<void> {
  const store = await openStore<ControlCommands>({ path, commands: commandsModule, clock, random });
  try {
    const keyring = await openKeyring(kekFromBytes(kek, "the KEK in the backup"), {
      storage: { list: () => store.run("listWrappedKeys", null), insert: (key) => store.run("insertWrappedKey", key) },
      random,
      clock,
    });
    keyring.openAll();
    const ring = await keyring.ring(tenant, "control-secret");
    const name = "log-references";
    const sealed = await store.run("readSealed", { tenant, name });
    if (sealed === null) throw new BackupFault("backup-damaged", "the store has no key of its log references");
    (await ring.open({ name }, sealed)).fill(0);
  } finally {
    await store.close();
  }
}

function verifyLog(directory: string, name: string, manifest: BackupManifest): void {
  const disk = realDisk();
  completeCopy(disk, directory);
  const verifierKey = verifierText(directory);
  // Crossings under way when it was taken are open; the log that goes on ends them.
  const report = verifyLogDirectory(directory, { verifierKey, live: true });
  const { firstBad } = report;
  if (firstBad !== null) throw new BackupFault("backup-damaged", `${name}: ${firstBad.message}`);
  const found = report.origins.map(
    ({ origin, size, root }) => `${origin} ${size} ${Buffer.from(root ?? "", "hex").toString("base64")}`,
  );
  const said = manifest.logs
    .filter(({ folder }) => folder.startsWith(`${name}/`))
    .map((end) => `${end.origin} ${end.size} ${end.root}`);
  if (found.join("\n") !== said.join("\n"))
    throw new BackupFault("backup-damaged", `${name} ends elsewhere than the manifest says`);
}

function verifierText(directory: string): string {
  const bytes = realDisk().open(join(directory, verifierKeyFile), "read");
  try {
    return bytes.read(0, 4_096).toString("utf8").trim();
  } finally {
    bytes.close();
  }
}

function judgeSigner(directory: string, given: string | null): Pick<VerifiedBackup, "signer" | "signerGiven"> {
  const signer = verifierText(directory);
  if (given === null) return { signer, signerGiven: false };
  const [wanted, found] = [parseVerifierKey(sha256, given.trim()), parseVerifierKey(sha256, signer)];
  if (wanted === null)
    throw new BackupFault("backup-signer", "the signer is not a verifier key of the form <origin>+<key id>+<base64>");
  // Years of one log differ in the name alone.
  if (found === null || Buffer.compare(wanted.publicKey, found.publicKey) !== 0)
    throw new BackupFault(
      "backup-signer",
      `this backup was signed by ${signer}, not by the key you gave: it is another installation's, or somebody made it up`,
    );
  return { signer, signerGiven: true };
}
