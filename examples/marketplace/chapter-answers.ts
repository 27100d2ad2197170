// Promises what becomes of answers: what a consumer is not to see is not in them, and a provider that fails once is asked again, where that is safe.
// Trusts the services' own counts. docs/inspection.md, docs/resilience.md, docs/http2.md.
import { connect } from "node:http2";
import { bestCustomer } from "./services.ts";
import type { Telling } from "./telling.ts";

const report = "/billing/v1/reports/eu";
const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";
const json = { "content-type": "application/json" };

/** Redaction, one attempt more, an effect that is not repeated, and HTTP/2. */
export async function tellAnswers(telling: Telling): Promise<void> {
  telling.story.chapter("What comes back");
  await redacted(telling);
  await askedAgain(telling);
  await notRepeated(telling);
  await overHttp2(telling);
}

async function redacted({ market, story, analytics }: Telling): Promise<void> {
  const { billing } = market.services.production;
  await story.check(
    "billing names its best customer in a report; analytics gets the report without",
    async (expect) => {
      const reached = billing.reached();
      const reply = await analytics.send(report);
      expect.equal("status", reply.status, 200);
      expect.equal("requests that reached billing", billing.reached() - reached, 1);
      expect.equal("what analytics got", reply.text, JSON.stringify({ region: "eu", revenueCents: 17_690 }));
      expect.ok("no trace of the name", !JSON.stringify(reply).includes(bestCustomer.name));
      return reply.text;
    },
  );
}

async function askedAgain({ market, story, orders }: Telling): Promise<void> {
  const { billing } = market.services.production;
  await story.check("billing hangs up on a read; orders has its answer all the same", async (expect) => {
    const [reached, dropped] = [billing.reached(), billing.dropped()];
    billing.dropNext();
    const reply = await orders.send(invoice);
    expect.equal("status", reply.status, 200);
    expect.equal("requests that billing hung up on", billing.dropped() - dropped, 1);
    expect.equal("requests that billing answered", billing.reached() - reached, 1);
    return "two attempts, one answer";
  });
}

async function notRepeated({ market, story, orders, planted }: Telling): Promise<void> {
  const { billing } = market.services.production;
  await story.check("billing hangs up on a new invoice; nobody sends it a second time", async (expect) => {
    const [reached, dropped] = [billing.reached(), billing.dropped()];
    billing.dropNext();
    const order = {
      order: "ord-8",
      shop: "shop-north",
      customer: { name: planted.value("a customer of a lost invoice"), email: "nobody@example.org" },
      amount: { cents: 100, currency: "EUR" },
    };
    const reply = await orders.send("/billing/v1/invoices", {
      method: "POST",
      body: JSON.stringify(order),
      headers: json,
    });
    expect.equal("status", reply.status, 502);
    expect.equal("requests that billing hung up on", billing.dropped() - dropped, 1);
    expect.equal("requests that billing answered", billing.reached() - reached, 0);
    const record = await market.operator.record(reply.id);
    expect.equal("verdict and outcome of the record", [record.verdict, record.outcome], ["allow", "system-error"]);
    return `502 ${reply.code}: it may have happened, and the record says so`;
  });
}

async function overHttp2({ market, story }: Telling): Promise<void> {
  const { billing } = market.services.production;
  const { cert, key } = market.workloads.production.analytics;
  await story.check("analytics sends three requests on one HTTP/2 connection", async (expect) => {
    const reached = billing.reached();
    const session = connect(market.urls.production, { ca: market.roots.production.pem, cert, key });
    try {
      const statuses = await Promise.all(
        [report, report, "/billing/v1/reports/us"].map(
          (path) =>
            new Promise<number>((resolve, reject) => {
              const stream = session.request({ ":path": path });
              stream.on("response", (headers) => resolve(Number(headers[":status"])));
              stream.on("error", reject).resume();
            }),
        ),
      );
      expect.equal("two of its region pass, the other is denied", statuses, [200, 200, 403]);
      expect.equal("requests that reached billing", billing.reached() - reached, 2);
      return `${session.alpnProtocol}: ${statuses.join(", ")}`;
    } finally {
      session.close();
    }
  });
}
