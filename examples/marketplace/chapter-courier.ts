// Promises a caller without tokens and the rules around it: each signature once and for one request, so many a day, a policy on trial that decides
// nothing; and a provider's earlier answer while it is away. Trusts the services' own counts. docs/identity/message-signatures.md, docs/limits.md.
import { openCourier } from "./courier.ts";
import { bestCustomer } from "./services.ts";
import type { Telling } from "./telling.ts";

const order = "/orders/v1/orders/ord-1";
/** More than a gateway tries. */
const untilTold = 20;
const report = "/billing/v1/reports/eu";

/** A carrier that signs, its quota, the policy on trial, and an answer of before. */
export async function tellCourier(telling: Telling): Promise<void> {
  const { market, story } = telling;
  story.chapter("A carrier without tokens");
  const { orders } = market.services.production;
  const courier = openCourier(market.urls.production, market.workloads.production.courier, market.roots.production.pem);
  const first = await story.allowed({
    caption: "the carrier signs a request (RFC 9421) and reads an order; it has no token and no secret",
    counter: orders,
    send: () => courier.send(order),
  });
  const denied = { counter: orders, status: 401, publicCode: "unauthenticated", stage: "identify" };
  await story.denied({
    ...denied,
    caption: "somebody sends the same signed request once more",
    code: "signature-replayed",
    send: () => courier.repeat(),
  });
  await story.denied({
    ...denied,
    caption: "somebody on the way makes it another order",
    code: "signature-invalid",
    send: () => courier.send("/orders/v1/orders/ord-2", order),
  });
  await story.allowed({
    caption: "its second order of today",
    counter: orders,
    send: () => courier.send(`${order}?copy=2`),
  });
  await story.denied({
    caption: "its third: two a day are allowed",
    counter: orders,
    status: 429,
    publicCode: "quota-exhausted",
    code: "quota-exhausted",
    stage: "limit",
    send: () => courier.send(`${order}?copy=3`),
  });
  await onTrial(telling, first?.id ?? "");
  await ofBefore(telling);
}

async function onTrial({ market, story }: Telling, crossing: string): Promise<void> {
  await story.check("a policy on trial would have denied the first one; the record says so", async (expect) => {
    const { decision } = await market.operator.crossing(crossing);
    expect.equal("shadow", decision?.["shadow"], [{ policy: "carriers-read-nothing", would: "deny" }]);
    return "carriers-read-nothing would deny it";
  });
}

async function ofBefore({ market, story, analytics }: Telling): Promise<void> {
  const { billing } = market.services.production;
  await story.check("billing is away; analytics has its report of before, still without the name", async (expect) => {
    const well = await analytics.send(report);
    expect.equal("status while billing is well", well.status, 200);
    const reached = billing.reached();
    billing.dropNext(untilTold);
    const reply = await analytics.send(report);
    billing.dropNext(0);
    expect.equal("status", reply.status, 200);
    expect.equal("what analytics got", reply.text, well.text);
    expect.equal("requests that billing answered", billing.reached() - reached, 0);
    const said = String(reply.headers["sallyport-fallback"]);
    expect.ok("it says what it is", /^stale; age=\d+; code=upstream-unreachable$/.test(said), said);
    expect.ok("no trace of the name", !JSON.stringify(reply).includes(bestCustomer.name));
    const record = await market.operator.record(reply.id);
    expect.equal("verdict and outcome of the record", [record.verdict, record.outcome], ["allow", "system-error"]);
    return said;
  });
}
