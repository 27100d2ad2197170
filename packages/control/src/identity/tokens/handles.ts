// Promises that a token whose audience wants it so leaves as a handle, and that the handle leads back to it here alone, in its environment, until its end.
// Trusts the keyring and the store. Envelope: docs/formats/seal.md, purpose `token-handle`. Specified in docs/identity/token-forms.md "Handles".
import { hash } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { Command, CommandTable, Store } from "@sallyport/kernel/store/port.ts";
import { isHandle, printHandle } from "@sallyport/protocol/token/handle.ts";
import type { Place } from "../store.ts";

const purpose = "token-handle";
const purgeMax = 1_000;

export const handleMigrations: readonly Migration[] = [
  {
    capability: "token-handles",
    version: 1,
    name: "tokens behind handles",
    up: (t) => [
      `CREATE TABLE token_handle (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, digest ${t.text} NOT NULL, expires_at ${t.integer} NOT NULL,
        sealed ${t.blob} NOT NULL, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
      "CREATE INDEX token_handle_expires ON token_handle (expires_at)",
    ],
  },
];

export interface HandleName extends Place {
  /** base64url SHA-256 of the handle. */
  readonly digest: string;
}

/** Keeps a token under a handle nobody has used. */
const keepHandle: Command<HandleName & { readonly expiresAt: number; readonly sealed: Uint8Array }, null> = {
  audit: { bookkeeping: "the token behind the handle is its own record" },
  *body({ tenant, environment, digest, expiresAt, sealed }) {
    yield {
      sql: "INSERT INTO token_handle (tenant, environment, digest, expires_at, sealed) VALUES (?, ?, ?, ?, ?)",
      params: [tenant, environment, digest, expiresAt, sealed],
    };
    return null;
  },
};

/** The sealed token of a handle in its time; null: there is none. */
const readHandle: Command<HandleName, Uint8Array | null> = {
  audit: null,
  *body({ tenant, environment, digest }, { now }) {
    const [row] = yield {
      sql: "SELECT sealed FROM token_handle WHERE tenant = ? AND environment = ? AND digest = ? AND expires_at > ?",
      params: [tenant, environment, digest, now],
    };
    const sealed = row?.["sealed"];
    return sealed instanceof Uint8Array ? sealed : null;
  },
};

/** Forgets at most 1,000 handles whose tokens have ended; returns how many. */
const purgeHandles: Command<null, number> = {
  audit: { bookkeeping: "handles whose tokens have ended" },
  *body(_input, { now }) {
    const name = "tenant, environment, digest";
    const gone = yield {
      sql: `DELETE FROM token_handle WHERE (${name}) IN (SELECT ${name} FROM token_handle WHERE expires_at < ? LIMIT ${purgeMax}) RETURNING 1 AS one`,
      params: [now],
    };
    return gone.length;
  },
};

export const handleCommands = { keepHandle, readHandle, purgeHandles } satisfies CommandTable;
export type HandleCommands = typeof handleCommands;

export interface HandlePorts {
  readonly place: Place;
  readonly store: Pick<Store<HandleCommands>, "run">;
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly random: Random;
  readonly clock: Clock;
}

export class TokenHandles {
  readonly #ports: HandlePorts;

  constructor(ports: HandlePorts) {
    this.#ports = ports;
  }

  /** A new handle for a token until `expiresAt` (milliseconds since the epoch). Rejects when it cannot be kept: then nothing may leave. */
  async keep(token: string, expiresAt: number): Promise<string> {
    const { place, store, keyring, random } = this.#ports;
    const handle = printHandle(random.bytes(32));
    const digest = hash("sha256", handle, "base64url");
    const sealed = await keyring.seal(purpose, this.#context(digest), Buffer.from(token));
    await store.run("keepHandle", { ...place, digest, expiresAt, sealed });
    return handle;
  }

  /** The token behind the handle of this digest; null: none in its time, in this environment. Rejects when the store fails. */
  async open(digest: string): Promise<string | null> {
    const { place, store, keyring } = this.#ports;
    const sealed = await store.run("readHandle", { ...place, digest });
    if (sealed === null) return null;
    return Buffer.from(await keyring.open(purpose, this.#context(digest), sealed)).toString();
  }

  /** The token behind a handle as it was presented; null for one that leads nowhere. */
  async read(text: string): Promise<string | null> {
    return isHandle(text) ? this.open(hash("sha256", text, "base64url")) : null;
  }

  #context(digest: string) {
    const { tenant, environment } = this.#ports.place;
    return { tenant, environment, object: `handle/${digest}` };
  }
}
