// Promises what rows say about the clients of one environment, never older than the last refresh. Trusts the store.
// Specified in docs/identity/client-authentication.md "Rows".
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ClientKey, ClientSecret } from "../directory.ts";
import type { ClientsCommands, StoredClientKey, StoredCredentials, StoredSecret } from "./store.ts";

export interface CredentialsOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<ClientsCommands>, "run">;
  /** Told when a use could not be noted; the use itself stands. */
  readonly onFault: (fault: unknown) => void;
}

/** Times of use are kept by the hour: enough to see that a secret can go, and one write per secret and hour. */
const useStepMs = 3_600_000;

export class ClientCredentials {
  readonly #options: CredentialsOptions;
  readonly #noted = new Map<string, number>();
  #held: StoredCredentials = { seq: -1, secrets: [], keys: [] };

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Takes up what any control node wrote; true when something changed. */
  async refresh(): Promise<boolean> {
    const { tenant, environment, store } = this.#options;
    const read = await store.run("readClientCredentials", { tenant, environment, after: this.#held.seq });
    // A slower read may end after a newer one: never go back.
    if (read.seq <= this.#held.seq) return false;
    this.#held = read;
    return true;
  }

  /** Notes the hour a secret was used in, once, beside the request. */
  used({ client, id, now }: { readonly client: string; readonly id: string; readonly now: number }): void {
    const usedAt = Math.floor(now / useStepMs) * useStepMs;
    const name = `${client} ${id}`;
    if (this.#noted.get(name) === usedAt) return;
    // As many as there are secrets; those that were ended are few and go with the process.
    this.#noted.set(name, usedAt);
    const { tenant, environment, store, onFault } = this.#options;
    store.run("noteSecretUse", { tenant, environment, client, id, usedAt }).catch((fault: unknown) => {
      this.#noted.delete(name);
      onFault(fault);
    });
  }

  /** By client id, without what was ended. */
  keys(): ReadonlyMap<string, readonly ClientKey[]> {
    return byClient(this.#held.keys, keyOf);
  }

  /** RFC 7638 thumbprints of keys that were ended. */
  endedKeys(): ReadonlySet<string> {
    return new Set(this.#held.keys.filter(({ endedAt }) => endedAt !== null).map(({ kid }) => kid));
  }

  secrets(): ReadonlyMap<string, readonly ClientSecret[]> {
    return byClient(this.#held.secrets, secretOf);
  }
}

function byClient<Stored extends { readonly client: string; readonly endedAt: number | null }, Value>(
  rows: readonly Stored[],
  read: (row: Stored) => Value,
): ReadonlyMap<string, readonly Value[]> {
  const live = Map.groupBy(
    rows.filter(({ endedAt }) => endedAt === null),
    ({ client }) => client,
  );
  return new Map([...live].map(([client, held]) => [client, held.map(read)]));
}

function keyOf({ jwk, kid, notBefore, notAfter }: StoredClientKey): ClientKey {
  return {
    jwk: { ...jwk, kid },
    ...(notBefore === null ? {} : { notBeforeMs: notBefore }),
    ...(notAfter === null ? {} : { notAfterMs: notAfter }),
  };
}

function secretOf({ id, digest, notAfter }: StoredSecret): ClientSecret {
  return { id, digest, ...(notAfter === null ? {} : { notAfterMs: notAfter }) };
}
