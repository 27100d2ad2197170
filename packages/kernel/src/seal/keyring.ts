// Promises KEK -> tenant -> purpose keys: each is random, versioned and stored only wrapped; the newest version seals, all open.
// Trusts the KEK and the random port, not the storage: a swapped or changed row does not unwrap. Specified in docs/formats/seal.md.
import type { SealContext } from "@sallyport/protocol/seal/context.ts";
import type { Clock, Random } from "../ports.ts";
import { keyBytes } from "./aead.ts";
import type { Kek } from "./key-file.ts";
import { createKek, loadKek } from "./key-file.ts";
import type { PseudonymScope } from "./pseudonym.ts";
import { derivePseudonymKey } from "./pseudonym.ts";
import type { RingKeyVersion } from "./ring-envelope.ts";
import { openFromRing, readRingEnvelope, ringId, sealToRing } from "./ring-envelope.ts";
import { SealFault } from "./seal-fault.ts";

export const wrappedKeysMax = 100_000;
const tenantPurpose = "tenant";
const creationAttemptsMax = 8;
const purposeForm = /^[a-z][a-z0-9-]{0,63}$/;
/** Pseudonyms of a year come from version 1 for ever: another version would never be used. */
const pseudonymPurpose = /^pseudonym-/;

/** One stored row; (tenant, purpose, version) is its key. `purpose` is `tenant` for the tenant key itself. */
export interface WrappedKey {
  readonly tenant: string;
  readonly purpose: string;
  readonly version: number;
  readonly wrapped: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly createdAtMs: number;
}

/** Where wrapped keys live; the caller implements it over its store. */
export interface KeyStorage {
  /** All rows, at most `wrappedKeysMax`, in any order. */
  list(): Promise<readonly WrappedKey[]>;
  /** Durable when it resolves; false, and nothing changed, when a row with the same key exists. */
  insert(key: WrappedKey): Promise<boolean>;
}

export interface KeyringOptions {
  readonly storage: KeyStorage;
  readonly random: Random;
  readonly clock: Pick<Clock, "now">;
}

/** What a rotation made: one version of one purpose, or of the tenant key (`tenant`). */
export interface RotatedKey {
  readonly purpose: string;
  readonly version: number;
}

/** One tenant's keys for one purpose, loaded: sealing is synchronous. `context` comes without `tenant` and `purpose`, which it adds. */
export interface PurposeRing {
  readonly tenant: string;
  readonly purpose: string;
  seal(context: SealContext, plaintext: Uint8Array): Uint8Array;
  /** Looks once into the storage for a version it does not know. Faults: `envelope-malformed`, `key-unknown`, `envelope-refused`. */
  open(context: SealContext, envelope: Uint8Array): Promise<Uint8Array>;
}

function ringName(tenant: string, purpose: string): string {
  return `${tenant}\n${purpose}`;
}

function wrapContext(row: Pick<WrappedKey, "tenant" | "purpose" | "version">): SealContext {
  const { tenant, purpose, version } = row;
  return purpose === tenantPurpose
    ? { tenant, purpose: "wrap-tenant-key", version: String(version) }
    : { tenant, purpose: "wrap-purpose-key", of: purpose, version: String(version) };
}

function fullContext(tenant: string, purpose: string, context: SealContext): SealContext {
  const conflict = (context["tenant"] ?? tenant) !== tenant || (context["purpose"] ?? purpose) !== purpose;
  if (conflict) throw new TypeError("the context names another tenant or purpose than the ring it is used with");
  return { ...context, tenant, purpose };
}

/** The loaded keys. Make it with openKeyring or openKeyringFile. */
export class Keyring {
  readonly #kek: Kek;
  readonly #options: KeyringOptions;
  /** Rows by ring, ascending version. */
  #rows = new Map<string, WrappedKey[]>();
  /** Unwrapped keys by ring and version. */
  readonly #keys = new Map<string, Map<number, RingKeyVersion>>();

  constructor(kek: Kek, options: KeyringOptions) {
    this.#kek = kek;
    this.#options = options;
  }

  /** Reads the rows again: what another process added since. Called by itself when an envelope names an unknown version. */
  async reload(): Promise<void> {
    const rows = await this.#options.storage.list();
    assertKek(this.#kek, rows);
    const byRing = new Map<string, WrappedKey[]>();
    for (const row of rows) {
      const name = ringName(row.tenant, row.purpose);
      const list = byRing.get(name) ?? [];
      list.push(row);
      byRing.set(name, list);
    }
    for (const list of byRing.values()) list.sort((a, b) => a.version - b.version);
    this.#rows = byRing;
    this.#dropDeleted();
  }

  /** The ring of one tenant and purpose, made at its first use. Throws TypeError for a purpose outside [a-z][a-z0-9-]{0,63} or reserved. */
  async ring(tenant: string, purpose: string): Promise<PurposeRing> {
    assertPurpose(purpose);
    await this.#ensure(tenant, purpose);
    return {
      tenant,
      purpose,
      seal: (context, plaintext) =>
        sealToRing(
          this.#newest(tenant, purpose),
          { context: fullContext(tenant, purpose, context), plaintext },
          this.#options.random,
        ),
      open: async (context, bytes) => {
        const envelope = readRingEnvelope(bytes);
        const full = fullContext(tenant, purpose, context);
        if (!this.#has(tenant, purpose, envelope.version)) await this.reload();
        return openFromRing(this.#version(tenant, purpose, envelope.version), full, envelope);
      },
    };
  }

  /** Seals under the newest version of (context.tenant, purpose). Throws TypeError for a context without tenant. */
  async seal(purpose: string, context: SealContext, plaintext: Uint8Array): Promise<Uint8Array> {
    return (await this.ring(tenantOf(context), purpose)).seal(context, plaintext);
  }

  /** Opens under any live version, looking once into the storage for a version it does not know. Faults as PurposeRing.open. */
  async open(purpose: string, context: SealContext, envelope: Uint8Array): Promise<Uint8Array> {
    return (await this.ring(tenantOf(context), purpose)).open(context, envelope);
  }

  /**
   * A new tenant key and, wrapped under it, a new version of each purpose but the years' pseudonyms: whoever knows every key of before opens nothing that
   * is sealed from then on. Older versions only open; nothing is re-encrypted. `keep` stores all of them or, when one exists already, none (false).
   */
  async rotateAll(
    tenant: string,
    keep: (keys: readonly WrappedKey[]) => Promise<boolean>,
  ): Promise<readonly RotatedKey[]> {
    for (let attempt = 0; attempt < creationAttemptsMax; attempt++) {
      await this.#ensure(tenant, tenantPurpose);
      await this.reload();
      const rows = this.#nextRows(tenant);
      if (!(await keep(rows))) continue;
      await this.reload();
      return rows.map(({ purpose, version }) => ({ purpose, version }));
    }
    throw new SealFault("key-store", "other processes rotated the keys at the same time, again and again; try again");
  }

  /** Adds a version to a purpose, or to the tenant key itself (purpose `tenant`); returns it. Older versions open only; nothing is re-encrypted. */
  async rotate(tenant: string, purpose: string): Promise<number> {
    if (purpose !== tenantPurpose) assertPurpose(purpose);
    await this.reload();
    const next = this.#newestVersion(tenant, purpose) + 1;
    await this.#ensure(tenant, purpose, next);
    return next;
  }

  /** The 32-byte key for pseudonyms of one tenant, environment and year; the same whatever was rotated since. */
  async pseudonymKey(scope: PseudonymScope): Promise<Uint8Array> {
    const purpose = `pseudonym-${scope.year}`;
    await this.ring(scope.tenant, purpose);
    return derivePseudonymKey(this.#version(scope.tenant, purpose, 1).key, scope);
  }

  /** The same, or null where that year has none: looking something up makes no key, and brings none back that was destroyed. */
  async findPseudonymKey(scope: PseudonymScope): Promise<Uint8Array | null> {
    const purpose = `pseudonym-${scope.year}`;
    if (this.#newestVersion(scope.tenant, purpose) === 0) await this.reload();
    if (this.#newestVersion(scope.tenant, purpose) === 0) return null;
    return derivePseudonymKey(this.#version(scope.tenant, purpose, 1).key, scope);
  }

  /** Unwraps every stored key, older versions too. Faults: `envelope-refused` and `key-unknown`, of the first row that does not open. */
  openAll(): void {
    for (const rows of this.#rows.values())
      for (const { tenant, purpose, version } of rows) this.#version(tenant, purpose, version);
  }

  /** Overwrites every unwrapped key and the KEK; nothing works afterwards. */
  close(): void {
    for (const versions of this.#keys.values()) for (const version of versions.values()) version.key.fill(0);
    this.#keys.clear();
    this.#rows.clear();
    this.#kek.key.wipe();
  }

  /** Makes sure version `atLeast` exists. Insert is a compare-and-set: of two processes one wins, and the other uses the winner's key. */
  async #ensure(tenant: string, purpose: string, atLeast = 1): Promise<void> {
    if (this.#newestVersion(tenant, purpose) >= atLeast) return;
    for (let attempt = 0; attempt < creationAttemptsMax; attempt++) {
      // Also the tenant key may have another version by now, and a new key is wrapped under no older one.
      await this.reload();
      const have = this.#newestVersion(tenant, purpose);
      if (have >= atLeast) return;
      if (purpose !== tenantPurpose) await this.#ensure(tenant, tenantPurpose);
      const row = this.#makeRow(tenant, purpose, have + 1);
      await this.#options.storage.insert(row);
      await this.reload();
      if (this.#newestVersion(tenant, purpose) >= atLeast) return;
    }
    throw new SealFault(
      "key-store",
      `the key store does not keep what is inserted for purpose ${purpose}; check it for write errors`,
    );
  }

  #makeRow(tenant: string, purpose: string, version: number): WrappedKey {
    const under = purpose === tenantPurpose ? null : this.#newest(tenant, tenantPurpose);
    const key = this.#options.random.bytes(keyBytes);
    const row = this.#wrap({ tenant, purpose, version }, key, under);
    key.fill(0);
    return row;
  }

  #nextRows(tenant: string): readonly WrappedKey[] {
    const purposes = [...this.#rows.values()].flatMap(([row]) =>
      row === undefined || row.tenant !== tenant || row.purpose === tenantPurpose || pseudonymPurpose.test(row.purpose)
        ? []
        : [row.purpose],
    );
    const version = this.#newestVersion(tenant, tenantPurpose) + 1;
    const under = { ring: ringId(tenant, tenantPurpose), version, key: this.#options.random.bytes(keyBytes) };
    const tenantRow = this.#wrap({ tenant, purpose: tenantPurpose, version }, under.key, null);
    const rows = purposes.map((purpose) => {
      const key = this.#options.random.bytes(keyBytes);
      const row = this.#wrap({ tenant, purpose, version: this.#newestVersion(tenant, purpose) + 1 }, key, under);
      key.fill(0);
      return row;
    });
    under.key.fill(0);
    return [tenantRow, ...rows];
  }

  /** `under`: null for a tenant key, which the KEK wraps. */
  #wrap(
    place: Pick<WrappedKey, "tenant" | "purpose" | "version">,
    plaintext: Uint8Array,
    under: RingKeyVersion | null,
  ): WrappedKey {
    const content = { context: wrapContext(place), plaintext };
    const { random, clock } = this.#options;
    const wrapped =
      under === null
        ? this.#kek.key.use((key) => sealToRing({ ring: this.#kek.id, version: 1, key }, content, random))
        : sealToRing(under, content, random);
    return { ...place, wrapped, createdAtMs: clock.now() };
  }

  #has(tenant: string, purpose: string, version: number): boolean {
    return this.#rows.get(ringName(tenant, purpose))?.some((row) => row.version === version) === true;
  }

  #newest(tenant: string, purpose: string): RingKeyVersion {
    return this.#version(tenant, purpose, this.#newestVersion(tenant, purpose));
  }

  /** 0 when the ring has no key. */
  #newestVersion(tenant: string, purpose: string): number {
    return this.#rows.get(ringName(tenant, purpose))?.at(-1)?.version ?? 0;
  }

  /** A key whose row was deleted is gone: shredding must not wait for a restart. */
  #dropDeleted(): void {
    for (const [name, versions] of this.#keys) {
      const stored = new Set(this.#rows.get(name)?.map((row) => row.version));
      for (const [version, unwrapped] of versions) {
        if (stored.has(version)) continue;
        unwrapped.key.fill(0);
        versions.delete(version);
      }
    }
  }

  #version(tenant: string, purpose: string, version: number): RingKeyVersion {
    const name = ringName(tenant, purpose);
    const known = this.#keys.get(name) ?? new Map<number, RingKeyVersion>();
    const cached = known.get(version);
    if (cached !== undefined) return cached;
    const row = this.#rows.get(name)?.find((candidate) => candidate.version === version);
    if (row === undefined) {
      throw new SealFault(
        "key-unknown",
        `no key version ${version} of purpose ${purpose} is stored; it was deleted, or the store is older than the data`,
      );
    }
    const unwrapped = { ring: ringId(tenant, purpose), version, key: this.#unwrap(row) };
    known.set(version, unwrapped);
    this.#keys.set(name, known);
    return unwrapped;
  }

  #unwrap(row: WrappedKey): Uint8Array {
    const envelope = readRingEnvelope(row.wrapped);
    if (row.purpose !== tenantPurpose) {
      return openFromRing(this.#version(row.tenant, tenantPurpose, envelope.version), wrapContext(row), envelope);
    }
    return this.#kek.key.use((key) =>
      openFromRing({ ring: this.#kek.id, version: 1, key }, wrapContext(row), envelope),
    );
  }
}

function assertPurpose(purpose: string): void {
  if (!purposeForm.test(purpose) || purpose === tenantPurpose) {
    throw new TypeError("a purpose is [a-z][a-z0-9-]{0,63} and not the reserved word tenant");
  }
}

function tenantOf(context: SealContext): string {
  const tenant = context["tenant"];
  if (!tenant) throw new TypeError("an envelope's context names its tenant");
  return tenant;
}

/** Id of the KEK that wrapped these rows, null for an empty store. Every tenant key names it in clear. */
function kekIdOf(rows: readonly WrappedKey[]): string | null {
  if (rows.length > wrappedKeysMax)
    throw new SealFault("key-store", `the key store holds more than ${wrappedKeysMax} rows`);
  const row = rows.find((candidate) => candidate.purpose === tenantPurpose);
  return row === undefined ? null : readRingEnvelope(row.wrapped).ring;
}

function assertKek(kek: Kek, rows: readonly WrappedKey[]): void {
  const expected = kekIdOf(rows);
  if (expected === null || expected === kek.id) return;
  throw new SealFault(
    "kek-wrong",
    `${kek.source} holds key ${kek.id}, but the stored keys were wrapped by key ${expected}. Put the key file with id ${expected} back (it was written at the first start of this store and belongs in its backup), or restore the store that belongs to ${kek.id}`,
  );
}

/** Opens the keys of a store with a given KEK. Faults: `kek-wrong`, which names the key id that is needed. */
export async function openKeyring(kek: Kek, options: KeyringOptions): Promise<Keyring> {
  const keyring = new Keyring(kek, options);
  await keyring.reload();
  return keyring;
}

/**
 * Opens the keys of a store with the KEK in `path`; makes that file at the first start of an empty store and at no other time.
 * Faults: `kek-missing`, `kek-wrong`, and those of readPrivateFile.
 */
export async function openKeyringFile(path: string, options: KeyringOptions): Promise<Keyring> {
  const found = loadKek(path);
  if (found !== null) return openKeyring(found, options);
  const expected = kekIdOf(await options.storage.list());
  if (expected !== null) {
    throw new SealFault(
      "kek-missing",
      `${path} does not exist, but the stored keys were wrapped by key ${expected}. Put the key file with id ${expected} back from its backup; without it nothing sealed here can be opened`,
    );
  }
  return openKeyring(createKek(path, options.random), options);
}
