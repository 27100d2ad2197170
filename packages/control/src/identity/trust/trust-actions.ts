// Promises what operators see of trust in force: who outside is believed, how their keys stand, and who may exchange whose tokens. Reads only.
// Trusts api.ts, which has proven the operator and recorded the read. The sentences are those of a plan. Specified in docs/admin-api.md.
import { AdminFault } from "../../admin/actions.ts";
import type { ControlParts } from "../../control-parts.ts";
import type { ExchangeConfig, IssuerConfig, ProviderConfig } from "../../registry/config/estate.ts";
import { suggest } from "../../registry/config/nearest.ts";
import { readEnvironments } from "../../registry/estate-state.ts";
import { exchangeWords, issuerWords, providerWords } from "../../registry/trust-words.ts";
import type { IssuerKeysState } from "./trusted-issuers.ts";

/** Somebody outside who is believed in one environment. */
export interface IssuerReport {
  readonly id: string;
  readonly environment: string;
  readonly url: string;
  /** `tokens`: its tokens stand for systems; `log-in`: people sign in through it. */
  readonly use: "tokens" | "log-in";
  /** Null: not kept, as a log-in reads the keys of its provider anew. `now`: control's clock, milliseconds since the epoch. */
  readonly keys: (Omit<IssuerKeysState, "issuer" | "url" | "gateways"> & { readonly now: number }) | null;
  /** What it is believed, and what that lets whom do. */
  readonly says: readonly string[];
  readonly config: IssuerConfig | ProviderConfig;
}

/** One rule of exchange in one environment. */
export interface ExchangeReport extends ExchangeConfig {
  readonly environment: string;
  readonly integration: string;
  readonly from: string;
  readonly to: string;
  /** State of the integration: only what is `active` may be used. */
  readonly state: string;
  readonly says: string;
  readonly declaredAt: string;
}

export interface TrustActions {
  /** In ascending order of environment, use and id. */
  issuers(): Promise<readonly IssuerReport[]>;
  /** In every environment that believes it. Rejects with AdminFault `not-found`, naming the nearest id. */
  issuer(id: string): Promise<readonly IssuerReport[]>;
  /** In ascending order of environment and integration. */
  exchanges(): Promise<readonly ExchangeReport[]>;
}

export function createTrustActions(parts: ControlParts): TrustActions {
  return {
    issuers: () => issuers(parts),
    issuer: async (id) => {
      const all = await issuers(parts);
      const found = all.filter((one) => one.id === id);
      if (found.length > 0) return found;
      const ids = [...new Set(all.map((one) => one.id))];
      throw new AdminFault("not-found", `no issuer or provider ${id} is believed in any environment`, suggest(id, ids));
    },
    exchanges: async () => {
      const environments = [...(await readEnvironments(parts.store, parts.tenant)).values()];
      return environments.flatMap(({ config, states }) =>
        config.integrations.flatMap((integration) =>
          (integration.exchange ?? []).map((rule): ExchangeReport => {
            const { id, from, to, declaredAt } = integration;
            return {
              environment: config.name,
              integration: id,
              from,
              to,
              // Undecided is not active: nothing may be exchanged by what nobody decided about.
              state: states.get(id) ?? "proposed",
              ...rule,
              says: exchangeWords(integration, rule).says,
              declaredAt: `${declaredAt.file}:${declaredAt.line}`,
            };
          }),
        ),
      );
    },
  };
}

async function issuers({ store, tenant, identities, clock }: ControlParts): Promise<readonly IssuerReport[]> {
  const environments = [...(await readEnvironments(store, tenant)).values()];
  return environments.flatMap(({ config: { name: environment, issuers: trusted, people } }) => {
    const identity = identities.get(environment);
    const states = new Map(
      (identity?.trusted.states(identity.introspections) ?? []).map(({ issuer, url: _, gateways: __, ...state }) => [
        issuer,
        { ...state, now: clock.now() },
      ]),
    );
    return [
      ...(people?.providers ?? []).map((config): IssuerReport => {
        const { id, issuer: url } = config;
        return { id, environment, url, use: "log-in", keys: null, says: [providerWords(config).says], config };
      }),
      ...trusted.map((config): IssuerReport => {
        const { id, url } = config;
        const says = issuerWords(config).map((word) => word.says);
        return { id, environment, url, use: "tokens", keys: states.get(id) ?? null, says, config };
      }),
    ];
  });
}
