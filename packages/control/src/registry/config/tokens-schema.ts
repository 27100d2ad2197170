// Promises what may be written under `tokens` of an environment and of a client: one sentence per key, every life within the bounds gateways enforce.
// Trusts nothing. The reference in docs/configuration.md is generated from these types; what the keys do: docs/identity/keys.md, docs/identity/lifetimes.md.
import { z } from "zod";
import type { TokenLives, TokensConfig } from "./estate.ts";
import { duration } from "./words.ts";

const day = 86_400_000;
const machine = () => duration({ minMs: 30_000, maxMs: 300_000, says: "`30s` to `5m`" });
const user = () => duration({ minMs: 30_000, maxMs: 600_000, says: "`30s` to `10m`" });
const refresh = () => duration({ minMs: 300_000, maxMs: 90 * day, says: "`5m` to `90d`" });

const tokens = z.strictObject({
  algorithm: z
    .enum(["ES256", "EdDSA"])
    .prefault("ES256")
    .describe(
      "What the issuer signs with; another one comes into use as a rotation does, once every live gateway holds its key.",
    ),
  rotateEvery: duration({ minMs: day, maxMs: 90 * day, says: "`1d` to `90d`" })
    .prefault("30d")
    .describe("Age at which the active signing key makes way for the next one."),
  machine: machine().prefault("5m").describe("How long an access token of a client for itself lives, at most `5m`."),
  user: user().prefault("10m").describe("How long an access token for a user lives, at most `10m`."),
  refresh: refresh()
    .prefault("30d")
    .describe("How long a user's permission lasts in all, whatever is refreshed: after that the user is asked again."),
  refreshIdle: refresh().prefault("14d").describe("How long a refresh token lasts unused."),
});

const clientTokens = z.strictObject({
  machine: machine().optional().describe("As `tokens.machine` of the environment; the shorter of both holds."),
  user: user().optional().describe("As `tokens.user` of the environment; the shorter of both holds."),
  refresh: refresh().optional().describe("As `tokens.refresh` of the environment; the shorter of both holds."),
  refreshIdle: refresh().optional().describe("As `tokens.refreshIdle` of the environment; the shorter of both holds."),
});

export const tokensKeys = {
  tokens: tokens.prefault({}).describe("What signs the tokens of this environment, and how long they live."),
};

export const clientTokensKeys = {
  tokens: clientTokens.optional().describe("Shorter lives for the tokens of this client."),
};

export const defaultTokens: TokensConfig = {
  algorithm: "ES256",
  rotateEveryMs: 30 * day,
  machineSeconds: 300,
  userSeconds: 600,
  refreshMs: 30 * day,
  refreshIdleMs: 14 * day,
};

/** Absent where everything is the default. */
export function tokensOf(source: z.output<typeof tokens>): { readonly tokens?: TokensConfig } {
  const said: TokensConfig = {
    algorithm: source.algorithm,
    rotateEveryMs: source.rotateEvery,
    machineSeconds: Math.floor(source.machine / 1_000),
    userSeconds: Math.floor(source.user / 1_000),
    refreshMs: source.refresh,
    refreshIdleMs: source.refreshIdle,
  };
  return JSON.stringify(said) === JSON.stringify(defaultTokens) ? {} : { tokens: said };
}

/** Only what was said. */
export function clientTokensOf(source: z.output<typeof clientTokens> | undefined): {
  readonly tokens?: Partial<TokenLives>;
} {
  if (source === undefined) return {};
  const { machine: machineMs, user: userMs, refresh: refreshMs, refreshIdle: refreshIdleMs } = source;
  return {
    tokens: {
      ...(machineMs === undefined ? {} : { machineSeconds: Math.floor(machineMs / 1_000) }),
      ...(userMs === undefined ? {} : { userSeconds: Math.floor(userMs / 1_000) }),
      ...(refreshMs === undefined ? {} : { refreshMs }),
      ...(refreshIdleMs === undefined ? {} : { refreshIdleMs }),
    },
  };
}
