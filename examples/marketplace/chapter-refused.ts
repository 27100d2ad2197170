// Promises that callers we know are stopped where the rule says, with a code they can act on. Trusts story.ts to judge three ways (DESIGN §7.15).
import { Agent } from "node:https";
import { call, type Reply } from "./call.ts";
import type { Telling } from "./telling.ts";

const json = { "content-type": "application/json" };
/** More than the burst of portal-to-orders (10) and what it gains meanwhile. */
const burstCalls = 30;

/** Who you are is not what you may: grants, schemas, attributes, policies and rates. */
export async function tellRefused(telling: Telling): Promise<void> {
  telling.story.chapter("What is not granted does not");
  await grantsAndSchemas(telling);
  await explanation(telling);
  await attributes(telling);
  await burst(telling);
  await directCall(telling);
}

async function grantsAndSchemas({ market, story, planted, orders, analytics }: Telling): Promise<void> {
  const counter = market.services.production.billing;
  const known = { counter, status: 403, publicCode: "not-granted", code: "not-granted", stage: "bind" };
  await story.denied({
    ...known,
    caption: "analytics creates an invoice: orders may, analytics may only read",
    send: () => analytics.send("/billing/v1/invoices", { method: "POST", body: "{}", headers: json }),
  });
  await story.denied({
    ...known,
    caption: "orders reads a report: analytics may, orders may not",
    send: () => orders.send("/billing/v1/reports/eu"),
  });
  const body = {
    order: "ord-7",
    shop: "shop-north",
    customer: { name: planted.value("a name in a refused body"), nickname: planted.value("a member no schema knows") },
    amount: { cents: 100, currency: "EUR" },
  };
  await story.denied({
    counter,
    status: 422,
    publicCode: "schema-mismatch",
    code: "schema-mismatch",
    stage: "inspect",
    caption: "an invoice with a member that its schema does not know",
    send: () => orders.send("/billing/v1/invoices", { method: "POST", body: JSON.stringify(body), headers: json }),
  });
  const statement = { ...body, customer: { name: planted.value("a statement for a name", "x' or 1=1 -- ") } };
  await story.denied({
    counter,
    status: 400,
    publicCode: "threat-found",
    code: "threat-found",
    stage: "inspect",
    caption: "a customer whose name is a statement of SQL; Zora O'Quill was none",
    send: () => orders.send("/billing/v1/invoices", { method: "POST", body: JSON.stringify(statement), headers: json }),
  });
}

/** What the operator is told, and the caller was not: the command itself, as it would be typed. */
async function explanation({ market, story }: Telling): Promise<void> {
  const id = story.lines.find(({ code }) => code === "not-granted")?.id ?? "";
  await story.check(`sallyport why ${id}`, async (expect) => {
    const why = await market.processes.run("why", ["--json", "--operator", market.operatorKeyFile, "why", id]);
    expect.equal("exit code: the answer is no", why.code, 1);
    // The shape of CrossingReport (packages/cli/src/commands/why.ts).
    const { decision } = JSON.parse(why.stdout) as { readonly decision: { readonly facts: Record<string, string> } };
    const { nearest = "", declaredAt = "", fix = "" } = decision.facts;
    expect.equal("the nearest grant", nearest, "analytics-to-billing");
    expect.ok("the file and line where it is declared", /analytics-to-billing\.yaml:\d+/.test(declaredAt), declaredAt);
    return fix;
  });
}

async function attributes({ market, story, planted, orders, analytics }: Telling): Promise<void> {
  const counter = market.services.production.billing;
  const denied = { counter, status: 403, publicCode: "policy-denied", code: "policy-denied", stage: "authorize" };
  await story.denied({
    ...denied,
    caption: "orders of shop-north reads an invoice of shop-south (owner)",
    send: () => orders.send(`/billing/v1/shops/shop-south/invoices/${planted.value("an id in a path", "inv-")}`),
  });
  await story.denied({
    ...denied,
    caption: "analytics in eu reads the report of us (region)",
    send: () => analytics.send("/billing/v1/reports/us"),
  });
  await story.denied({
    counter,
    status: 403,
    publicCode: "policy-error",
    code: "policy-error",
    stage: "authorize",
    caption: "a number that makes a policy overflow: an error is a no",
    send: () => orders.send("/billing/v1/discounts/9007199254740991"),
  });
}

async function burst({ market, story, portal }: Telling): Promise<void> {
  const { orders } = market.services.production;
  await story.check(`portal calls ${burstCalls} times at once, its grant allows 10`, async (expect) => {
    const before = orders.reached();
    const replies = await Promise.all(Array.from({ length: burstCalls }, () => portal("/orders/v1/orders/ord-1")));
    const passed = replies.filter(({ status }) => status === 200);
    const refused = replies.filter(({ status }) => status === 429);
    story.refusals.push(...refused.map(({ headers, text }) => JSON.stringify(headers) + text));
    expect.equal("calls that were answered with 200 or 429", passed.length + refused.length, burstCalls);
    expect.ok(
      "at least one and at most twelve passed",
      passed.length >= 1 && passed.length <= 12,
      `${passed.length} passed`,
    );
    expect.equal("calls that reached orders", orders.reached() - before, passed.length);
    expect.ok(
      "every refusal says when to come back",
      refused.every(({ headers }) => Number(headers["retry-after"]) >= 1),
    );
    const records = await Promise.all(refused.map(({ id }) => market.operator.record(id)));
    expect.ok(
      "every refusal is recorded as rate-limited at limit",
      records.every(({ code, stage }) => code === "rate-limited" && stage === "limit"),
    );
    return `${passed.length} pass, ${refused.length} get 429 rate-limited`;
  });
}

/** Around the gateway: billing itself says no, to nobody and to a forged identity alike. */
async function directCall({ market, story }: Telling): Promise<void> {
  const { billing } = market.services.production;
  const forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcmRlcnMifQ.x";
  for (const [how, headers] of [
    ["with nothing", {}],
    ["with a forged Sallyport-Identity", { "sallyport-identity": forged }],
  ] as const) {
    await story.check(`a direct call to billing ${how}, around Sallyport`, async (expect) => {
      const [reached, turnedAway] = [billing.reached(), billing.turnedAway()];
      const reply = await call(`${billing.origin}/v1/ledger`, { headers });
      expect.equal("status", reply.status, 401);
      expect.equal("requests that reached its business logic", billing.reached() - reached, 0);
      expect.equal("requests that billing turned away", billing.turnedAway() - turnedAway, 1);
      return `${reply.status} by billing itself`;
    });
  }
}

/** Headers that name somebody else are cut off: alone they prove nothing, beside a real proof they change nothing. */
export async function tellSpoofed({ market, story, analytics }: Telling): Promise<void> {
  const { billing } = market.services.production;
  const spoofed = {
    "sallyport-identity": "orders",
    "x-forwarded-user": "orders",
    "x-client-cert": "orders",
    "x-user": "root",
  };
  const agent = new Agent();
  await story.denied({
    caption: "identity headers and nothing else",
    counter: billing,
    status: 401,
    publicCode: "unauthenticated",
    code: "credentials-missing",
    stage: "identify",
    send: (): Promise<Reply> =>
      call(`${market.urls.production}/billing/v1/ledger`, {
        headers: spoofed,
        agent,
        tls: { ca: market.roots.production.pem },
      }),
  });
  agent.destroy();
  await story.allowed({
    caption: "identity headers of orders beside the certificate of analytics",
    counter: billing,
    send: () => analytics.send("/billing/v1/reports/eu", { headers: spoofed }),
  });
  await story.check("billing was told the truth and none of the spoofed headers", (expect) => {
    const last = billing.last();
    expect.equal("caller in the hop token", last?.caller, "analytics");
    for (const name of ["x-forwarded-user", "x-client-cert", "x-user"])
      expect.equal(name, last?.headers[name], undefined);
    return undefined;
  });
}
