// Promises the private key of a certificate that gateways show to providers, from a folder of this machine that others cannot read: found by its public half,
// so that no name can point at the wrong one, and read again when the folder changes. Trusts the file system's modes. Specified in docs/dial.md (certificates
// of ours).
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { spkiHash } from "@sallyport/kernel/x509/certificate.ts";

const keyBytesMax = 64 * 1024;
const keysMax = 1_000;
/** What did not change is not looked at more often. */
const lookMs = 1_000;

export interface UpstreamKeys {
  /** PEM of the key whose public half has this hash (`spkiOf`); null: it is not here. */
  keyFor(spki: string): string | null;
}

export interface FolderOptions {
  readonly directory: string;
  readonly monotonic: () => number;
  /** Of a file that could not be read after the start; what was read before stands. */
  readonly warn: (fields: object, message: string) => void;
}

/** SHA-256 of a public key's SPKI, base64. */
export const spkiOf = (key: KeyObject): string => spkiHash(key.export({ format: "der", type: "spki" }));

/** Reads the folder. Throws for one that is not there, and for a file in it that others can read or that is no private key. */
export function openUpstreamKeys(options: FolderOptions): UpstreamKeys {
  let read = readFolder(options.directory);
  let lookedMs = options.monotonic();
  // Of the last try, whether or not it could be read.
  let triedMs = read.changedMs;
  const look = (isMissed: boolean): void => {
    const nowMs = options.monotonic();
    const isDue = nowMs - lookedMs >= lookMs;
    // A key that came a moment ago is there for the connection that needs it.
    if (!isDue && !isMissed) return;
    if (isDue) lookedMs = nowMs;
    try {
      const changed = changedMs(options.directory);
      if (changed === (isDue ? read.changedMs : triedMs) && !(isDue && isMissed)) return;
      triedMs = changed;
      read = readFolder(options.directory);
    } catch (error) {
      options.warn({ err: String(error) }, "the folder of keys for providers could not be read again");
    }
  };
  return {
    keyFor(spki) {
      look(!read.keys.has(spki));
      return read.keys.get(spki) ?? null;
    },
  };
}

interface Folder {
  readonly changedMs: number;
  /** By the hash of the public half. */
  readonly keys: ReadonlyMap<string, string>;
}

const changedMs = (directory: string): number => statSync(directory).mtimeMs;

function readFolder(directory: string): Folder {
  // Before its files: a change while they are read is seen at the next look.
  const changed = changedMs(directory);
  const names = readdirSync(directory).filter((name) => /\.(?:key|pem)$/.test(name));
  if (names.length > keysMax) throw new Error(`${directory} has more than ${keysMax} keys`);
  return { changedMs: changed, keys: new Map(names.map((name) => readKey(join(directory, name)))) };
}

function readKey(path: string): readonly [string, string] {
  const octets = readPrivateFile(path, keyBytesMax);
  if (octets === null) throw new Error(`${path} went away while it was read`);
  const pem = Buffer.from(octets).toString("latin1");
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Error(`${path} is no private key in PEM without a passphrase`);
  }
  return [spkiOf(createPublicKey(key)), key.export({ format: "pem", type: "pkcs8" }).toString()];
}
