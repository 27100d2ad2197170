// Promises that a suspension is refused at the gateway within a second of its commit, and that it ends when the operator says so.
// Trusts the clock of this process: both ends are measured here. The bound is that of docs/registry.md.
import { setTimeout as delay } from "node:timers/promises";
import type { Telling } from "./telling.ts";

const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";
const boundMs = 1_000;
const pollMs = 5;
const renewPollMs = 100;
const pollsMax = 600;
const renewalsMax = 50;

/** orders loses billing, sees it within a second, and gets it back. */
export async function tellSuspended({ market, story, planted, orders }: Telling): Promise<void> {
  const { billing } = market.services.production;
  story.chapter("The switch");
  const reason = "an operator's reason";
  planted.except({
    what: reason,
    place: /^control\/control\.sqlite(-wal)?$/,
    reason: "an operator's words, not a caller's: kept with the state they explain (docs/registry.md, registry_state)",
  });
  await story.check("orders-to-billing suspended, from the operator's request to the first refusal", async (expect) => {
    const startedMs = performance.now();
    const acted = market.operator.setIntegration("orders-to-billing", "suspend", planted.value(reason, "incident "));
    let refusedMs: number | null = null;
    for (let poll = 0; poll < pollsMax && refusedMs === null; poll += 1) {
      const reply = await orders.send(invoice);
      if (reply.code === "not-active") refusedMs = performance.now() - startedMs;
      else await delay(pollMs);
    }
    await acted;
    expect.ok(`refused within ${boundMs} ms`, refusedMs !== null && refusedMs < boundMs, `${refusedMs} ms`);
    return refusedMs === null ? undefined : `${Math.round(refusedMs)} ms, the operator's own request included`;
  });
  await story.denied({
    caption: "orders calls under the suspended integration",
    counter: billing,
    status: 403,
    publicCode: "not-active",
    code: "not-active",
    stage: "bind",
    send: () => orders.send(invoice),
  });
  await market.operator.setIntegration("orders-to-billing", "activate", "the demo goes on");
  await story.check("orders-to-billing is served again after it was activated", async (expect) => {
    let served = false;
    for (let poll = 0; poll < renewalsMax && !served; poll += 1) {
      // A token issued before the suspension, to the second, stays worthless: orders asks for new ones.
      await orders.renew().catch(() => null);
      served = (await orders.send(invoice).catch(() => null))?.status === 200;
      if (!served) await delay(renewPollMs);
    }
    expect.ok("a call passes", served);
    return undefined;
  });
}
