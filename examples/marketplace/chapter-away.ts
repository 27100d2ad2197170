// Promises that a dead control plane stops nobody inside the bound that the estate states, and everybody it must beyond it.
// Trusts SIGKILL to be as bad as a crash. The bounds: examples/marketplace/estate/sallyport.yaml, docs/configuration.md "Data classes".
import { setTimeout as delay } from "node:timers/promises";
import { openidCaller } from "./callers.ts";
import type { Telling } from "./telling.ts";

const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";
/** The estate says 3 s for restricted operations. */
const restrictedBoundMs = 3_000;
const reconnectPollMs = 50;
/** A minute, where the machine has nothing else to do. */
const reconnectPollsMax = 1_200;

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
export async function tellControlBack({ market, story, planted, orders, analytics }: Telling): Promise<void> {
  const { billing } = market.services.production;
  story.chapter("Control comes back");
  await story.check("control starts again, from what it had committed", async (expect) => {
    await market.start("control");
    expect.ok("both gateways have found it again", await connectedAgain(market));
    return "both gateways have found it";
  });
  await story.settle("every crossing of the time without control is recorded as it was answered");
  const renewed = await openidCaller(market.target("production", "orders"), {
    clientId: "portal",
    key: market.workloads.production.clients.portal,
  });
  planted.token("the portal's second access token", renewed.token);
  await story.allowed({
    caption: "portal gets a new token and uses it (openid-client)",
    counter: market.services.production.orders,
    send: () => renewed.send("/orders/v1/orders/ord-1"),
  });
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

/** Waits until control says that both gateways have found it; they try again after at most 5 s. */
async function connectedAgain(market: Telling["market"]): Promise<boolean> {
  for (let poll = 0; poll < reconnectPollsMax; poll += 1) {
    const status = await market.operator.status().catch(() => null);
    const connected = status?.gateways.filter((gateway) => gateway.connected).length ?? 0;
    if (connected === 2) return true;
    await delay(reconnectPollMs);
  }
  return false;
}
