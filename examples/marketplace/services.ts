// Promises the marketplace's own services on real sockets, with seeded data: each believes only a hop token of its environment, and counts
// what reached its business logic, so that a denial can be checked at the place it was meant to protect.
// Trusts the SDK's verifyRequest. Hop tokens: docs/formats/token.md §6.
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createRequestVerifier } from "@sallyport/sdk/verify-request.ts";
import type { Reply } from "./call.ts";
import type { MarketplaceEnvironment } from "./estate.ts";
import type { KeyedCertificate } from "./workloads.ts";

const bodyBytesMax = 128 * 1024;
const sawCharsMax = 1024 * 1024;

export interface Service {
  readonly name: string;
  readonly origin: string;
  /** Requests that reached the business logic. */
  reached(): number;
  /** Requests that were turned away because they did not come through a gateway. */
  turnedAway(): number;
  /** The next request, or so many, end with their connections, unanswered, before any of their business is done. */
  dropNext(times?: number): void;
  /** Requests that ended so. */
  dropped(): number;
  /** What the last request said about itself: caller of the hop token, and the headers the service was sent. */
  last(): Seen | null;
  /** Every request that reached the business logic, as it came; at most 1 MiB. */
  saw(): string;
  close(): Promise<void>;
}

export interface Seen {
  readonly caller: string;
  /** The user the caller acts for, and the chain of who acts; null where it acts for itself. */
  readonly subject: string | null;
  readonly act: unknown;
  /** The operation the gateway let through. */
  readonly operation: string | null;
  readonly headers: IncomingMessage["headers"];
}

/** A call to another system, through the gateway. */
export type CrossTo = (path: string, body: object) => Promise<Reply>;

interface Handled {
  readonly status: number;
  readonly body: object;
  /** In place of the body: an event stream that begins with it and does not end by itself. */
  readonly stays?: true;
}

interface Incoming {
  readonly method: string;
  readonly path: readonly string[];
  readonly body: Readonly<Record<string, unknown>>;
  /** The body as it came. */
  readonly text: string;
}

type Business = (incoming: Incoming) => Handled | Promise<Handled>;

export interface ServiceOptions {
  readonly environment: MarketplaceEnvironment;
  /** Learnt when control has started; asked for at the first request. */
  readonly issuer: () => string;
}

/** Invoices of two shops, reports of two regions, and the ledger. `collect` charges the customer at the payment provider. */
export function startBilling(options: ServiceOptions, collect: CrossTo): Promise<Service> {
  const invoices = new Map<string, { readonly shop: string; readonly cents: number }>([
    ["inv-1001", { shop: "shop-north", cents: 4_200 }],
    ["inv-1002", { shop: "shop-north", cents: 990 }],
    ["inv-2001", { shop: "shop-south", cents: 12_500 }],
  ]);
  return startVerifying("billing", options, async ({ method, path, body }) => {
    const [, kind, name = "", , id = ""] = path;
    if (method === "POST" && kind === "invoices") {
      const charge = await collect("/payments/v1/charges", { amount: body["amount"] });
      const created = `inv-${3_000 + invoices.size}`;
      invoices.set(created, { shop: "shop-north", cents: 1 });
      return { status: charge.status === 201 ? 201 : 502, body: { id: created, paid: charge.status === 201 } };
    }
    if (method === "POST" && kind === "payouts") return { status: 201, body: { cents: body["cents"] } };
    if (kind === "shops") {
      const invoice = invoices.get(id);
      return invoice?.shop === name ? { status: 200, body: { id, ...invoice } } : { status: 404, body: {} };
    }
    if (kind === "reports") return { status: 200, body: { region: name, revenueCents: 17_690, best: bestCustomer } };
    if (kind === "events") return { status: 200, body: { invoice: "inv-1001", state: "paid" }, stays: true };
    if (kind === "ledger") return { status: 200, body: { entries: invoices.size } };
    return { status: 200, body: { percent: name } };
  });
}

/** In every report, and nothing that a nightly job should read. */
export const bestCustomer = { name: "Ottilie Overspender", cents: 12_500 };

/** Orders; each new one is invoiced by `invoice`, a crossing of its own. */
export function startOrders(options: ServiceOptions, invoice: CrossTo): Promise<Service> {
  const orders = new Map<string, string>([["ord-1", "shipped"]]);
  return startVerifying("orders", options, async ({ method, path, body }) => {
    const id = path[2] ?? "";
    if (method === "GET") {
      const state = orders.get(id);
      return state === undefined ? { status: 404, body: {} } : { status: 200, body: { id, state } };
    }
    const created = `ord-${orders.size + 1}`;
    const { customer } = body;
    const reply = await invoice("/billing/v1/invoices", {
      order: created,
      shop: "shop-north",
      customer,
      amount: { cents: 4_200, currency: "EUR" },
    });
    orders.set(created, "placed");
    return { status: reply.status === 201 ? 201 : 502, body: { id: created, invoiced: reply.status === 201 } };
  });
}

/** Somebody else's API, on TLS; it knows nothing of Sallyport, so it verifies nothing. */
export function startPayments(tls: KeyedCertificate): Promise<Service> {
  const charges = new Map<string, unknown>();
  const counts = new Counts();
  const serve: RequestListener = (request, response) => {
    void handle(request, response, async (incoming) => {
      counts.take(request, unknownCaller, incoming.text);
      const id = `ch-${charges.size + 1}`;
      if (incoming.method === "POST") charges.set(id, incoming.body["amount"]);
      return { status: incoming.method === "POST" ? 201 : 200, body: { id } };
    });
  };
  return open("payments", createTlsServer({ cert: tls.cert, key: tls.key }, serve), counts);
}

/** Stock, older than the gateway: it believes one key that its callers share, and nothing else. */
export function startWarehouse(key: string): Promise<Service> {
  const counts = new Counts();
  const serve: RequestListener = (request, response) => {
    void handle(request, response, (incoming) => {
      if (request.headers.authorization !== `ApiKey ${key}`) {
        counts.turnedAway += 1;
        return { status: 401, body: { refusedBy: "warehouse" } };
      }
      counts.take(request, unknownCaller, incoming.text);
      return { status: 200, body: { item: incoming.path.at(-1), pieces: 12 } };
    });
  };
  return open("warehouse", createServer(serve), counts);
}

/** What a service knows that verifies nothing. */
const unknownCaller = { caller: "", subject: null, act: null, operation: null };

class Counts {
  reached = 0;
  turnedAway = 0;
  dropped = 0;
  dropsNext = 0;
  last: Seen | null = null;

  saw = "";

  take(request: IncomingMessage, who: Omit<Seen, "headers">, body: string): void {
    this.reached += 1;
    if (this.saw.length < sawCharsMax) this.saw += `${request.url} ${JSON.stringify(request.headers)} ${body}\n`;
    this.last = { ...who, headers: request.headers };
  }
}

function startVerifying(name: string, options: ServiceOptions, business: Business): Promise<Service> {
  const counts = new Counts();
  let verify: ReturnType<typeof createRequestVerifier> | null = null;
  const serve: RequestListener = (request, response) => {
    if (counts.dropsNext > 0) {
      counts.dropsNext -= 1;
      counts.dropped += 1;
      request.socket.destroy();
      return;
    }
    void handle(request, response, async (incoming) => {
      const issuer = options.issuer();
      verify ??= createRequestVerifier({ issuer, audience: `${issuer}/systems/${name}` });
      const verified = await verify(request.headers);
      if (verified.kind === "deny") {
        counts.turnedAway += 1;
        return { status: 401, body: { refusedBy: name, code: verified.code } };
      }
      const { sub: caller, subject = null, act = null, op: operation } = verified.claims;
      counts.take(request, { caller, subject, act, operation }, incoming.text);
      return business(incoming);
    });
  };
  return open(name, createServer(serve), counts);
}

async function handle(request: IncomingMessage, response: ServerResponse, serve: Business): Promise<void> {
  let handled: Handled;
  try {
    const text = await readBody(request);
    const body: unknown = text === "" ? {} : JSON.parse(text);
    const path = new URL(request.url ?? "/", "http://service").pathname.split("/").slice(1);
    const members = typeof body === "object" && body !== null ? Object.fromEntries(Object.entries(body)) : {};
    handled = await serve({ method: request.method ?? "", path, body: members, text });
  } catch (error) {
    handled = { status: 500, body: { fault: error instanceof Error ? error.name : "unknown" } };
  }
  const text = JSON.stringify(handled.body);
  if (handled.stays) {
    response.writeHead(handled.status, { "content-type": "text/event-stream" }).write(`data: ${text}\n\n`);
    return;
  }
  response.writeHead(handled.status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    // node:http hands out Buffers where no encoding was set.
    const bytes = chunk as Buffer;
    length += bytes.length;
    if (length > bodyBytesMax) throw new RangeError("the body is too large for this service");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function open(
  name: string,
  server: Server | ReturnType<typeof createTlsServer>,
  counts: Counts,
): Promise<Service> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  // A listening TCP server's address is never a string.
  const { port } = server.address() as AddressInfo;
  const origin = name === "payments" ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  return {
    name,
    origin,
    reached: () => counts.reached,
    turnedAway: () => counts.turnedAway,
    dropNext: (times = 1) => {
      counts.dropsNext = times;
    },
    dropped: () => counts.dropped,
    last: () => counts.last,
    saw: () => counts.saw,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
