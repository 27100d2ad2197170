// Promises what control believes of one environment's outside issuers: which one an `iss` means, by which rules and keys its tokens are read.
// Trusts the configuration and the keeper. docs/identity/outside-issuers.md, docs/formats/outside-token.md.

import { importOutsideKeys } from "@sallyport/kernel/outside-keys.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";
import {
  checkOutsideTimes,
  type OutsideKey,
  type OutsideRules,
  parseOutsideToken,
  readOutsideToken,
  type SignedOutsideToken,
} from "@sallyport/protocol/token/outside-token.ts";
import type { IssuerConfig, TrustConfig } from "../../registry/config/estate.ts";
import type { FetchJwks } from "./fetch-jwks.ts";
import { JwksKeeper } from "./jwks-keeper.ts";
import { keySourcesOf } from "./key-sources.ts";
import type { TrustCommands } from "./store.ts";

export interface TrustedIssuersOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<TrustCommands>, "run">;
  readonly clock: Clock;
  readonly random: Random;
  readonly fetchJwks: FetchJwks;
  readonly fault: (error: unknown) => void;
}

/** The trusted issuers of one environment over the control store. `own` is the environment's own issuer. */
export function createTrustedIssuers(own: string, options: TrustedIssuersOptions): TrustedIssuers {
  const { tenant, environment, store, clock, random, fetchJwks, fault } = options;
  const keeper = new JwksKeeper({
    clock,
    random,
    fetchJwks,
    owner: "issuer",
    read: (owner) => store.run("readIssuerKeys", { tenant, environment, owner }),
    change: (owner, kept) => store.run("changeIssuerKeys", { tenant, environment, owner, ...kept }),
    confirm: (owner, fetchedAt) => store.run("confirmIssuerKeys", { tenant, environment, owner, fetchedAt }),
    changed: () => undefined,
    fault,
  });
  return new TrustedIssuers(own, keeper);
}

export interface TrustedIssuer {
  readonly config: IssuerConfig;
  readonly rules: OutsideRules;
  /** null: they are published, and the keeper has them. */
  readonly fileKeys: ReadonlyMap<string, OutsideKey> | null;
}

export type OutsideReading =
  | { readonly kind: "read"; readonly issuer: TrustedIssuer; readonly token: SignedOutsideToken }
  | { readonly kind: "refused"; readonly code: string };

export class TrustedIssuers {
  readonly #own: string;
  readonly #keeper: JwksKeeper;
  #byUrl: ReadonlyMap<string, TrustedIssuer> = new Map();

  /** `own` is the environment's issuer: the audience where the configuration names none. */
  constructor(own: string, keeper: JwksKeeper) {
    this.#own = own;
    this.#keeper = keeper;
  }

  /** What is in force from now on. */
  use(issuers: readonly IssuerConfig[], trust: readonly TrustConfig[]): void {
    // Our own tokens have their own verifier: an outside issuer of that name would be a second one.
    const outside = issuers.filter(({ url }) => url !== this.#own);
    this.#byUrl = new Map(outside.map((config) => [config.url, this.#trusted(config)]));
    const published = outside.flatMap(({ id, algorithms, keys }) =>
      keys.from === "file" ? [] : [{ id, algorithms, ...keys }],
    );
    this.#keeper.use(keySourcesOf(published, trust));
  }

  get isEmpty(): boolean {
    return this.#byUrl.size === 0;
  }

  all(): readonly TrustedIssuer[] {
    return [...this.#byUrl.values()];
  }

  /** Public keys that are believed now, for gateways. */
  keysOf(issuer: TrustedIssuer): readonly OutsideJwk[] {
    const { keys, id } = issuer.config;
    return keys.from === "file" ? keys.keys : this.#keeper.keysOf(id);
  }

  /** Fetches keys that are due. */
  tick(): Promise<void> {
    return this.#keeper.tick();
  }

  /** A token of one of these issuers, verified and in time at `now` (milliseconds). Codes: those of docs/formats/outside-token.md, and `token-issuer-unknown`. */
  async read(text: string, now: number): Promise<OutsideReading> {
    const parsed = parseOutsideToken(text);
    if (parsed.kind === "deny") return { kind: "refused", code: parsed.code };
    const issuer = this.#byUrl.get(parsed.issuer);
    if (issuer === undefined) return { kind: "refused", code: "token-issuer-unknown" };
    // Judged before anything is fetched for it.
    const { alg } = parsed.jws.header;
    if (!issuer.rules.algorithms.some((one) => one === alg)) return { kind: "refused", code: "token-algorithm" };
    const key = issuer.fileKeys?.get(parsed.kid) ?? (await this.#published(issuer, parsed.kid));
    const token = readOutsideToken(parsed, issuer.rules, { get: () => key ?? undefined });
    if (token.kind === "deny") return { kind: "refused", code: token.code };
    const late = checkOutsideTimes(token, now);
    return late === null ? { kind: "read", issuer, token } : { kind: "refused", code: late.code };
  }

  #published({ config, fileKeys }: TrustedIssuer, kid: string): Promise<OutsideKey | null> | null {
    return fileKeys === null ? this.#keeper.find(config.id, kid) : null;
  }

  #trusted(config: IssuerConfig): TrustedIssuer {
    const { url, algorithms, kind, audiences, companions, parties, lifetimeSecondsMax, keys } = config;
    return {
      config,
      rules: {
        issuer: url,
        algorithms,
        kind,
        audiences: audiences.length === 0 ? [this.#own] : audiences,
        companions,
        parties,
        lifetimeSecondsMax,
      },
      fileKeys: keys.from === "file" ? importOutsideKeys(keys.keys) : null,
    };
  }
}
