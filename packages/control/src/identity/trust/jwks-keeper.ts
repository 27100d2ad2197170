// Promises that keys published by others (issuers outside, clients) are fetched by nobody but this, ahead of need, once for everybody who waits, and
// never as often as a stranger would like. Trusts the fetch it is given; what it brings is read by outside-jwk.ts. Bounds and times: docs/identity/outside-issuers.md "Keys".
import { createHash } from "node:crypto";
import { importOutsideKeys } from "@sallyport/kernel/outside-keys.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { type OutsideAlgorithm, type OutsideJwk, readOutsideKeys } from "@sallyport/protocol/token/outside-jwk.ts";
import type { OutsideKey } from "@sallyport/protocol/token/outside-token.ts";
import type { OutsidePlace } from "../dial-once.ts";
import type { FetchJwks } from "./fetch-jwks.ts";
import type { KeptKeys, KeysChange } from "./kept-keys.ts";

/** A set is fetched again this long after it was seen, give or take a tenth. */
export const refreshMs = 600_000;
/** Between two tries for one issuer, whoever asks: an unknown kid costs an issuer at most this. */
export const tryMs = 30_000;
/** How long keys are believed without having been seen again. */
export const staleMaxMs = 86_400_000;
/** How long a kid that a fetch did not bring is not asked for again, and how many are remembered. Short: a stranger may name a key before it exists. */
export const unknownMs = 60_000;
export const unknownMax = 256;
/** Fetches under way at once: those that are due, and beside them those that somebody waits for; who comes when all are taken is answered from what is held. */
export const dueAtOnceMax = 16;
export const askedAtOnceMax = 64;

export interface KeySource extends OutsidePlace {
  /** Id of the issuer or client. */
  readonly id: string;
  readonly algorithms: readonly OutsideAlgorithm[];
}

export interface KeeperPorts {
  /** Whose keys these are, for messages. */
  readonly owner: "issuer" | "client";
  readonly clock: Clock;
  readonly random: Random;
  readonly fetchJwks: FetchJwks;
  /** What was kept, also by another control node. */
  readonly read: (owner: string) => Promise<KeptKeys | null>;
  readonly change: (owner: string, kept: KeysChange) => Promise<unknown>;
  readonly confirm: (owner: string, fetchedAt: number) => Promise<unknown>;
  /** The set of one changed, or is not believed any more: whoever uses it has to be told. */
  readonly changed: (owner: string) => void;
  readonly fault: (error: unknown) => void;
}

interface Held {
  source: KeySource;
  readonly name: string;
  keys: readonly OutsideJwk[];
  byKid: ReadonlyMap<string, OutsideKey>;
  /** Milliseconds since the epoch; 0: never. */
  fetchedAt: number;
  triedAt: number;
  dueAt: number;
  isRead: boolean;
  /** The last word to gateways was that these keys are too old. */
  isStale: boolean;
  running: Promise<void> | null;
  /** Of the last try; null: it went well. */
  failure: string | null;
  readonly unknown: Map<string, number>;
}

export class JwksKeeper {
  readonly #ports: KeeperPorts;
  readonly #held = new Map<string, Held>();
  #asked = 0;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  /** Whose keys are to be kept from now on. One whose place or algorithms changed begins anew. */
  use(sources: readonly KeySource[]): void {
    const names = new Map(sources.map((source) => [source.id, sourceName(source)]));
    for (const [id, { name }] of this.#held) if (names.get(id) !== name) this.#held.delete(id);
    for (const source of sources) {
      const name = names.get(source.id) ?? "";
      const held = this.#held.get(source.id);
      if (held === undefined) this.#held.set(source.id, fresh(source, name));
      // The same keys, by another leave: one that was taken back holds from the next fetch on.
      else held.source = source;
    }
  }

  /** The public keys that are believed now; empty while there are none or they are too old. */
  keysOf(owner: string): readonly OutsideJwk[] {
    const held = this.#held.get(owner);
    return held === undefined || this.#isTooOld(held) ? [] : held.keys;
  }

  /** Milliseconds since the epoch at which the keys of an owner were seen last; null: never. */
  seenAt(owner: string): number | null {
    return this.#held.get(owner)?.fetchedAt || null;
  }

  /** Why the last try brought nothing; null: it brought keys, or there was none. */
  failureOf(owner: string): string | null {
    return this.#held.get(owner)?.failure ?? null;
  }

  /**
   * The key of this name; null when the owner has none. May fetch, but only when the last try for this owner is 30 s old and this name was not
   * looked for in vain just now, and together with everybody else who waits. Never rejects.
   */
  async find(owner: string, kid: string): Promise<OutsideKey | null> {
    const held = this.#held.get(owner);
    if (held === undefined) return null;
    const known = this.#known(held, kid);
    if (known !== null) return known;
    const now = this.#ports.clock.now();
    if ((held.unknown.get(kid) ?? 0) > now) return null;
    const begins = held.running === null;
    if (begins && (now - held.triedAt < tryMs || this.#asked >= askedAtOnceMax)) return null;
    if (begins) this.#asked += 1;
    await this.#refresh(held);
    if (begins) this.#asked -= 1;
    const found = this.#known(held, kid);
    if (found === null) remember(held, kid, this.#ports.clock.now() + unknownMs);
    return found;
  }

  /** Somebody met a key of this owner that is not known: the next tick looks for it that finds the last try 30 s old. */
  look(owner: string): void {
    const held = this.#held.get(owner);
    if (held !== undefined) held.dueAt = Math.min(held.dueAt, held.triedAt + tryMs);
  }

  /** Takes up what another control node, or this one before its start, saw later than this one. Rejects when the store does. */
  async takeKept(): Promise<void> {
    for (const held of this.#held.values()) await this.#readKept(held);
  }

  /** Fetches what is due; call it about once a second. Never rejects. */
  async tick(): Promise<void> {
    const now = this.#ports.clock.now();
    // Before anything is waited for: those that are due may take their time.
    for (const held of this.#held.values()) this.#tellStale(held);
    const due = [...this.#held.values()].filter(({ dueAt }) => dueAt <= now).values();
    const work = async () => {
      for (const held of due) {
        await this.#refresh(held);
        this.#tellStale(held);
      }
    };
    await Promise.all(Array.from({ length: dueAtOnceMax }, work));
  }

  #tellStale(held: Held): void {
    if (held.isStale || held.keys.length === 0 || !this.#isTooOld(held)) return;
    held.isStale = true;
    this.#ports.changed(held.source.id);
  }

  #known(held: Held, kid: string): OutsideKey | null {
    return this.#isTooOld(held) ? null : (held.byKid.get(kid) ?? null);
  }

  #isTooOld(held: Held): boolean {
    return this.#ports.clock.now() - held.fetchedAt >= staleMaxMs;
  }

  #refresh(held: Held): Promise<void> {
    held.running ??= this.#fetchOnce(held)
      .catch(this.#ports.fault)
      .finally(() => {
        held.running = null;
      });
    return held.running;
  }

  async #fetchOnce(held: Held): Promise<void> {
    const { clock, random, fetchJwks, fault, owner } = this.#ports;
    const { source } = held;
    held.triedAt = clock.now();
    held.dueAt = held.triedAt + tryMs;
    if (!held.isRead && (await this.#readKept(held))) this.#ports.changed(source.id);
    let bytes: Uint8Array;
    try {
      bytes = await fetchJwks(source);
    } catch (error) {
      held.failure = error instanceof Error ? error.message : "no answer";
      return fault(new Error(`keys of ${owner} ${source.id} could not be fetched: ${held.failure}`));
    }
    const set = readOutsideKeys(bytes, source.algorithms, { sha256 });
    // A set without one usable key is an accident of the other side: what was trusted a moment ago stays so until it is too old.
    if (set === null || set.keys.length === 0) {
      held.failure = "the answer holds no usable key";
      return fault(new Error(`keys of ${owner} ${source.id}: ${held.failure}`));
    }
    held.failure = null;
    const jitter = ((random.bytes(1)[0] ?? 0) / 255 - 0.5) * 0.2;
    held.dueAt = held.triedAt + Math.round(refreshMs * (1 + jitter));
    await this.#take(held, set.keys);
  }

  /** What was kept, where it came from the same place under the same algorithms. True when it is newer than what is held. */
  async #readKept(held: Held): Promise<boolean> {
    const kept = await this.#ports.read(held.source.id);
    held.isRead = true;
    if (kept === null || kept.source !== held.name || kept.fetchedAt <= held.fetchedAt) return false;
    this.#hold(held, kept.keys, kept.fetchedAt);
    return true;
  }

  async #take(held: Held, keys: readonly OutsideJwk[]): Promise<void> {
    const { change, changed, confirm } = this.#ports;
    const id = held.source.id;
    const before = new Map(held.keys.map((key) => [thumb(key), key]));
    const after = new Map(keys.map((key) => [thumb(key), key]));
    const added = [...after.keys()].filter((name) => !before.has(name));
    const removed = [...before.keys()].filter((name) => !after.has(name));
    const wasStale = held.isStale;
    const fetchedAt = held.triedAt;
    if (added.length === 0 && removed.length === 0) await confirm(id, fetchedAt);
    else await change(id, { source: held.name, keys, fetchedAt, added, removed });
    // Only once it is recorded: a key nobody can find in the log verifies nothing.
    this.#hold(held, keys, fetchedAt);
    if (added.length > 0 || removed.length > 0 || wasStale) changed(id);
  }

  #hold(held: Held, keys: readonly OutsideJwk[], fetchedAt: number): void {
    held.keys = keys;
    held.byKid = importOutsideKeys(keys);
    held.fetchedAt = fetchedAt;
    held.isStale = false;
    held.unknown.clear();
  }
}

function fresh(source: KeySource, name: string): Held {
  const none = { keys: [], byKid: new Map(), fetchedAt: 0, triedAt: Number.NEGATIVE_INFINITY, dueAt: 0 };
  return { source, name, ...none, isRead: false, isStale: false, running: null, failure: null, unknown: new Map() };
}

function remember(held: Held, kid: string, until: number): void {
  if (held.unknown.size >= unknownMax)
    for (const oldest of held.unknown.keys()) {
      held.unknown.delete(oldest);
      break;
    }
  held.unknown.set(kid, until);
}

/** What a kept set belongs to. */
function sourceName({ uri, algorithms, ca }: KeySource): string {
  return createHash("sha256")
    .update(JSON.stringify([uri, algorithms, ca ?? null]))
    .digest("base64url");
}

/** One name per key and the name it goes by: a key that came back under another `kid` is a change. */
function thumb({ kid, alg, jwk }: OutsideJwk): string {
  return createHash("sha256")
    .update(JSON.stringify([kid, alg, jwk]))
    .digest("base64url")
    .slice(0, 22);
}
