// Tokens for providers as they are held: one question for many, bounds, and what is dropped (docs/identity/next-hop.md "At a gateway").
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NextHopAnswer } from "@sallyport/protocol/channel/next-hop.ts";
import { NextHopTokens, type NextHopWanted, nextHopAsksMax, nextHopTokensMax } from "./next-hop-tokens.ts";

function bench() {
  const clock = { wallMs: 1_800_000_000_000, now: () => clock.wallMs, monotonic: () => clock.wallMs };
  let asks = 0;
  let answer: () => Promise<NextHopAnswer> = async () => ({
    kind: "token",
    token: `t${asks}`,
    scheme: "DPoP",
    expiresAt: clock.wallMs + 300_000,
    id: `id${asks}`,
  });
  const given = answer;
  const tokens = new NextHopTokens({
    clock,
    ask: () => {
      asks++;
      return answer();
    },
  });
  const wanted = (key: string, caller = key): NextHopWanted => ({
    ...{ key, caller, revocable: [`jti\n${key}`, "subject\nusr_1"], untilMs: clock.wallMs + 600_000 },
    request: { provider: "billing", operation: "invoice.read", integration: "orders-to-billing", token: key },
  });
  return {
    clock,
    tokens,
    wanted,
    asked: () => asks,
    answering: (next: (() => Promise<NextHopAnswer>) | null) => {
      answer = next ?? given;
    },
  };
}

test("a thundering herd: a thousand who want the same before it is there ask once, and get the same", async () => {
  const { tokens, wanted, asked } = bench();
  const herd = Array.from({ length: 1_000 }, () => tokens.find(wanted("a")));
  assert.equal(asked(), 1);
  assert.equal(new Set(await Promise.all(herd)).size, 1);
  assert.deepEqual([tokens.counts.misses, tokens.size], [1, 1]);
});

test("attack: as many tokens as anybody likes: no more than the bound are held, the one used longest ago goes first", async () => {
  const { tokens, wanted } = bench();
  for (let n = 0; n < nextHopTokensMax; n += 1) await tokens.find(wanted(`k${n}`));
  await tokens.find(wanted("k0"));
  for (let n = 0; n < 10; n += 1) await tokens.find(wanted(`m${n}`));
  assert.equal(tokens.size, nextHopTokensMax);
  assert.ok(!(tokens.find(wanted("k0")) instanceof Promise), "used just now, so it is there");
  assert.ok(tokens.find(wanted("k1")) instanceof Promise, "used longest ago, so it is not");
  tokens.revoked([{ kind: "subject", value: "usr_1" }]);
  assert.equal(tokens.size, 0, "what is held is found by what revokes it, also after others went");
});

test("attack: as many questions as anybody likes: beyond the bound they are refused, and room comes back", async () => {
  const { tokens, wanted, answering } = bench();
  const { promise, resolve } = Promise.withResolvers<NextHopAnswer>();
  answering(() => promise);
  const waiting = Array.from({ length: nextHopAsksMax }, (_, n) => tokens.find(wanted(`k${n}`)));
  const refused = tokens.find(wanted("one more"));
  assert.ok(!(refused instanceof Promise) && refused.kind === "deny" && refused.code === "next-hop-unavailable");
  resolve({ kind: "unavailable", code: "later" });
  await Promise.all(waiting);
  answering(null);
  assert.equal((await tokens.find(wanted("one more"))).kind, "token");
});

test("a clock that is set back makes no token live longer, and a refusal ends what was held before", async () => {
  const { tokens, wanted, clock, asked, answering } = bench();
  await tokens.find(wanted("a"));
  clock.wallMs -= 60_000;
  await tokens.find(wanted("a"));
  assert.equal(asked(), 2);
  clock.wallMs += 240_000;
  answering(async () => ({ kind: "refused", code: "policy-denied" }));
  const old = await tokens.find({ ...wanted("a"), untilMs: Number.POSITIVE_INFINITY });
  assert.equal(old.kind, "token", "served while the next one is asked for");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(tokens.size, 0);
  const refused = await tokens.find(wanted("a"));
  assert.ok(refused.kind === "deny" && refused.code === "next-hop-refused");
});
