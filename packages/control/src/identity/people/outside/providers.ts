// Promises the providers outside that the estate names now, each with a client of its own and a key that was made here. Trusts the estate for who they are.
// Specified in docs/identity/outside-login.md.
import { createPrivateKey } from "node:crypto";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { PeopleConfig, ProviderConfig, TrustConfig } from "../../../registry/config/estate.ts";
import { hostOf, type OutsideNet } from "../../dial-once.ts";
import type { PeopleCommands } from "../store.ts";
import type { ProviderFetch } from "./guarded-fetch.ts";
import { createProviderClient, type ProviderClient } from "./provider-client.ts";

export interface Providers {
  /** Those people may sign in through now, in the order of the estate. */
  list(): readonly ProviderConfig[];
  find(id: string): ProviderClient | null;
  /** Origins that a form which begins a log-in may lead to. */
  targets(): Promise<readonly string[]>;
  /** Public keys that we prove ourselves with (RFC 7517), for whoever registers us there. */
  jwks(): Promise<{ readonly keys: readonly object[] }>;
}

export interface ProvidersOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  /** Purpose `people`. */
  readonly seeds: PurposeRing;
  readonly config: () => PeopleConfig | null;
  readonly bundles: () => readonly Pick<TrustConfig, "name" | "roots">[];
  readonly send: ProviderFetch;
  readonly clock: Clock;
}

interface Held {
  readonly version: string;
  readonly client: ProviderClient;
}

export function createProviders(options: ProvidersOptions): Providers {
  const { config, bundles, send, clock } = options;
  const held = new Map<string, Held>();
  const keys = new Map<string, Promise<string>>();
  const keyOf = (id: string): Promise<string> => {
    const known = keys.get(id) ?? openKey(options, id);
    keys.set(id, known);
    known.catch(() => keys.delete(id));
    return known;
  };
  const list = () => providersIn(config());
  const find = (id: string): ProviderClient | null => {
    const one = list().find((provider) => provider.id === id);
    if (one === undefined) return null;
    const net = netOf(one, bundles());
    const version = JSON.stringify([one, net]);
    const known = held.get(id);
    if (known?.version === version) return known.client;
    const key = async () => {
      const pem = await keyOf(id);
      const pkcs8 = createPrivateKey(pem).export({ format: "der", type: "pkcs8" });
      return { kid: signerFromPem(pem).kid, pkcs8 };
    };
    // A named bundle that is gone leaves nobody to believe, not everybody.
    const through: ProviderFetch = net === null ? () => Promise.reject(new Error("the bundle is gone")) : send;
    const client = createProviderClient(one, { send: through, net: net ?? { privateHost: null }, key, clock });
    held.set(id, { version, client });
    return client;
  };
  return {
    list,
    find,
    targets: async () => {
      const origins = await Promise.all(list().map(({ id }) => find(id)?.target() ?? null));
      return [...new Set(origins.filter((origin) => origin !== null))];
    },
    jwks: async () => ({
      keys: await Promise.all(
        list().map(async ({ id }) => {
          const { jwk, kid, alg } = signerFromPem(await keyOf(id));
          return { ...jwk, kid, alg, use: "sig" };
        }),
      ),
    }),
  };
}

/** Those people may sign in through, in the order of the estate. */
export function providersIn(people: PeopleConfig | null): readonly ProviderConfig[] {
  return (people?.providers ?? []).filter(({ id }) => people?.signIn.includes(id));
}

function netOf({ issuer, allowPrivate, trust }: ProviderConfig, bundles: ReturnType<ProvidersOptions["bundles"]>) {
  const net: OutsideNet = { privateHost: allowPrivate ? hostOf(new URL(issuer)) : null };
  if (trust === undefined) return net;
  const bundle = bundles.find(({ name }) => name === trust);
  return bundle === undefined ? null : { ...net, ca: bundle.roots.join("\n") };
}

const attemptsMax = 3;

/** The key of one provider (PKCS #8, PEM), made at its first use. */
export async function openKey(
  { tenant, environment, store, seeds }: Pick<ProvidersOptions, "tenant" | "environment" | "store" | "seeds">,
  provider: string,
): Promise<string> {
  const name = { tenant, environment, provider };
  const context = { environment, provider, what: "provider-key" };
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const sealed = await store.run("readProviderKey", name);
    if (sealed !== null) return Buffer.from(await seeds.open(context, sealed)).toString("utf8");
    const { pem, signer } = generateSigner("ES256");
    const kept = { ...name, sealed: seeds.seal(context, Buffer.from(pem)), kid: signer.kid };
    if (await store.run("insertProviderKey", kept)) return pem;
  }
  throw new Error(`the key for the provider ${provider} could be neither read nor written`);
}
