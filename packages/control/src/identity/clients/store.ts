// Promises what a client may prove itself with, beyond what its file declares: public keys and digests of secrets, each with its dates and its end.
// Trusts the store to run each command in one transaction. A secret itself is never here. Specified in docs/identity/client-authentication.md.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { actStatement } from "@sallyport/kernel/store/outbox.ts";
import type { Command, CommandContext, CommandTable, Row, Statement } from "@sallyport/kernel/store/port.ts";
import { anyTokenEndMs, appendRevocation } from "../revoke.ts";
import { keptKeysCommands, keptKeysTable } from "../trust/kept-keys.ts";

/** One in use and the one that follows it: more would be keys nobody watches. */
export const liveSecretsMax = 2;
export const liveKeysMax = 8;
/** How long what has ended stays in the list. */
const endedKeptMs = 90 * 86_400_000;
const rowsMax = 50_000;
const publishedKeys = { table: "clients_published", owner: "client", action: "client.keys" } as const;

export const clientsMigrations: readonly Migration[] = [
  {
    capability: "clients",
    version: 1,
    name: "client keys and digests of client secrets",
    up: (t) => [
      `CREATE TABLE clients_seq (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, seq ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment)) ${t.table}`,
      `CREATE TABLE clients_secret (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, client ${t.text} NOT NULL, id ${t.text} NOT NULL,
        digest ${t.text} NOT NULL, created_at ${t.integer} NOT NULL, not_after ${t.integer}, used_at ${t.integer}, ended_at ${t.integer},
        PRIMARY KEY (tenant, environment, client, id)) ${t.table}`,
      `CREATE TABLE clients_key (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, client ${t.text} NOT NULL, kid ${t.text} NOT NULL,
        jwk ${t.text} NOT NULL, created_at ${t.integer} NOT NULL, not_before ${t.integer}, not_after ${t.integer}, ended_at ${t.integer},
        PRIMARY KEY (tenant, environment, client, kid)) ${t.table}`,
    ],
  },
  {
    capability: "clients",
    version: 2,
    name: "keys that clients publish",
    up: (t) => [keptKeysTable(t, publishedKeys)],
  },
  {
    capability: "clients",
    version: 3,
    name: "codes by which a workload enrols its key",
    up: (t) => [
      `CREATE TABLE clients_code (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, digest ${t.text} NOT NULL, client ${t.text} NOT NULL,
        created_at ${t.integer} NOT NULL, expires_at ${t.integer} NOT NULL, key_lifetime ${t.integer}, used_at ${t.integer}, kid ${t.text},
        PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
    ],
  },
];

export interface Place {
  readonly tenant: string;
  readonly environment: string;
}

export interface OfClient extends Place {
  readonly client: string;
}

/** Who did it and why, for the record. */
export interface By {
  readonly actor: string;
  readonly reason: string;
}

/** Times are milliseconds since the epoch. */
export interface StoredSecret {
  readonly client: string;
  /** Names it to operators; says nothing about the secret. */
  readonly id: string;
  /** SHA-256 of the secret's ASCII text, base64url. */
  readonly digest: string;
  readonly createdAt: number;
  /** Null: as long as its system may use secrets. */
  readonly notAfter: number | null;
  /** The hour it was last used in; null: never, or not yet written. */
  readonly usedAt: number | null;
  /** Null while it was not ended by anybody. */
  readonly endedAt: number | null;
}

export interface StoredClientKey {
  readonly client: string;
  /** RFC 7638 thumbprint. */
  readonly kid: string;
  readonly jwk: Readonly<Record<string, string>>;
  readonly createdAt: number;
  readonly notBefore: number | null;
  readonly notAfter: number | null;
  readonly endedAt: number | null;
}

export interface StoredCredentials {
  /** Rises with every change but the time of last use; 0 before the first. */
  readonly seq: number;
  readonly secrets: readonly StoredSecret[];
  readonly keys: readonly StoredClientKey[];
}

const numberOrNull = (value: Row[string] | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);

function secretOf(row: Row): StoredSecret {
  return {
    client: String(row["client"]),
    id: String(row["id"]),
    digest: String(row["digest"]),
    createdAt: Number(row["created_at"]),
    notAfter: numberOrNull(row["not_after"]),
    usedAt: numberOrNull(row["used_at"]),
    endedAt: numberOrNull(row["ended_at"]),
  };
}

function keyOf(row: Row): StoredClientKey {
  return {
    client: String(row["client"]),
    kid: String(row["kid"]),
    // Written by addClientKey from the same type.
    jwk: JSON.parse(String(row["jwk"])) as StoredClientKey["jwk"],
    createdAt: Number(row["created_at"]),
    notBefore: numberOrNull(row["not_before"]),
    notAfter: numberOrNull(row["not_after"]),
    endedAt: numberOrNull(row["ended_at"]),
  };
}

/** Everything held for one environment, what has ended lately included; `after`: nothing but the number when it has not risen since. */
const readClientCredentials: Command<Place & { readonly after?: number }, StoredCredentials> = {
  audit: null,
  *body({ tenant, environment, after }) {
    const place = [tenant, environment];
    const [row] = yield { sql: "SELECT seq FROM clients_seq WHERE tenant = ? AND environment = ?", params: place };
    const seq = Number(row?.["seq"] ?? 0);
    if (seq === after) return { seq, secrets: [], keys: [] };
    const secrets = yield {
      sql: "SELECT * FROM clients_secret WHERE tenant = ? AND environment = ? ORDER BY client, created_at, id LIMIT ?",
      params: [...place, rowsMax],
    };
    const keys = yield {
      sql: "SELECT * FROM clients_key WHERE tenant = ? AND environment = ? ORDER BY client, created_at, kid LIMIT ?",
      params: [...place, rowsMax],
    };
    return { seq, secrets: secrets.map(secretOf), keys: keys.map(keyOf) };
  },
};

/** The next number, so that every control node takes the change up. */
function raise({ tenant, environment }: Place): Statement {
  return {
    sql: `INSERT INTO clients_seq (tenant, environment, seq) VALUES (?, ?, 1)
      ON CONFLICT (tenant, environment) DO UPDATE SET seq = clients_seq.seq + 1`,
    params: [tenant, environment],
  };
}

type Kind =
  | { readonly table: "clients_secret"; readonly name: "id" }
  | { readonly table: "clients_key"; readonly name: "kid" };

function* liveOf(
  { tenant, environment, client }: OfClient,
  kind: Kind,
  now: number,
): Generator<Statement, readonly Row[], readonly Row[]> {
  return yield {
    sql: `SELECT ${kind.name} AS name, not_after FROM ${kind.table} WHERE tenant = ? AND environment = ? AND client = ? AND ended_at IS NULL
      AND (not_after IS NULL OR not_after > ?) ORDER BY created_at, ${kind.name}`,
    params: [tenant, environment, client, now],
  };
}

/** Secrets that ended long ago are forgotten when a new one comes; keys never, so that none comes back. */
function forgetEnded({ tenant, environment, client }: OfClient, now: number): Statement {
  return {
    sql: "DELETE FROM clients_secret WHERE tenant = ? AND environment = ? AND client = ? AND coalesce(ended_at, not_after) < ?",
    params: [tenant, environment, client, now - endedKeptMs],
  };
}

export function recorded(
  context: CommandContext,
  act: OfClient & By & { readonly action: string; readonly facts: Readonly<Record<string, string | number>> },
): Statement {
  const { tenant, environment, client, actor, reason, action, facts } = act;
  return actStatement(context, {
    tenant,
    environment,
    actor,
    action,
    object: `client/${client}`,
    facts: { ...facts, reason },
  });
}

export type SecretAdded =
  | {
      readonly kind: "added";
      readonly createdAt: number;
      /** The secret it follows, and when that ends. */
      readonly follows: { readonly id: string; readonly notAfter: number } | null;
    }
  | { readonly kind: "full"; readonly live: readonly string[] };

/** Adds a secret; the one there is ends after `overlapMs`, or sooner where it was to end sooner. `full` when two are live. */
const addClientSecret: Command<
  OfClient & By & Pick<StoredSecret, "id" | "digest" | "notAfter"> & { readonly overlapMs: number },
  SecretAdded
> = {
  audit: "client.secret.add",
  *body(input, context) {
    const { tenant, environment, client, id, digest, notAfter, overlapMs } = input;
    const { now } = context;
    const live = yield* liveOf(input, { table: "clients_secret", name: "id" }, now);
    if (live.length >= liveSecretsMax) return { kind: "full", live: live.map((row) => String(row["name"])) };
    yield raise(input);
    yield forgetEnded(input, now);
    const [older] = live;
    let follows: { readonly id: string; readonly notAfter: number } | null = null;
    if (older !== undefined) {
      const until = Math.min(now + overlapMs, numberOrNull(older["not_after"]) ?? Number.MAX_SAFE_INTEGER);
      follows = { id: String(older["name"]), notAfter: until };
      yield {
        sql: "UPDATE clients_secret SET not_after = ? WHERE tenant = ? AND environment = ? AND client = ? AND id = ?",
        params: [until, tenant, environment, client, follows.id],
      };
    }
    yield {
      sql: "INSERT INTO clients_secret (tenant, environment, client, id, digest, created_at, not_after, used_at, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
      params: [tenant, environment, client, id, digest, now, notAfter],
    };
    const facts = { secret: id, ...(follows === null ? {} : { follows: follows.id, followsUntil: follows.notAfter }) };
    yield recorded(context, { ...input, action: "client.secret.add", facts });
    return { kind: "added", createdAt: now, follows };
  },
};

export type KeyAdded =
  | { readonly kind: "added" }
  | { readonly kind: "there" }
  /** It was ended here before, or belongs to somebody else: a key that was taken back does not return. */
  | { readonly kind: "spent"; readonly client: string }
  | { readonly kind: "full"; readonly live: readonly string[] };

export type NewKey = OfClient & Pick<StoredClientKey, "kid" | "jwk" | "notBefore" | "notAfter">;

/** Whether a key may come in; reads alone. `yield*` it inside a command, before `insertKey`. */
export function* judgeKey(key: NewKey, now: number): Generator<Statement, KeyAdded, readonly Row[]> {
  const { tenant, client, kid } = key;
  const [known] = yield {
    sql: "SELECT client, ended_at FROM clients_key WHERE tenant = ? AND kid = ? ORDER BY ended_at IS NULL, client LIMIT 1",
    params: [tenant, kid],
  };
  if (known !== undefined) {
    const isHere = known["client"] === client && known["ended_at"] === null;
    return isHere ? { kind: "there" } : { kind: "spent", client: String(known["client"]) };
  }
  const live = yield* liveOf(key, { table: "clients_key", name: "kid" }, now);
  if (live.length >= liveKeysMax) return { kind: "full", live: live.map((row) => String(row["name"])) };
  return { kind: "added" };
}

/** Lets one more key speak for a client; who did it is the caller's to record. */
export function* insertKey(key: NewKey, now: number): Generator<Statement, void, readonly Row[]> {
  const { tenant, environment, client, kid, jwk, notBefore, notAfter } = key;
  yield raise(key);
  yield {
    sql: "INSERT INTO clients_key (tenant, environment, client, kid, jwk, created_at, not_before, not_after, ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
    params: [tenant, environment, client, kid, JSON.stringify(jwk), now, notBefore, notAfter],
  };
}

const addClientKey: Command<NewKey & By, KeyAdded> = {
  audit: "client.key.add",
  *body(input, context) {
    const verdict = yield* judgeKey(input, context.now);
    if (verdict.kind !== "added") return verdict;
    yield* insertKey(input, context.now);
    yield recorded(context, { ...input, action: "client.key.add", facts: { kid: input.kid } });
    return verdict;
  },
};

type EndInput = OfClient & By & { readonly name: string; readonly revokeTokens: boolean };

/** A key that a client publishes and nobody added: its row is one that has ended, so that it is not believed however often it is shown. */
function endPublished(
  { tenant, environment, client, name }: EndInput,
  jwk: StoredClientKey["jwk"],
  now: number,
): Statement {
  return {
    sql: `INSERT INTO clients_key (tenant, environment, client, kid, jwk, created_at, not_before, not_after, ended_at) VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?)
      ON CONFLICT DO NOTHING RETURNING kid`,
    params: [tenant, environment, client, name, JSON.stringify(jwk), now, now],
  };
}

/** Ends one secret or key; with `revokeTokens` every token the client holds dies in the same transaction. False: there is none to end. */
function* end(
  input: EndInput & { readonly published?: StoredClientKey["jwk"] | null },
  kind: Kind,
  context: CommandContext,
): Generator<Statement, boolean, readonly Row[]> {
  const { tenant, environment, client, name, revokeTokens, published = null } = input;
  const { now } = context;
  let ended = yield {
    sql: `UPDATE ${kind.table} SET ended_at = ? WHERE tenant = ? AND environment = ? AND client = ? AND ${kind.name} = ? AND ended_at IS NULL
      RETURNING ${kind.name}`,
    params: [now, tenant, environment, client, name],
  };
  if (ended.length === 0 && published !== null) ended = yield endPublished(input, published, now);
  if (ended.length === 0) return false;
  yield raise(input);
  if (revokeTokens)
    yield* appendRevocation({
      tenant,
      environment,
      kind: "client",
      value: client,
      notBefore: now,
      // Gateways hold tokens of outside issuers that stand for the client's system against it as well.
      until: now + anyTokenEndMs,
    });
  const action = kind.table === "clients_secret" ? "client.secret.end" : "client.key.end";
  const facts = { [kind.name === "id" ? "secret" : "kid"]: name, tokensRevoked: revokeTokens ? 1 : 0 };
  yield recorded(context, { ...input, action, facts });
  return true;
}

const endClientSecret: Command<EndInput, boolean> = {
  audit: "client.secret.end",
  body: (input, context) => end(input, { table: "clients_secret", name: "id" }, context),
};

/** `published`: the client publishes this key. */
const endClientKey: Command<EndInput & { readonly published: StoredClientKey["jwk"] | null }, boolean> = {
  audit: "client.key.end",
  body: (input, context) => end(input, { table: "clients_key", name: "kid" }, context),
};

/** `usedAt` only rises: nodes write it in any order. */
const noteSecretUse: Command<OfClient & { readonly id: string; readonly usedAt: number }, null> = {
  audit: { bookkeeping: "the hour a secret was last used in; every token it led to is a record of its own" },
  *body({ tenant, environment, client, id, usedAt }) {
    yield {
      sql: "UPDATE clients_secret SET used_at = ? WHERE tenant = ? AND environment = ? AND client = ? AND id = ? AND (used_at IS NULL OR used_at < ?)",
      params: [usedAt, tenant, environment, client, id, usedAt],
    };
    return null;
  },
};

const {
  read: readPublishedKeys,
  change: changePublishedKeys,
  confirm: confirmPublishedKeys,
} = keptKeysCommands(publishedKeys);

export const clientsCommands = {
  readPublishedKeys,
  changePublishedKeys,
  confirmPublishedKeys,
  readClientCredentials,
  addClientSecret,
  addClientKey,
  endClientSecret,
  endClientKey,
  noteSecretUse,
} satisfies CommandTable;

export type ClientsCommands = typeof clientsCommands;

/** Ends every row after a restore: what was ended after the backup would live again. `yield*` it inside the restore's fence. */
export function* endRestoredCredentials(now: number): Generator<Statement, number, readonly Row[]> {
  let ended = 0;
  for (const { table, name } of [
    { table: "clients_secret", name: "id" },
    { table: "clients_key", name: "kid" },
  ]) {
    const rows = yield {
      sql: `UPDATE ${table} SET ended_at = ? WHERE ended_at IS NULL RETURNING ${name}`,
      params: [now],
    };
    ended += rows.length;
  }
  yield { sql: "DELETE FROM clients_code", params: [] };
  yield { sql: "UPDATE clients_seq SET seq = seq + 1", params: [] };
  return ended;
}
