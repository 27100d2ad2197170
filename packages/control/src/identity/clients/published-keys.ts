// Promises the keys that clients publish, fetched by control alone and never by whoever answers a request, each pinned to one algorithm, kept over a
// restart and recorded when they change. Trusts the keeper; what an operator ended is not brought back. docs/identity/client-authentication.md "Keys it publishes".
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { sha256 } from "@sallyport/kernel/token-crypto.ts";
import { type OutsideAlgorithm, outsideThumbprint } from "@sallyport/protocol/token/outside-jwk.ts";
import type { KeysUri, TrustConfig } from "../../registry/config/estate.ts";
import type { ClientKey } from "../directory.ts";
import type { FetchJwks } from "../trust/fetch-jwks.ts";
import { JwksKeeper } from "../trust/jwks-keeper.ts";
import { keySourcesOf } from "../trust/key-sources.ts";
import type { ClientsCommands } from "./store.ts";

export interface PublishedKeysOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<ClientsCommands>, "run">;
  readonly clock: Clock;
  readonly random: Random;
  readonly fetchJwks: FetchJwks;
  /** The keys of a client changed, or are not believed any more: the directory has to be made anew. */
  readonly changed: () => void;
  readonly fault: (error: unknown) => void;
}

/** What clients sign with, whoever names the key (RFC 7523 §3; decide-assertion.ts). */
const algorithms: readonly OutsideAlgorithm[] = ["ES256", "EdDSA"];

export class PublishedKeys {
  readonly #keeper: JwksKeeper;
  #uris: ReadonlyMap<string, KeysUri> = new Map();

  constructor(options: PublishedKeysOptions) {
    const { tenant, environment, store, clock, random, fetchJwks, changed, fault } = options;
    this.#keeper = new JwksKeeper({
      owner: "client",
      clock,
      random,
      fetchJwks,
      read: (owner) => store.run("readPublishedKeys", { tenant, environment, owner }),
      change: (owner, kept) => store.run("changePublishedKeys", { tenant, environment, owner, ...kept }),
      confirm: (owner, fetchedAt) => store.run("confirmPublishedKeys", { tenant, environment, owner, fetchedAt }),
      changed,
      fault,
    });
  }

  /** What is in force from now on. */
  use(
    systems: readonly { readonly clients: readonly { readonly id: string; readonly published?: KeysUri }[] }[],
    trust: readonly TrustConfig[],
  ): void {
    const declared = systems.flatMap(({ clients }) =>
      clients.flatMap(({ id, published }) => (published === undefined ? [] : [{ id, algorithms, ...published }])),
    );
    this.#uris = new Map(declared.map((client) => [client.id, client]));
    this.#keeper.use(keySourcesOf(declared, trust));
  }

  get isEmpty(): boolean {
    return this.#uris.size === 0;
  }

  /** By client id: what is believed now, without the keys whose thumbprints are in `ended`. */
  keys(ended: ReadonlySet<string>): ReadonlyMap<string, readonly ClientKey[]> {
    return new Map(
      [...this.#uris.keys()].map((client) => [
        client,
        this.#keeper
          .keysOf(client)
          .filter(({ jwk }) => !ended.has(outsideThumbprint(jwk, { sha256 })))
          .map(({ jwk, kid }): ClientKey => ({ jwk: { ...jwk, kid }, isPublished: true })),
      ]),
    );
  }

  /** Where a client publishes, and when its keys were seen last (milliseconds since the epoch); null: it publishes none. */
  placeOf(client: string): { readonly uri: string; readonly seenAt: number | null } | null {
    const place = this.#uris.get(client);
    return place === undefined ? null : { uri: place.uri, seenAt: this.#keeper.seenAt(client) };
  }

  /** Resolves once the key of this name is held, or is not to be had now; bounded as the keeper says. Never rejects. */
  async find(client: string, kid: string): Promise<void> {
    await this.#keeper.find(client, kid);
  }

  /** Fetches keys that are due. */
  tick(): Promise<void> {
    return this.#keeper.tick();
  }
}
