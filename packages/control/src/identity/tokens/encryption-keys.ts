// Promises the key that tokens of one environment are encrypted to: a new one each day, the one before kept while tokens under it live, private halves at
// rest only sealed. Trusts the keyring and the store. Envelope: docs/formats/seal.md, purpose `token-encryption`. docs/identity/token-forms.md "Encrypted".

import { type EncryptionKey, makeEncryptionKey } from "@sallyport/kernel/nested-token.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandTable, Store } from "@sallyport/kernel/store/port.ts";
import type { Place } from "../store.ts";

const purpose = "token-encryption";
/** Between two keys; tokens live minutes, so that the key before the newest has none left long before it goes. */
export const encryptionKeyMs = 86_400_000;

export const encryptionMigrations: readonly Migration[] = [
  {
    capability: "token-encryption",
    version: 1,
    name: "keys that tokens are encrypted to",
    up: (t) => [
      `CREATE TABLE token_encryption_key (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, kid ${t.text} NOT NULL, x ${t.text} NOT NULL, y ${t.text} NOT NULL,
        created_at ${t.integer} NOT NULL, sealed ${t.blob} NOT NULL, PRIMARY KEY (tenant, environment, kid)) ${t.table}`,
    ],
  },
];

export interface StoredKey {
  readonly kid: string;
  readonly x: string;
  readonly y: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly sealed: Uint8Array;
}

/** Keys of a place, the newest first. */
const readEncryptionKeys: Command<Place, readonly StoredKey[]> = {
  audit: null,
  *body({ tenant, environment }) {
    const rows = yield {
      sql: "SELECT kid, x, y, created_at, sealed FROM token_encryption_key WHERE tenant = ? AND environment = ? ORDER BY created_at DESC, kid LIMIT 4",
      params: [tenant, environment],
    };
    return rows.map((row) => ({
      kid: String(row["kid"]),
      x: String(row["x"]),
      y: String(row["y"]),
      createdAt: Number(row["created_at"]),
      sealed: row["sealed"] instanceof Uint8Array ? row["sealed"] : new Uint8Array(),
    }));
  },
};

/** Adds a key behind the one that was the newest and forgets those before that; false: another node was first. */
const addEncryptionKey: Command<Place & Omit<StoredKey, "createdAt"> & { readonly behind: string | null }, boolean> = {
  audit: "encryption-key.add",
  *body({ tenant, environment, kid, x, y, sealed, behind }, context) {
    const place = [tenant, environment];
    const [newest] = yield {
      sql: "SELECT kid FROM token_encryption_key WHERE tenant = ? AND environment = ? ORDER BY created_at DESC, kid LIMIT 1",
      params: place,
    };
    if ((newest?.["kid"] ?? null) !== behind) return false;
    yield {
      sql: "DELETE FROM token_encryption_key WHERE tenant = ? AND environment = ? AND kid <> ?",
      params: [...place, behind ?? ""],
    };
    yield {
      sql: "INSERT INTO token_encryption_key (tenant, environment, kid, x, y, created_at, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)",
      params: [...place, kid, x, y, context.now, sealed],
    };
    const act = { actor: "built-in", action: "encryption-key.add", object: `encryption-key/${kid}`, facts: {} };
    yield actStatement(context, { tenant, environment, ...act });
    return true;
  },
};

export const encryptionCommands = { readEncryptionKeys, addEncryptionKey } satisfies CommandTable;
export type EncryptionCommands = typeof encryptionCommands;

export interface EncryptionPorts {
  readonly place: Place;
  readonly store: Pick<Store<EncryptionCommands>, "run">;
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly clock: Clock;
}

export class EncryptionKeys {
  readonly #ports: EncryptionPorts;
  #current: StoredKey | null = null;

  constructor(ports: EncryptionPorts) {
    this.#ports = ports;
  }

  /** The key to encrypt to, made on first need and once a day. Rejects when the store fails. */
  async current(): Promise<EncryptionKey> {
    if (this.#current === null || this.#isOver(this.#current)) this.#current = await this.#renewed();
    const { kid, x, y } = this.#current;
    return { kid, jwk: { kty: "EC", crv: "P-256", x, y } };
  }

  /** PKCS #8 DER of the private half; null: this environment has no such key any more. */
  async privateKey(kid: string): Promise<Uint8Array | null> {
    const { place, store, keyring } = this.#ports;
    const found = (await store.run("readEncryptionKeys", place)).find((key) => key.kid === kid);
    return found === undefined ? null : keyring.open(purpose, this.#context(kid), found.sealed);
  }

  #isOver({ createdAt }: StoredKey): boolean {
    return this.#ports.clock.now() >= createdAt + encryptionKeyMs;
  }

  async #renewed(): Promise<StoredKey> {
    const { place, store, keyring } = this.#ports;
    const [newest] = await store.run("readEncryptionKeys", place);
    if (newest !== undefined && !this.#isOver(newest)) return newest;
    const { kid, jwk, privateKey } = makeEncryptionKey();
    const sealed = await keyring.seal(purpose, this.#context(kid), privateKey);
    privateKey.fill(0);
    await store.run("addEncryptionKey", { ...place, kid, x: jwk.x, y: jwk.y, sealed, behind: newest?.kid ?? null });
    // Ours, or that of the node that was first.
    const [now] = await store.run("readEncryptionKeys", place);
    if (now === undefined) throw new Error("a key was added and is not there");
    return now;
  }

  #context(kid: string) {
    const { tenant, environment } = this.#ports.place;
    return { tenant, environment, object: `encryption-key/${kid}` };
  }
}
