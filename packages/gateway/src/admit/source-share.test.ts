// What of a listener one source may hold, whoever else is there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sourceOf } from "./source-prefix.ts";
import { SourceShares, shareTimes } from "./source-share.ts";

const from = (network: number) => sourceOf(`203.0.${network}.1`);

/** All of them open whatever they get, in turns. */
function flood(shares: SourceShares, networks: number): readonly number[] {
  const held = Array<number>(networks).fill(0);
  // Nobody opens more than this many, also where nothing would stop them.
  for (let moved = true, turns = 0; moved && turns < 20_000; turns++) {
    moved = false;
    for (const network of held.keys()) {
      if (shares.take(from(network)) === null) continue;
      held[network] = (held[network] ?? 0) + 1;
      moved = true;
    }
  }
  return held;
}

test("greedy networks share a listener among them and leave one share more: a half, a third, a quarter", () => {
  for (const networks of [1, 2, 3, 9]) {
    const shares = new SourceShares({ times: 1, lengths: null }, 10_000);
    const held = flood(shares, networks);
    const fair = 10_000 / (networks + 1);
    for (const one of held) assert.ok(Math.abs(one - fair) <= networks, `${networks}: ${held}`);
    assert.ok(shares.take(from(200)) !== null, "a newcomer finds a place");
  }
});

test("what is given back is free for others, and the order of coming gives nobody more than its half", () => {
  const shares = new SourceShares({ times: 1, lengths: null }, 100);
  const first = Array.from({ length: 50 }, () => shares.take(from(1)));
  assert.ok(first.every((one) => one !== null));
  assert.equal(shares.take(from(1)), null);
  assert.equal(flood(shares, 1)[0], 25, "half of what was left");
  for (const giveBack of first) giveBack?.();
  assert.ok(shares.take(from(0)) !== null, "there is room again");
  assert.ok(shares.take(from(1)) !== null);
});

test("a source that is declared more, a balancer in front, gets what is declared while it is alone, and all where that is declared", () => {
  assert.equal(shareTimes(5_000, 10_000), 1);
  assert.equal(shareTimes(64, 10_000), 1);
  const alone = new SourceShares({ times: shareTimes(8_000, 10_000), lengths: null }, 10_000);
  assert.ok(Math.abs((flood(alone, 1)[0] ?? 0) - 8_000) <= 1);
  assert.equal(shareTimes(10_000, 10_000), Number.POSITIVE_INFINITY);
  assert.equal(flood(new SourceShares({ times: 2, lengths: null }, 9), 1)[0], 6);
});
