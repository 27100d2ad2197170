// Promises one connection pool per provider, kept while any snapshot in use names it and closed after its last user: a swap costs no connection
// that did not change. Trusts the dialer for every socket. Rules of dialling: docs/dial.md.
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { UpstreamPool } from "@sallyport/kernel/dial/upstream-port.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";

export const connectionsPerProviderMax = 256;
export const connectTimeoutMs = 5_000;

/** One snapshot's hold on its pools. */
export interface PoolLease {
  /** The pool of a system of this snapshot; undefined when it has no upstream. */
  poolOf(system: CompiledSystem): UpstreamPool | undefined;
  /** Ends this snapshot's hold; pools nobody else holds close after their running requests. */
  release(): void;
}

interface Held {
  readonly pool: UpstreamPool;
  holders: number;
}

export class UpstreamPools {
  readonly #dialer: Dialer;
  readonly #held = new Map<string, Held>();
  readonly #closing = new Set<Promise<void>>();
  readonly #ownAddresses: () => ReadonlySet<string>;

  constructor(dialer: Dialer, ownAddresses: () => ReadonlySet<string>) {
    this.#dialer = dialer;
    this.#ownAddresses = ownAddresses;
  }

  lease(estate: Estate): PoolLease {
    const keys = new Map<string, string>();
    for (const system of estate.systems.values()) {
      if (system.upstream === null) continue;
      const key = JSON.stringify([
        system.id,
        system.upstream.origin,
        system.object.upstream?.ca,
        system.object.upstream?.allowPrivate,
      ]);
      keys.set(system.id, key);
      const held = this.#held.get(key) ?? { pool: this.#open(system, system.upstream), holders: 0 };
      held.holders++;
      this.#held.set(key, held);
    }
    return {
      poolOf: (system) => this.#held.get(keys.get(system.id) ?? "")?.pool,
      release: () => {
        for (const key of keys.values()) this.#drop(key);
      },
    };
  }

  /** Waits for every pool that was let go. */
  async closed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #open(system: CompiledSystem, upstream: NonNullable<CompiledSystem["upstream"]>): UpstreamPool {
    const declared = system.object.upstream;
    return this.#dialer.upstream(upstream.origin, {
      rules: {
        allowPrivateHosts: new Set(declared?.allowPrivate ? [upstream.host] : []),
        ownAddresses: this.#ownAddresses(),
      },
      ...(declared?.ca === undefined ? {} : { tls: { ca: declared.ca } }),
      connectionsMax: connectionsPerProviderMax,
      connectTimeoutMs,
    });
  }

  #drop(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    held.holders--;
    if (held.holders > 0) return;
    this.#held.delete(key);
    const closing = held.pool.close();
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}
