// Promises the instruments that identify a caller, put together once for a gateway. Trusts gateway.ts for ring and revocations. docs/formats/token.md.
import type { SignedAccessToken } from "@sallyport/protocol/token/access-token.ts";
import type { TokenCrypto } from "@sallyport/protocol/token/crypto.ts";
import type { GatewayOptions } from "../ports.ts";
import type { Revocations } from "../snapshot/revocations.ts";
import type { TokenRing } from "../snapshot/token-ring.ts";
import { createPeerJudge } from "./certificate.ts";
import { Handles } from "./handles.ts";
import type { IdentifyPorts } from "./identify.ts";
import { keyUnknown, Nested } from "./nested.ts";
import { createNonces } from "./nonce.ts";
import type { OutsidePorts } from "./outside.ts";
import { allocateReplaySet, openReplaySet, replaySetSlots } from "./replay-set.ts";
import { TokenCache, tokenCacheEntriesMax } from "./token-cache.ts";

export function openIdentify(
  options: Pick<
    GatewayOptions,
    "tenant" | "environment" | "node" | "clock" | "random" | "tables" | "feed" | "openTokenKey"
  >,
  parts: {
    readonly ring: TokenRing;
    readonly revocations: Revocations;
    readonly crypto: TokenCrypto;
    readonly outside: OutsidePorts;
  },
): IdentifyPorts {
  const { tenant, environment, node, clock, random, tables, feed } = options;
  const judge = createPeerJudge(() => clock.now());
  const epoch = Buffer.from(random.bytes(12)).toString("base64url");
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
    nonces: createNonces(random.bytes(32), { node, epoch }),
    replays: openReplaySet(allocateReplaySet(tables?.replaySlots ?? replaySetSlots), random.bytes(32)),
    now: () => clock.now(),
    peer: (exchange, estate) => judge(exchange.incoming.socket, estate),
  };
}
