// Promises the key pair a backup is encrypted to, as text that a slip of the pen cannot change into another key. Trusts the private file's mode.
// Specified in docs/formats/backup.md "Keys".
import { createHash } from "node:crypto";
import type { Random } from "../ports.ts";
import { readPrivateFile, writePrivateFile } from "../seal/key-file.ts";
import { createRecipientKeyPair, createRecipientOpener, type RecipientOpener } from "../seal/recipient.ts";
import { Secret } from "../seal/secret.ts";
import { BackupFault } from "./fault.ts";

const keyFileBytesMax = 4_096;
const publicForm = /^sallyport-backup-([A-Za-z0-9_-]{43})-([0-9a-f]{8})$/;
const privateForm = /^sallyport-backup-private-([A-Za-z0-9_-]{43})$/;

function checkOf(publicKey: Uint8Array): string {
  return createHash("sha256").update("sallyport/backup-recipient/v1").update(publicKey).digest("hex").slice(0, 8);
}

/** The recipient as text: public, made to be copied. */
export function printRecipient(publicKey: Uint8Array): string {
  return `sallyport-backup-${Buffer.from(publicKey).toString("base64url")}-${checkOf(publicKey)}`;
}

/** Raw X25519 public key. Faults: `backup-key`. */
export function parseRecipient(text: string): Uint8Array {
  const match = publicForm.exec(text.trim());
  const raw = match?.[1] === undefined ? null : new Uint8Array(Buffer.from(match[1], "base64url"));
  // Printed again it must be the same text: the last character has two bits that decoding ignores.
  if (raw === null || raw.length !== 32 || printRecipient(raw) !== text.trim())
    throw new BackupFault(
      "backup-key",
      "the recipient is not one: it begins with sallyport-backup- and ends in eight digits that check it; `sallyport backup key new` prints it, copy it whole",
    );
  return raw;
}

/** Makes a pair: the private half into a new file (0600), the recipient returned. Faults: SealFault `key-file-unreadable`. */
export function writeBackupKey(path: string, random: Random): string {
  const { publicKey, privateKey } = createRecipientKeyPair(random);
  const recipient = printRecipient(publicKey);
  const text = privateKey.use((raw) => `sallyport-backup-private-${Buffer.from(raw).toString("base64url")}`);
  privateKey.wipe();
  const words = `# Opens every backup made for ${recipient}\n# Keep it where the backups are not; whoever has both has the installation.\n`;
  writePrivateFile(path, Buffer.from(`${words}${text}\n`), random);
  return recipient;
}

/** The private half in a file of `backup key new`. Faults: `backup-key`, and SealFault of the file. */
export function readBackupKey(path: string): RecipientOpener {
  const bytes = readPrivateFile(path, keyFileBytesMax);
  if (bytes === null) throw new BackupFault("backup-key", `there is no file ${path}; name the backup's key file`);
  const lines = Buffer.from(bytes).toString("utf8").split("\n");
  bytes.fill(0);
  const encoded = lines.map((line) => privateForm.exec(line.trim())?.[1]).find((found) => found !== undefined);
  const raw = encoded === undefined ? null : new Uint8Array(Buffer.from(encoded, "base64url"));
  if (raw === null || raw.length !== 32)
    throw new BackupFault("backup-key", `${path} is not a backup key; \`sallyport backup key new\` makes one`);
  const opener = createRecipientOpener(Secret.fromBytes(raw));
  raw.fill(0);
  return opener;
}
