// Promises that a dead control plane stops nobody inside the bound that the estate states, and everybody it must beyond it.
// Trusts SIGKILL to be as bad as a crash. The bounds: examples/marketplace/estate/sallyport.yaml, docs/configuration.md "Data classes".
import { setTimeout as delay } from "node:timers/promises";
import type { Telling } from "./telling.ts";

const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";
/** The estate says 3 s for restricted operations. */
const restrictedBoundMs = 3_000;

/** When control was killed; the chapters that follow happen without it. */
export async function tellControlKilled(telling: Telling): Promise<number> {
  const { market, story, orders, analytics } = telling;
  const { billing } = market.services.production;
  story.chapter("Control dies (SIGKILL)");
  await story.allowed({
    caption: "orders reads the restricted ledger while control lives",
    counter: billing,
    send: () => orders.send("/billing/v1/ledger"),
  });
  await story.check("control is killed", async () => {
    await market.running.get("control")?.kill();
    return undefined;
  });
  const killedMs = performance.now();
  await story.allowed({
    caption: "orders goes on with the token it has (bound: 5 min)",
    counter: billing,
    recordLater: true,
    send: () => orders.send(invoice),
  });
  await story.allowed({
    caption: "analytics goes on, it never needed a token",
    counter: billing,
    recordLater: true,
    send: () => analytics.send("/billing/v1/reports/eu"),
  });
  return killedMs;
}

/** Beyond three seconds the restricted ledger is closed, the rest still open. */
export async function tellStale({ market, story, orders }: Telling, killedMs: number): Promise<void> {
  const { billing } = market.services.production;
  await delay(Math.max(0, killedMs + restrictedBoundMs + 1_100 - performance.now()));
  await story.denied({
    caption: "the restricted ledger, more than 3 s without control",
    counter: billing,
    status: 503,
    publicCode: "stale-snapshot",
    code: "stale-snapshot",
    stage: "authorize",
    recordLater: true,
    send: () => orders.send("/billing/v1/ledger"),
  });
  await story.allowed({
    caption: "an invoice, at the same moment",
    counter: billing,
    recordLater: true,
    send: () => orders.send(invoice),
  });
}

/** Control comes back under the same data; its gateways find it, and what was recorded meanwhile can be read. */
export async function tellControlBack({ market, story, orders, analytics }: Telling): Promise<void> {
  const { billing } = market.services.production;
  story.chapter("Control comes back");
  await story.check("control starts again, from what it had committed", async (expect) => {
    await market.start("control");
    expect.ok("the production gateway is connected and ready", await readyAgain(market.urls.status.production));
    return undefined;
  });
  await story.settle("every crossing of the time without control is recorded as it was answered");
  await story.allowed({
    caption: "orders reads the restricted ledger again",
    counter: billing,
    send: () => orders.send("/billing/v1/ledger"),
  });
  await story.allowed({
    caption: "analytics reads its report",
    counter: billing,
    send: () => analytics.send("/billing/v1/reports/eu"),
  });
}

async function readyAgain(status: string): Promise<boolean> {
  for (let poll = 0; poll < 200; poll += 1) {
    const answer = await fetch(`${status}/readyz`).catch(() => null);
    if (answer?.status === 200) return true;
    await delay(50);
  }
  return false;
}
