// The budget of the token endpoint (`vs_stock`, RESULTS.md) as processor time, which other work on the machine changes least: what a token costs our whole
// control plane beside what it costs a stock oidc-provider, in many short windows in turns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { median } from "../figures.ts";
import { openBoth } from "./both.ts";

/** The floor of `vs_stock`, which the bench holds to the letter. */
const floor = 0.8;
/** For what a machine that does ten other things adds: ratios of 0.84 to 0.97 were seen there. */
const margin = 1.1;

test("a token costs us at most the processor time of a stock oidc-provider's, over the floor of `vs_stock`", {
  timeout: 120_000,
  skip: process.platform === "linux" ? false : "the system does not tell the processor time of a process",
}, async (t) => {
  const both = await openBoth(false);
  t.after(() => both.close());
  // Windows end with their tokens, not with a time.
  const windows = { rounds: 12, warmUps: 8, tokens: 96, connections: 32, durationMs: Number.POSITIVE_INFINITY };
  const { ours, stock } = await both.measure(windows);
  const [our, their] = [ours, stock].map((rows) => rows.map(({ exactUs }) => exactUs ?? 0));
  assert.ok(our !== undefined && their !== undefined && [...our, ...their].every((us) => us > 0));
  // Neighbours in time had the same machine.
  const ratio = median(our.map((us, n) => us / (their[n] ?? 0)));
  const figures = `${median(our).toFixed(0)} us a token, stock ${median(their).toFixed(0)} us: ratio ${ratio.toFixed(2)}`;
  t.diagnostic(figures);
  assert.ok(ratio <= margin / floor, `${figures}, at most ${margin / floor}`);
});
