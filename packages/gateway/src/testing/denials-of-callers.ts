// Promises one refusal for every code of bind, limit, authorize and inspect, which a caller we know may get, beside its nearest allow.
// Trusts three-ways.ts to judge them. Specified in DESIGN §4 and docs/gateway.md.
import type { OwnBench } from "./denials-at-the-door.ts";
import { marketplace } from "./marketplace-estate.ts";
import { type Answer, call } from "./test-caller.ts";
import type { Bench, DenialCase } from "./three-ways.ts";

const json = { "content-type": "application/json" };
const good = JSON.stringify({ amount: 5, customer: "c-1" });

const create = (bench: Bench, body: string | Buffer = good, headers: Record<string, string> = json): Promise<Answer> =>
  bench.orders.send(`${bench.url}/billing/v1/invoices`, { method: "POST", headers, body });
const read =
  (path: string) =>
  (bench: Bench): Promise<Answer> =>
    bench.orders.send(`${bench.url}${path}`);

const receiptOf = (bench: Bench, id: string): Promise<Answer> =>
  bench.orders.send(`${bench.url}/.well-known/sallyport/receipts/${id}`, { token: bench.orders.token("billing") });

/** A token for a user who signed in just now, in a way that is worth `acr`. */
const signedIn = (bench: Bench, acr: string): string =>
  bench.orders.token("billing", { sub: "usr_anna", acr, auth_time: Math.floor(bench.bed.clock.now() / 1_000) });

export const bindDenials = {
  "no-route": {
    what: "a path that billing does not publish",
    status: 404,
    stage: "bind",
    refused: read("/billing/v9/invoices/1"),
  },
  "not-granted": {
    what: "an operation that no integration grants to orders",
    status: 403,
    stage: "bind",
    refused: (bench) => bench.orders.send(bench.invoice, { method: "DELETE" }),
  },
  "not-active": {
    what: "a suspended integration",
    status: 403,
    stage: "bind",
    refused: (bench) => bench.analytics.send(bench.invoice),
  },
  "not-served": {
    what: "a system whose configuration is broken",
    status: 503,
    stage: "bind",
    refused: read("/ledger/v1/x"),
  },
  "receipt-unknown": {
    what: "the receipt of a crossing that another system made",
    status: 404,
    stage: "bind",
    reaches: 1,
    async refused(bench) {
      const { id } = await bench.portal.send(`${bench.url}/billing/v1/regions/us`);
      await bench.log.checkpoint();
      return receiptOf(bench, id);
    },
  },
  "stream-unknown": {
    what: "another token for a stream that there is not",
    status: 404,
    stage: "bind",
    refused: async (bench) => {
      const { id } = await bench.orders.send(`${bench.url}/billing/v1/nothing`);
      const token = bench.orders.token("billing");
      return bench.orders.send(`${bench.url}/.well-known/sallyport/streams/${id}`, { method: "POST", token });
    },
  },
  "receipt-pending": {
    what: "the receipt of a crossing that no checkpoint covers yet",
    status: 503,
    stage: "bind",
    // The upstream has counted the crossing that the receipt is about.
    reaches: 1,
    refused: async (bench) => receiptOf(bench, (await bench.orders.send(bench.invoice)).id),
  },
} satisfies Record<string, DenialCase>;

export const rateLimited: DenialCase = {
  what: "the fourth request of a burst of three; another caller is not touched",
  status: 429,
  stage: "limit",
  async prepare(bench) {
    for (let i = 0; i < 3; i++) await bench.portal.send(bench.invoice);
  },
  refused: (bench) => bench.portal.send(bench.invoice),
};

/** One crossing of orders is under way, and one at once is what it may have; the portal has its own. */
export const concurrencyLimited: OwnBench = {
  bench: {
    estate(url) {
      const base = marketplace(url);
      const concurrency = [{ per: "client" as const, max: 1 }];
      return { ...base, integrations: base.integrations.map((one) => ({ ...one, concurrency })) };
    },
  },
  case: {
    what: "a second crossing while the first one waits for the provider",
    status: 429,
    stage: "limit",
    async prepare(bench) {
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      bench.upstream.answer = (_request, response) => {
        begun.resolve();
        void release.promise.then(() => response.end("{}"));
      };
      underWay = { release: release.resolve, answer: bench.orders.send(bench.invoice) };
      await begun.promise;
    },
    refused: (bench) => bench.orders.send(bench.invoice),
    async mend(bench) {
      underWay?.release();
      await underWay?.answer;
      bench.upstream.answer = null;
    },
  },
};

let underWay: { readonly release: () => void; readonly answer: Promise<Answer> } | undefined;

/** Two integrations are counted, the table holds one. */
export const limitTableFull: OwnBench = {
  bench: {
    changes: { tables: { rateSlots: 1 } },
    estate(url) {
      const base = marketplace(url);
      const limits = [{ per: "client" as const, rate: 1, periodMs: 60_000, burst: 3 }];
      return { ...base, integrations: base.integrations.map((one) => ({ ...one, limits })) };
    },
  },
  case: {
    what: "one more thing counted at once than the table holds",
    status: 503,
    stage: "limit",
    async prepare(bench) {
      await bench.portal.send(bench.invoice);
    },
    refused: (bench) => bench.orders.send(bench.invoice),
    // The portal's limit is wholly unused again, so its slot is free.
    mend(bench) {
      bench.bed.clock.shiftMs += 61_000;
      bench.bed.feed.heartbeat();
      bench.orders.nonce = undefined;
    },
  },
};

export const authorizeDenials = {
  "decision-unavailable": {
    what: "a decision point outside that is not there",
    status: 503,
    stage: "authorize",
    refused: read("/away/v1/asked"),
  },
  "proof-not-accepted": {
    what: "an unbound bearer token where dpop or mtls is wanted",
    status: 403,
    stage: "authorize",
    refused: (bench) => {
      // exactOptionalPropertyTypes: the claim has to be written as absent over the builder's own
      const token = bench.orders.token("billing", { cnf: undefined as never });
      return call(bench.invoice, { headers: { authorization: `Bearer ${token}` } });
    },
  },
  "scope-missing": {
    what: "a token with the scope of another operation",
    status: 403,
    stage: "authorize",
    refused: (bench) =>
      bench.orders.send(bench.invoice, { token: bench.orders.token("billing", { scope: "billing:invoice.create" }) }),
    allowed: (bench) =>
      bench.orders.send(bench.invoice, { token: bench.orders.token("billing", { scope: "billing:invoice.read" }) }),
  },
  "insufficient-user-authentication": {
    what: "a log-in by password alone where a second factor is asked for",
    status: 401,
    stage: "authorize",
    refused: (bench) =>
      bench.orders.send(`${bench.url}/billing/v1/payouts`, { token: signedIn(bench, "urn:sallyport:acr:password") }),
    allowed: (bench) =>
      bench.orders.send(`${bench.url}/billing/v1/payouts`, { token: signedIn(bench, "urn:sallyport:acr:mfa") }),
  },
  "attribute-missing": {
    what: "a policy attribute given twice",
    status: 403,
    stage: "authorize",
    refused: read("/billing/v1/overflow?n=1&n=2"),
    allowed: read("/billing/v1/overflow?n=0"),
  },
  "policy-denied": {
    what: "another region than the caller's",
    status: 403,
    stage: "authorize",
    refused: read("/billing/v1/regions/us"),
    allowed: read("/billing/v1/regions/eu"),
  },
  "policy-error": {
    what: "a forbid that overflows, and is not skipped",
    status: 403,
    stage: "authorize",
    refused: read("/billing/v1/overflow?n=9007199254740991"),
    allowed: read("/billing/v1/overflow?n=0"),
  },
} satisfies Record<string, DenialCase>;

export const staleSnapshot: OwnBench = {
  bench: {},
  case: {
    what: "four seconds without a heartbeat, for a restricted operation",
    status: 503,
    stage: "authorize",
    prepare(bench) {
      bench.bed.clock.shiftMs += 4_000;
    },
    refused: read("/billing/v1/secrets/1"),
    mend: (bench) => bench.bed.feed.heartbeat(),
    allowed: read("/billing/v1/secrets/1"),
  },
};

const handshake = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

export const inspectDenials = {
  "upgrade-required": {
    what: "a plain read of a WebSocket",
    status: 400,
    stage: "inspect",
    refused: (bench) => bench.orders.send(`${bench.url}/lines/v1/line`),
  },
  "origin-not-allowed": {
    what: "a page of somewhere else that opens a WebSocket",
    status: 403,
    stage: "inspect",
    refused: (bench) =>
      bench.orders.send(`${bench.url}/lines/v1/line`, { headers: { ...handshake, origin: "https://evil.example" } }),
  },
  "content-type": {
    what: "JSON called text",
    status: 415,
    stage: "inspect",
    refused: (bench) => create(bench, good, { "content-type": "text/plain" }),
    allowed: (bench) => create(bench),
  },
  "body-too-large": {
    what: "70,000 bytes where 64 KiB are allowed",
    status: 413,
    stage: "inspect",
    refused: (bench) => create(bench, JSON.stringify({ amount: 1, customer: "x".repeat(70_000) })),
    allowed: (bench) => create(bench),
  },
  "body-malformed": {
    what: "a member given twice, which two readers would read differently",
    status: 400,
    stage: "inspect",
    refused: (bench) => create(bench, '{"amount":1,"amount":2,"customer":"c"}'),
    allowed: (bench) => create(bench, '{"amount":1,"customer":"c"}'),
  },
  "threat-found": {
    what: "a text that leaves its place in a statement of SQL",
    status: 400,
    stage: "inspect",
    refused: (bench) => bench.orders.send(`${bench.url}/watched/v1/found?q=x%27%20or%201%3D1`),
    allowed: (bench) => bench.orders.send(`${bench.url}/watched/v1/found?q=O%27Brien`),
  },
  "schema-mismatch": {
    what: "an amount below the minimum",
    status: 422,
    stage: "inspect",
    refused: (bench) => create(bench, JSON.stringify({ amount: 0, customer: "c-1" })),
    allowed: (bench) => create(bench, JSON.stringify({ amount: 1, customer: "c-1" })),
  },
} satisfies Record<string, DenialCase>;
