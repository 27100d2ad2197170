// Promises of unheld.ts: an answer about records names the nodes whose records may be missing in it, and no others.
import assert from "node:assert/strict";
import { test } from "node:test";
import { decideUnheld } from "./unheld.ts";

const now = 1_796_000_000_000;
const gateway = (node: string, over: Partial<Parameters<typeof decideUnheld>[0][number]> = {}) => ({
  ...({ node, state: "active", connected: true, lastSeenAt: now - 1_000 } as const),
  ...over,
});
const log = (node: string, over: Partial<Parameters<typeof decideUnheld>[1][number]["archived"]> = {}) => ({
  node,
  archived: { leaves: 100, behind: 0, behindSince: null, refused: null, trouble: null, ...over },
});

test("nodes that are connected and shipped are not named", () => {
  assert.deepEqual(decideUnheld([gateway("gw-1")], [log("gw-1"), log("control-1")], now), []);
});

test("records on their way for some seconds are no news, for longer they are", () => {
  const behind = (ms: number) => [log("gw-1", { behind: 4, behindSince: now - ms })];
  assert.deepEqual(decideUnheld([], behind(10_000), now), []);
  assert.deepEqual(decideUnheld([], behind(20_000), now), [
    { node: "gw-1", why: `not shipped yet, 4 records behind since ${new Date(now - 20_000).toISOString()}` },
  ]);
});

test("attack: a node whose records are refused is named at once, so that a thief's calls are not thought to be absent", () => {
  const refused = log("gw-2", { behind: 9, behindSince: now, refused: "rolled-back" });
  const full = log("gw-1", { behind: 1, behindSince: now, trouble: "the volume of the archive is full" });
  assert.deepEqual(
    decideUnheld([gateway("gw-2")], [refused, full], now).map(({ node, why }) => `${node}: ${why.split(" since")[0]}`),
    ["gw-1: the volume of the archive is full, 1 records behind", "gw-2: refused as rolled-back, 9 records behind"],
  );
});

test("a gateway that is away may have recorded anything; one that was revoked is not waited for", () => {
  const away = { connected: false, lastSeenAt: now - 60_000 };
  const named = decideUnheld(
    [gateway("gw-1", away), gateway("gw-2", { ...away, state: "revoked" })],
    [log("gw-1")],
    now,
  );
  assert.deepEqual(named, [
    {
      node: "gw-1",
      why: `away since ${new Date(now - 60_000).toISOString()}: what it records meanwhile comes when it is back`,
    },
  ]);
});
