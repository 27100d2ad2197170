// Promises what only a thief of control's whole data directory could sign, so that a refusal is for the one thing that is wrong and never for a
// bad signature: a token that has ended, a snapshot that has ended or is another group's. Trusts the marketplace to own that directory.
// Sealing: docs/formats/seal.md; this reads a copy of the store and writes nothing to it.
import { copyFileSync, existsSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { loadKek } from "@sallyport/kernel/seal/key-file.ts";
import { type Keyring, openKeyring } from "@sallyport/kernel/seal/keyring.ts";
import { signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import {
  openManifest,
  type SignedManifest,
  type SnapshotManifest,
  signManifest,
} from "@sallyport/protocol/snapshot/manifest.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import { nodeCrypto } from "@sallyport/sdk/node-crypto.ts";
import { claimsOf } from "./forger.ts";
import { type Marketplace, region } from "./marketplace.ts";

const tenant = "main";
const tokenLifeSeconds = 300;
/** How long ago the token ended: more than any clock may be off. */
const endedSeconds = 60;

/** The claims of a good token with an end in the past, under the signature of the real active key. */
export async function signExpiredToken(market: Marketplace, token: string): Promise<string> {
  const pem = await withStore(market, async (database, keyring) => {
    const row = database
      .prepare("SELECT kid, sealed FROM identity_key WHERE tenant = ? AND environment = ? AND state = 'active'")
      .get(tenant, "production");
    const context = { tenant, environment: "production", kid: String(row?.["kid"]) };
    return keyring.open("token-key", context, bytesOf(row?.["sealed"]));
  });
  const signer = signerFromPem(pem);
  const exp = Math.floor(Date.now() / 1000) - endedSeconds;
  const claims = { ...claimsOf(token), iat: exp - tokenLifeSeconds, exp };
  return signCompactJws({ alg: signer.alg, typ: "at+jwt", kid: signer.kid }, claims, signer);
}

/** A genuine manifest, changed, under the signature of the group's real snapshot key. */
export async function resignManifest(
  market: Marketplace,
  genuine: SignedManifest,
  change: (manifest: SnapshotManifest) => SnapshotManifest,
): Promise<SignedManifest> {
  const name = `snapshot-production-${region}`;
  const pem = await withStore(market, (database, keyring) => {
    const row = database.prepare("SELECT envelope FROM secret_sealed WHERE tenant = ? AND name = ?").get(tenant, name);
    return keyring.open("control-secret", { tenant, name }, bytesOf(row?.["envelope"]));
  });
  const signer = signerFromPem(pem);
  const key = nodeCrypto.importKey(signer.jwk);
  const opened = key === null ? null : openManifest(genuine, key);
  if (opened?.kind !== "opened") throw new Error(`the key ${name} did not sign the gateway's manifest`);
  return signManifest(change(opened.manifest), signer);
}

async function withStore(
  market: Marketplace,
  read: (database: DatabaseSync, keyring: Keyring) => Promise<Uint8Array>,
): Promise<string> {
  const from = market.directories.control;
  const copy = mkdtempSync(join(market.root, "insider-"));
  for (const suffix of ["", "-wal"]) {
    const file = `control.sqlite${suffix}`;
    if (existsSync(join(from, file))) copyFileSync(join(from, file), join(copy, file));
  }
  const kek = loadKek(join(from, "kek.key"));
  if (kek === null) throw new Error(`there is no kek.key in ${from}`);
  const database = new DatabaseSync(join(copy, "control.sqlite"));
  try {
    const keyring = await openKeyring(kek, {
      storage: { list: async () => wrappedKeys(database), insert: async () => false },
      random: { bytes: (length) => globalThis.crypto.getRandomValues(new Uint8Array(length)) },
      clock: { now: () => Date.now() },
    });
    return Buffer.from(await read(database, keyring)).toString("utf8");
  } finally {
    database.close();
  }
}

function wrappedKeys(database: DatabaseSync) {
  const rows = database.prepare("SELECT tenant, purpose, version, wrapped, created_at FROM secret_key").all();
  return rows.map((row) => ({
    tenant: String(row["tenant"]),
    purpose: String(row["purpose"]),
    version: Number(row["version"]),
    wrapped: bytesOf(row["wrapped"]),
    createdAtMs: Number(row["created_at"]),
  }));
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError("control's store holds no such key");
  return value;
}
