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
import type { IntrospectionState, Introspections } from "./introspections.ts";
import { JwksKeeper, staleMaxMs } from "./jwks-keeper.ts";
import { keySourcesOf } from "./key-sources.ts";
import type { TrustCommands } from "./store.ts";

export interface TrustedIssuersOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<TrustCommands>, "run">;
  readonly clock: Clock;
  readonly random: Random;
  readonly fetchJwks: FetchJwks;
  /** Keys that gateways hold came, went or are not believed any more. */
  readonly issuerKeysChanged: () => void;
  readonly fault: (error: unknown) => void;
}

/** How the keys of one issuer stand, for operators. */
export interface IssuerKeysState {
  readonly issuer: string;
  readonly url: string;
  /** Its access tokens may be presented at gateways. */
  readonly gateways: boolean;
  readonly from: "file" | "uri";
  /** Keys that are believed now. */
  readonly keys: number;
  /** Milliseconds since the epoch at which they were fetched last; null: never, or they are in a file. */
  readonly fetchedAt: number | null;
  /** Milliseconds since the epoch until which they are believed without being fetched again; null as above. */
  readonly believedUntil: number | null;
  /** Why the last fetch failed; null: it did not. */
  readonly failure: string | null;
  /** How asking it about opaque tokens goes; null: it is not asked. */
  readonly introspection: IntrospectionState | null;
}

/** The trusted issuers of one environment over the control store. `own` is the environment's own issuer. */
export function createTrustedIssuers(own: string, options: TrustedIssuersOptions): TrustedIssuers {
  const { tenant, environment, store, clock, random, fetchJwks, issuerKeysChanged, fault } = options;
  const keeper = new JwksKeeper({
    clock,
    random,
    fetchJwks,
    owner: "issuer",
    read: (owner) => store.run("readIssuerKeys", { tenant, environment, owner }),
    change: (owner, kept) => store.run("changeIssuerKeys", { tenant, environment, owner, ...kept }),
    confirm: (owner, fetchedAt) => store.run("confirmIssuerKeys", { tenant, environment, owner, fetchedAt }),
    changed: (issuer) => {
      if (trusted.isAtGateways(issuer)) issuerKeysChanged();
    },
    fault,
  });
  const trusted = new TrustedIssuers(own, keeper);
  return trusted;
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

  all(): readonly TrustedIssuer[] {
    return [...this.#byUrl.values()];
  }

  /** Public keys that are believed now, of an issuer by id whose keys are published; for gateways. */
  publishedKeys(issuer: string): readonly OutsideJwk[] {
    return this.#keeper.keysOf(issuer);
  }

  /** May access tokens of this issuer (by id) be presented at gateways? */
  isAtGateways(issuer: string): boolean {
    return this.all().some(({ config }) => config.id === issuer && config.gateways !== undefined);
  }

  /** A gateway met a key of this issuer (by id) that it does not hold. Nothing is fetched for one whose tokens may not be presented. */
  look(issuer: string): void {
    if (this.isAtGateways(issuer)) this.#keeper.look(issuer);
  }

  /** Before a snapshot is compiled: what is kept may be newer than what this node saw. Rejects when the store does. */
  takeKept(): Promise<void> {
    return this.#keeper.takeKept();
  }

  /** In ascending order of id. `asked`: those that are asked about tokens. */
  states(asked: Pick<Introspections, "state">): readonly IssuerKeysState[] {
    return this.all()
      .map(({ config: { id, url, gateways, keys } }): IssuerKeysState => {
        const common = {
          ...{ issuer: id, url, gateways: gateways !== undefined, from: keys.from },
          introspection: asked.state(id),
        };
        if (keys.from === "file")
          return { ...common, keys: keys.keys.length, fetchedAt: null, believedUntil: null, failure: null };
        const fetchedAt = this.#keeper.seenAt(id);
        return {
          ...common,
          keys: this.#keeper.keysOf(id).length,
          fetchedAt,
          believedUntil: fetchedAt === null ? null : fetchedAt + staleMaxMs,
          failure: this.#keeper.failureOf(id),
        };
      })
      .sort((a, b) => (a.issuer < b.issuer ? -1 : 1));
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
