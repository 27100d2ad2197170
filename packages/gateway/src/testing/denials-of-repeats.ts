// Promises one refusal for every code of idempotency, beside its nearest allow: a key that is missing, unreadable, used or in use, an effect nobody knows, a
// version not named, a resource somebody writes to. Trusts three-ways.ts to judge them. Specified in docs/idempotency.md.
import { DataPlaneFault } from "../idempotency/data-plane.ts";
import type { OwnBench } from "./denials-at-the-door.ts";
import { repeatEstate } from "./repeat-estate.ts";
import { until } from "./start-test-gateway.ts";
import type { Answer, CallOptions } from "./test-caller.ts";
import type { Bench, DenialCase } from "./three-ways.ts";

export const repeatBench = { estate: (url: string) => repeatEstate(url) };

let serial = 0;
const fresh = (): string => `"three-ways-${serial++}"`;

interface Sent {
  readonly key?: string;
  readonly headers?: CallOptions["headers"];
  readonly body?: string;
  readonly method?: string;
}

const send = (bench: Bench, path: string, { key, headers, body = "{}", method = "POST" }: Sent): Promise<Answer> =>
  bench.orders.send(`${bench.url}/bank/v1/${path}`, {
    method,
    body,
    headers: {
      "content-type": "application/json",
      ...(key === undefined ? {} : { "idempotency-key": key }),
      ...headers,
    },
  });
const pay = (bench: Bench, sent: Sent) => send(bench, "payments", sent);
const change = (bench: Bench, headers: CallOptions["headers"]) =>
  send(bench, "accounts/7", { method: "PUT", headers: { ...headers } });

const stage = "idempotency";
const allowed = (bench: Bench) => pay(bench, { key: fresh() });

/** A key under which something was sent before the refusal. */
function used(prepare: (bench: Bench, key: string) => Promise<unknown>, again: Sent = {}) {
  let key = "";
  return {
    stage,
    prepare: async (bench: Bench) => {
      key = fresh();
      await prepare(bench, key);
    },
    refused: (bench: Bench) => pay(bench, { key, ...again }),
    mend: (bench: Bench) => {
      bench.upstream.answer = null;
    },
    allowed,
  } as const;
}

/** The first request with a key waits at its provider until the refusal is over. */
function underWay(
  first: (bench: Bench, key: string) => Promise<unknown>,
  refused: (bench: Bench, key: string) => Promise<Answer>,
) {
  let key = "";
  let release = (): void => {};
  let ended: Promise<unknown> = Promise.resolve();
  return {
    stage,
    async prepare(bench: Bench) {
      key = fresh();
      await bench.orders.learnNonce(bench.invoice);
      bench.upstream.answer = (_request, response) => {
        release = () => response.writeHead(200).end("{}");
      };
      const before = bench.upstream.seen.length;
      ended = first(bench, key);
      await until(() => bench.upstream.seen.length > before, "the first at its provider");
    },
    refused: (bench: Bench) => refused(bench, key),
    async mend(bench: Bench) {
      bench.upstream.answer = null;
      release();
      await ended;
    },
  } as const;
}

export const repeatDenials = {
  "idempotency-key-missing": {
    what: "no key where one is required",
    status: 400,
    stage,
    refused: (bench) => pay(bench, {}),
    allowed,
  },
  "idempotency-key-malformed": {
    what: "a key without quotes",
    status: 400,
    stage,
    refused: (bench) => pay(bench, { key: "8e03978e-40d5-43e8-bc93-6894a57f9324" }),
    allowed,
  },
  "idempotency-key-reused": {
    what: "other content under a used key",
    status: 422,
    ...used((bench, key) => pay(bench, { key }), { body: '{"amount":6}' }),
  },
  "idempotency-in-flight": {
    what: "a repeat while the first is at its provider",
    status: 409,
    ...underWay(
      (bench, key) => pay(bench, { key }),
      (bench, key) => pay(bench, { key }),
    ),
    allowed,
  },
  "idempotency-outcome-unknown": {
    what: "a repeat of what the provider failed at",
    status: 409,
    ...used((bench, key) => {
      bench.upstream.answer = (_request, response) => response.writeHead(500).end();
      return pay(bench, { key });
    }),
  },
  "idempotency-answer-not-kept": {
    what: "a repeat of what was answered too long",
    status: 409,
    ...used((bench, key) => {
      bench.upstream.answer = (_request, response) => response.writeHead(200).end("x".repeat(70_000));
      return pay(bench, { key });
    }),
  },
  "precondition-required": {
    what: "a change without the version it is of",
    status: 428,
    stage,
    refused: (bench) => change(bench, {}),
    allowed: (bench) => change(bench, { "if-match": '"v1"' }),
  },
  "precondition-malformed": {
    what: "a weak entity tag where strong ones are required",
    status: 400,
    stage,
    refused: (bench) => change(bench, { "if-match": 'W/"v1"' }),
    allowed: (bench) => change(bench, { "if-match": '"v1"' }),
  },
} satisfies Record<string, DenialCase>;

export const ownRepeatDenials = {
  "resource-busy": {
    bench: {
      estate: (url: string) =>
        repeatEstate(url, {
          "account.change": {
            changes: { serialize: { from: "path", name: "id", type: "string" }, timeoutMs: 10_000 },
          },
        }),
    },
    case: {
      what: "a write while another one to the same resource does not end",
      status: 409,
      ...underWay(
        (bench) => change(bench, { "if-match": '"v1"' }),
        (bench) => change(bench, { "if-match": '"v1"' }),
      ),
      allowed: (bench) => change(bench, { "if-match": '"v1"' }),
    },
  },
  "idempotency-keys-full": {
    bench: { ...repeatBench, changes: { tables: { keysPerCaller: 2 } } },
    case: {
      what: "a third key of a calling system that may have two",
      status: 429,
      stage,
      async prepare(bench) {
        for (const _ of [1, 2]) await pay(bench, { key: fresh() });
      },
      refused: (bench) => pay(bench, { key: fresh() }),
      allowed: (bench) => send(bench, "notes", {}),
    },
  },
  "idempotency-unavailable": {
    bench: {
      ...repeatBench,
      changes: {
        dataStore: { dialect: "sqlite", open: () => Promise.reject(new DataPlaneFault("a disk that is not there")) },
      },
    },
    case: {
      what: "an effect that needs a key while the data-plane store is away; what needs none goes on",
      status: 503,
      stage,
      refused: (bench) => pay(bench, { key: fresh() }),
      allowed: (bench) => send(bench, "notes", {}),
    },
  },
} satisfies Record<string, OwnBench>;
