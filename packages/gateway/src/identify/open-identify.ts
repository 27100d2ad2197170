// Promises the instruments that identify a caller, put together once for a gateway. Trusts gateway.ts for ring and revocations. docs/formats/token.md.
import type { TurnEnd } from "@sallyport/kernel/turn-end.ts";
import type { SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import type { GatewayOptions } from "../ports.ts";
import type { Revocations } from "../snapshot/revocations.ts";
import type { TokenRing } from "../snapshot/token-ring.ts";
import { createPeerJudge } from "./certificate.ts";
import { Handles } from "./handles.ts";
import type { IdentifyPorts } from "./identify.ts";
import { Introspections } from "./introspection.ts";
import { keyUnknown, Nested } from "./nested.ts";
import { openReplays } from "./open-replays.ts";
import type { OutsidePorts } from "./outside.ts";
import { TokenCache, tokenCacheEntriesMax } from "./token-cache.ts";

export function openIdentify(
  options: Pick<
    GatewayOptions,
    "tenant" | "environment" | "node" | "clock" | "random" | "tables" | "feed" | "openTokenKey" | "worker"
  >,
  parts: {
    readonly ring: TokenRing;
    readonly revocations: Revocations;
    readonly crypto: TokenCrypto;
    readonly turnEnd: TurnEnd;
    readonly outside: OutsidePorts;
  },
): IdentifyPorts {
  const { tenant, environment, clock, feed } = options;
  const judge = createPeerJudge(() => clock.now());
  const domain = openReplays(options);
  return {
    ...parts,
    tenant,
    environment,
    cache: new TokenCache<SignedAccessToken>(tokenCacheEntriesMax),
    handles: new Handles({ ask: (digest) => feed.handle(digest), monotonic: () => clock.monotonic() }),
    nested: new Nested({
      questions: new Handles({
        ask: (kid) => feed.tokenKey(kid),
        monotonic: () => clock.monotonic(),
        unknown: keyUnknown,
      }),
      openTokenKey: (kid, sealed) => options.openTokenKey(kid, sealed),
    }),
    introspections: new Introspections({
      ask: (question) => feed.introspect(question),
      crypto: parts.crypto,
      monotonic: () => clock.monotonic(),
    }),
    nonces: domain.nonces,
    replays: domain.proofs,
    signatures: domain,
    now: () => clock.now(),
    // The certificate of a proxy that asks proves the proxy, and no caller.
    peer: (exchange, estate) =>
      exchange.asked === null || exchange.asked === "services" ? judge(exchange.incoming.socket, estate) : null,
  };
}
