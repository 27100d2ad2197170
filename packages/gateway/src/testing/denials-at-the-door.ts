// Promises one refusal for every code of receive, admit and route, beside its nearest allow. Trusts three-ways.ts to judge them.
// Specified in docs/gateway.md (listen, admit) and docs/problems.
import { callRaw } from "./raw-answer.ts";
import { until } from "./start-test-gateway.ts";
import { call } from "./test-caller.ts";
import { type Bench, type BenchOptions, benchEstate, type DenialCase } from "./three-ways.ts";

const host = (bench: Bench): string => new URL(bench.url).host;
const get = (bench: Bench, ...lines: string[]): string =>
  `${["GET /billing/v1/invoices/1 HTTP/1.1", `Host: ${host(bench)}`, ...lines].join("\r\n")}\r\n\r\n`;
const receive = (what: string, status: number, refused: DenialCase["refused"]): DenialCase => ({
  what,
  status,
  stage: "receive",
  refused,
});

export const receiveDenials = {
  "bad-framing": receive("Transfer-Encoding together with Content-Length", 400, (bench) =>
    callRaw(bench.url, get(bench, "Content-Length: 4", "Transfer-Encoding: chunked")),
  ),
  "bad-request-line": receive("a request target in absolute form", 400, (bench) =>
    callRaw(bench.url, get(bench).replace("GET /", `GET ${bench.url}/`)),
  ),
  "bad-header": receive("an alias of a header field with underscores", 400, (bench) =>
    call(bench.invoice, { headers: { X_Forwarded_User: "admin" } }),
  ),
  "duplicate-header": receive("Authorization twice", 400, (bench) =>
    call(bench.invoice, { headers: { authorization: ["DPoP a", "DPoP b"] } }),
  ),
  "ambiguous-path": receive("an encoded slash", 400, (bench) => call(`${bench.url}/billing/v1%2finvoices/1`)),
  "bad-host": receive("a Host that is no host", 400, (bench) => call(bench.invoice, { headers: { host: "a b" } })),
  "bad-version": receive("HTTP/2.0 in the request line", 505, (bench) =>
    callRaw(bench.url, get(bench).replace("HTTP/1.1", "HTTP/2.0")),
  ),
  "upgrade-not-supported": receive("a WebSocket handshake", 400, (bench) =>
    call(bench.invoice, { headers: { connection: "upgrade", upgrade: "websocket" } }),
  ),
  "method-not-supported": receive("CONNECT", 501, (bench) =>
    callRaw(bench.url, `CONNECT ${host(bench)} HTTP/1.1\r\nHost: ${host(bench)}\r\n\r\n`),
  ),
  "header-too-large": receive("a header section of 20 KiB", 431, (bench) =>
    callRaw(bench.url, get(bench, `X-Bomb: ${"a".repeat(20_000)}`)),
  ),
  "uri-too-long": receive("a request target of 9,000 characters", 414, (bench) =>
    call(`${bench.url}/${"x".repeat(9_000)}`),
  ),
  "request-timeout": receive("a head that never ends", 408, (bench) => callRaw(bench.url, get(bench).slice(0, -2))),
} satisfies Record<string, DenialCase>;

/** Holds one crossing at the provider while `during` runs. */
function holding(): Pick<DenialCase, "prepare" | "mend"> {
  let held: Promise<unknown> | null = null;
  const release: (() => void)[] = [];
  return {
    async prepare(bench) {
      await bench.orders.learnNonce(bench.invoice);
      bench.upstream.answer = (_request, response) => void release.push(() => response.end("{}"));
      held = bench.orders.send(bench.invoice);
      await until(() => release.length === 1, "a crossing held at the provider");
    },
    async mend(bench) {
      bench.upstream.answer = null;
      for (const one of release) one();
      await held;
    },
  };
}

export interface OwnBench {
  readonly bench: BenchOptions;
  readonly case: DenialCase;
}

export const admitDenials = {
  overloaded: {
    bench: { changes: { admission: { inFlightMax: 1 } } },
    case: {
      what: "one more request than may be in flight",
      status: 503,
      stage: "admit",
      ...holding(),
      refused: (bench) => bench.orders.send(bench.invoice),
    },
  },
  "too-many-from-source": {
    bench: { changes: { admission: { inFlightPerPrefixMax: 1 } } },
    case: {
      what: "one more request in flight than a source network may have",
      status: 429,
      stage: "admit",
      ...holding(),
      refused: (bench) => bench.orders.send(bench.invoice),
    },
  },
  "agent-refused": {
    bench: {},
    case: {
      what: "an agent that calls itself a scanner",
      status: 403,
      stage: "admit",
      async prepare({ bed, upstream, url }) {
        const bots = { mode: "enforce", rules: ["scanner-agent"], agents: [] } as const;
        const listeners = { public: { url, trustedProxies: [], bots } };
        await bed.publish({ ...benchEstate(upstream.url), estate: { listeners } });
      },
      refused: (bench) => bench.orders.send(bench.invoice, { headers: { "user-agent": "sqlmap/1.8" } }),
      allowed: (bench) => bench.orders.send(bench.invoice, { headers: { "user-agent": "orders/1.8" } }),
    },
  },
  "not-ready": {
    bench: { unpublished: true },
    case: {
      what: "no snapshot has come yet",
      status: 503,
      stage: "route",
      refused: (bench) => call(bench.invoice),
      mend: (bench) => bench.publish(),
    },
  },
} satisfies Record<string, OwnBench>;
