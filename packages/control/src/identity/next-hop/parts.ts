// Promises one environment's tokens for providers, put together: who asks, what is decided by, and the keys control proves itself with elsewhere. Trusts its parts.
// Specified in docs/identity/next-hop.md.

import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner, signerFromPem } from "@sallyport/kernel/token-crypto.ts";
import type { NextHopAnswer, NextHopRequest } from "@sallyport/protocol/channel/next-hop.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import type { NodeAddress } from "../../gateways/hub.ts";
import type { RingView } from "../issuer.ts";
import type { ProviderFetch } from "../people/outside/guarded-fetch.ts";
import type { PeopleCommands } from "../people/store.ts";
import type { IssuerRoute } from "../seams.ts";
import { giveNextHopToken, type NextHopPorts } from "./next-hops.ts";
import { OutsideTokens } from "./outside-tokens.ts";

const keyPurpose = "next-hop";
const attemptsMax = 3;

export interface NextHopsOptions extends Omit<NextHopPorts, "outside" | "signer" | "legacySigner"> {
  readonly tenant: string;
  readonly environment: string;
  readonly view: () => RingView;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  readonly keyring: Pick<Keyring, "ring">;
  readonly fetchProvider: ProviderFetch;
}

export class NextHops {
  readonly #options: NextHopsOptions;
  readonly #ports: NextHopPorts;
  readonly #keys = new Map<string, Promise<TokenSigner>>();

  constructor(options: NextHopsOptions) {
    this.#options = options;
    const { view, fetchProvider: send, inForce } = options;
    const signer = () => view().signer;
    this.#ports = {
      ...options,
      signer,
      legacySigner: (algorithm) => view().legacy?.signers.get(algorithm) ?? null,
      outside: new OutsideTokens({
        ...options,
        send,
        signer,
        keyOf: (system) => this.#keyOf(system),
        bundles: () => inForce()?.config.trust ?? [],
      }),
    };
  }

  give(address: NodeAddress, request: NextHopRequest): Promise<NextHopAnswer> {
    return giveNextHopToken(address, request, this.#ports);
  }

  /** Public keys that control proves itself with at other token endpoints (RFC 7517), for whoever registers it there. */
  readonly route: IssuerRoute = {
    method: "GET",
    path: "/next-hop-jwks",
    query: false,
    serve: async (_req, res) => {
      const systems = this.#options.inForce()?.config.systems ?? [];
      const asking = systems.filter(({ upstream }) => upstream?.nextHop?.outside !== undefined);
      const signers = await Promise.all(asking.map(({ id }) => this.#keyOf(id)));
      const keys = signers.map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: "sig" }));
      res
        .writeHead(200, { "content-type": "application/json", "cache-control": "public, max-age=300" })
        .end(JSON.stringify({ keys }));
    },
  };

  #keyOf(system: string): Promise<TokenSigner> {
    const known = this.#keys.get(system) ?? this.#openKey(system).then(signerFromPem);
    this.#keys.set(system, known);
    known.catch(() => this.#keys.delete(system));
    return known;
  }

  /** PKCS #8, PEM, made at its first use. */
  async #openKey(system: string): Promise<string> {
    const { tenant, environment, store, keyring } = this.#options;
    const ring = await keyring.ring(tenant, keyPurpose);
    // No provider that people sign in through can have a name with a dot.
    const name = { tenant, environment, provider: `next-hop.${system}` };
    const context = { environment, system, what: "next-hop-key" };
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const sealed = await store.run("readProviderKey", name);
      if (sealed !== null) return Buffer.from(await ring.open(context, sealed)).toString("utf8");
      const { pem, signer } = generateSigner("ES256");
      const kept = { ...name, sealed: ring.seal(context, Buffer.from(pem)), kid: signer.kid };
      if (await store.run("insertProviderKey", kept)) return pem;
    }
    throw new Error(`the key for the token endpoint of ${system} could be neither read nor written`);
  }
}
