// Promises the traffic the marketplace exists for: each call passes, reaches its provider exactly once and is recorded. Trusts story.ts to judge.
import type { Telling } from "./telling.ts";

const json = { "content-type": "application/json" };

/** What is granted passes: three kinds of caller, three proofs of who they are, two environments. */
export async function tellAllowed(telling: Telling): Promise<void> {
  const { market, story, planted, portal, orders, analytics } = telling;
  const { production, staging } = market.services;
  story.chapter("What is granted passes");
  await story.allowed({
    caption: "portal looks at an order (openid-client: private_key_jwt, DPoP)",
    send: () => portal("/orders/v1/orders/ord-1"),
    counter: production.orders,
  });
  await placeOrder(telling);
  await story.allowed({
    caption: "orders reads an invoice of its own shop (SDK, DPoP)",
    send: () =>
      orders.send(`/billing/v1/shops/shop-north/invoices/inv-1001?note=${planted.crossing("a query value")}`, {
        headers: {
          "user-agent": planted.crossing("a user agent", "agent/"),
          "x-note": planted.crossing("a header value"),
        },
      }),
    counter: production.billing,
  });
  await story.allowed({
    caption: `analytics reads the report of its region (${analytics.tool}, mTLS, no token)`,
    send: () => analytics.send("/billing/v1/reports/eu"),
    counter: production.billing,
  });
  await checkUnpredictable(telling);
  const stagingOrders = market.caller("staging", "orders", "billing");
  await story.allowed({
    caption: "orders of staging reads an invoice in staging (SDK)",
    send: () => stagingOrders.send("/billing/v1/shops/shop-north/invoices/inv-1001"),
    counter: staging.billing,
  });
}

/** One click of a customer, three crossings: portal to orders, orders to billing, billing to the payment provider. */
async function placeOrder({ market, story, planted, portal }: Telling): Promise<void> {
  const { billing, payments, orders } = market.services.production;
  const [invoiced, charged] = [billing.reached(), payments.reached()];
  const customer = {
    name: planted.crossing("a customer's name", "Zora O'Quill "),
    email: `${planted.crossing("a customer's e-mail address")}@example.org`,
  };
  const order = { customer, taxId: planted.crossing("a tax number", "DE"), remark: planted.crossing("text in a body") };
  await story.allowed({
    caption: "portal places an order (openid-client)",
    send: () => portal("/orders/v1/orders", { method: "POST", body: JSON.stringify(order), headers: json }),
    counter: orders,
    status: 201,
  });
  await story.check("the order was invoiced and paid, by two more crossings", (expect) => {
    expect.equal("invoices that billing made", billing.reached() - invoiced, 1);
    expect.equal("charges at the payment provider", payments.reached() - charged, 1);
    expect.equal("who billing was told the caller is", billing.last()?.caller, "orders");
    const headers = payments.last()?.headers ?? {};
    expect.ok(
      "the payment provider never sees a caller's token",
      headers["authorization"] === undefined && headers["dpop"] === undefined,
    );
    return undefined;
  });
}

/** Seen from outside, as the provider gets them: a gateway whose randomness is broken shows it here first. */
async function checkUnpredictable({ market, story }: Telling): Promise<void> {
  const { billing, orders } = market.services.production;
  await story.check(
    "what nobody may guess differs each time and is never zero: trace ids, ids of identities",
    (expect) => {
      const seen = billing.saw() + orders.saw();
      const traces = [...seen.matchAll(/"traceparent":"00-([0-9a-f]{32})-([0-9a-f]{16})-/g)].flatMap(
        ([, trace = "", span = ""]) => [trace, span],
      );
      const identities = [...seen.matchAll(/"sallyport-identity":"[^".]+\.([^".]+)\./g)].map(([, payload = ""]) =>
        String(JSON.parse(Buffer.from(payload, "base64url").toString()).jti),
      );
      expect.ok("traces and identities arrived", traces.length >= 8 && identities.length >= 4);
      expect.equal("different trace ids", new Set(traces).size, traces.length);
      expect.equal("values that are zero", [...traces, ...identities].filter((text) => /^[0A]+$/.test(text)).length, 0);
      return `${traces.length} ids of traces, ${identities.length} identities`;
    },
  );
}
