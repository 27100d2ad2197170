// Promises a gateway whose listeners answer proxies, one for each kind, with what a proxy would ask: everything right unless a test says otherwise.
// Trusts three-ways.ts for the rest. Specified in docs/authorizer.md.
import type { EstateObject } from "@sallyport/protocol/snapshot/objects.ts";
import { marketplace } from "./marketplace-estate.ts";
import { type Answer, type CallOptions, call, type TestCaller } from "./test-caller.ts";
import type { TestEstate, TestOperation } from "./test-estate.ts";
import { type Bench, openBench } from "./three-ways.ts";

/** What callers use: the proxy's own origin. */
export const proxyUrl = "https://api.acme.example";
export const kinds = ["nginx", "caddy", "traefik", "envoy"] as const;
export type Kind = (typeof kinds)[number];

const anyBody = { content: "json", contentType: "application/json" } as const;

/** Of billing, one for each thing that an authoriser cannot keep, and what it can. */
const moreOperations: readonly TestOperation[] = [
  { name: "note.create", method: "POST", path: "/v1/notes", body: anyBody, changes: { unseenBody: true } },
  { name: "note.append", method: "POST", path: "/v1/notes/{id}/lines", body: anyBody },
  { name: "note.export", method: "GET", path: "/v1/exports/{id}" },
  { name: "note.lock", method: "POST", path: "/v1/notes/{id}/lock" },
  { name: "note.read", method: "GET", path: "/v1/notes/{id}", changes: { businessErrors: [404] } },
  { name: "note.look", method: "GET", path: "/v1/looks/{id}", response: {} },
  {
    name: "note.own",
    method: "GET",
    path: "/v1/own/{id}",
    attributes: { owner: { from: "response", name: "$.owner", type: "string" } },
  },
  { name: "note.sign", method: "GET", path: "/v1/signs/{id}", changes: { businessErrorsIn: [{ path: "$.error" }] } },
  { name: "note.part", method: "GET", path: "/v1/parts/{id}" },
  {
    name: "note.find",
    method: "GET",
    path: "/v1/found",
    parameters: {
      fields: [{ in: "query", name: "limit", type: "integer" }],
      schema: { properties: { query: { properties: { limit: { maximum: 9 } } } } },
      undeclaredQuery: "refuse",
    },
  },
];

const grantOf = (name: string) => (name === "note.part" ? { name, redact: ["$.secret"] } : { name });

/** The marketplace, with listeners that answer proxies on this machine's 127.0.0.1. */
export function askingEstate(upstreamUrl: string, more: EstateObject["listeners"] = {}): TestEstate {
  const base = marketplace(upstreamUrl);
  const unmapped = (operation: TestOperation): TestOperation => ({
    ...operation,
    changes: { businessErrors: [], ...operation.changes },
  });
  const listeners = kinds.map((proxy): [string, EstateObject["listeners"][string]] => [
    proxy,
    { url: proxyUrl, trustedProxies: ["127.0.0.1/32"], authorizer: { proxy } },
  ]);
  return {
    ...base,
    systems: base.systems.map((system) =>
      system.id === "billing"
        ? { ...system, operations: [...(system.operations ?? []), ...moreOperations].map(unmapped) }
        : system,
    ),
    integrations: base.integrations.map((one) =>
      one.id === "orders-to-billing"
        ? {
            ...one,
            operations: [...one.operations, ...moreOperations.map(({ name }) => grantOf(name))],
            concurrency: [{ per: "client", max: 10, operations: ["note.export"] }],
          }
        : one,
    ),
    estate: { listeners: { ...Object.fromEntries(listeners), ...more } },
  };
}

export interface AskingBench extends Bench {
  /** Address of the listener for this kind of proxy. */
  readonly at: (kind: Kind) => string;
}

export async function openAskingBench(): Promise<AskingBench> {
  const listener = (name: string) => ({ name, host: "127.0.0.1", port: 0 });
  const bench = await openBench({ estate: askingEstate, listeners: [listener("public"), ...kinds.map(listener)] });
  const { addresses } = bench.bed;
  const at = (kind: Kind): string => `http://127.0.0.1:${addresses.find(({ name }) => name === kind)?.port ?? 0}`;
  return { ...bench, at };
}

export interface Told extends Pick<CallOptions, "from" | "body" | "tls"> {
  readonly method?: string;
  /** Path and query of the request that is asked about. */
  readonly target?: string;
  readonly host?: string;
  readonly proto?: string;
  /** Beside those of the proxy, or in place of them; undefined: left out. */
  readonly fields?: Readonly<Record<string, string | string[] | undefined>>;
  /** How the proxy asks. */
  readonly asking?: string;
  readonly path?: string;
}

const invoice = "/billing/v1/invoices/1";
let clients = 0;
/** A network of its own for each question, so that no denial of a stranger is counted with another's. */
const nextClient = (): string => {
  clients += 1;
  return `10.${(clients >> 8) & 255}.${clients & 255}.1`;
};
const fieldsOf = (kind: Kind, told: Told): Record<string, string> => {
  const { method = "GET", target = invoice, host = "api.acme.example", proto = "https" } = told;
  if (kind === "envoy") return { host, "x-forwarded-proto": proto };
  const [prefix, host_] = kind === "nginx" ? ["x-original", "host"] : ["x-forwarded", "host"];
  return {
    [`${prefix}-method`]: method,
    [`${prefix}-uri`]: target,
    [`${prefix}-${host_}`]: host,
    [`${prefix}-proto`]: proto,
  };
};

/** What a proxy of this kind asks at `base`, with these fields of its client. */
export function ask(base: string, kind: Kind, told: Told = {}): Promise<Answer> {
  const { method = "GET", target = invoice, fields, asking = "GET", path = "/authz", body, from, tls } = told;
  const headers: Record<string, string | string[]> = { "x-forwarded-for": nextClient(), ...fieldsOf(kind, told) };
  for (const [name, value] of Object.entries(fields ?? {}))
    if (value === undefined) delete headers[name];
    else headers[name] = value;
  const url = kind === "envoy" ? `${base}${path}${target}` : `${base}${path}`;
  return call(url, {
    method: kind === "envoy" ? method : asking,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(from === undefined ? {} : { from }),
    ...(tls === undefined ? {} : { tls }),
  });
}

/** Credentials of a caller for the request that is asked about. */
export function credentials(
  caller: TestCaller,
  {
    method = "GET",
    target = invoice,
    url = proxyUrl,
  }: Pick<Told, "method" | "target"> & { readonly url?: string } = {},
): Record<string, string> {
  const token = caller.token("billing");
  const [path = ""] = target.split("?", 1);
  return { authorization: `DPoP ${token}`, dpop: caller.proof(method, `${url}${path}`, token) };
}

/** As a proxy asks about a request of this caller, with everything right. */
export async function askFor(caller: TestCaller, base: string, kind: Kind, told: Told = {}): Promise<Answer> {
  if (caller.nonce === undefined) caller.nonce = String((await ask(base, kind, {})).headers["dpop-nonce"]);
  return ask(base, kind, { ...told, fields: { ...credentials(caller, told), ...told.fields } });
}
