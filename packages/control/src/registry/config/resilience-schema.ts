// Promises the keys that say where a system is served more than once and what is done when it fails. Trusts nothing. What they do: docs/resilience.md.
import { z } from "zod";
import { itemsMax } from "./bounds.ts";
import { duration, percent, publicPath, upstreamUrl } from "./words.ts";

const endpoint = z.strictObject({
  url: upstreamUrl().describe("Where its operations are served, http or https, with an optional base path."),
  weight: z.int().min(1).max(100).prefault(1).describe("Its share of the requests beside the others."),
});
const endpointShort = upstreamUrl().transform((url) => ({ url, weight: 1 }));

const retries = z.union([
  z.literal("none"),
  z.strictObject({
    attempts: z.int().min(1).max(5).prefault(2).describe("How often a request is tried in all."),
    budget: percent({ min: 1, max: 100 })
      .prefault("20%")
      .describe("Retries per request over ten seconds, at each gateway; `1%` to `100%`."),
    least: z
      .int()
      .min(0)
      .max(1_000)
      .prefault(10)
      .describe("Retries that ten seconds always have, whatever the budget says."),
  }),
]);

const breaker = z.union([
  z.literal("none"),
  z.strictObject({
    failures: z
      .int()
      .min(1)
      .max(1_000)
      .prefault(5)
      .describe("Failures in a row after which an endpoint is left alone."),
    share: percent({ min: 1, max: 100 })
      .optional()
      .describe(
        "Share of failed attempts over ten seconds at which it is, too; `50%` by default where there are several endpoints, else none.",
      ),
    requests: z.int().min(1).max(100_000).prefault(20).describe("Attempts that such a share is taken of, at least."),
    pause: duration({ minMs: 100, maxMs: 600_000, says: "`100ms` to `10m`" })
      .prefault("5s")
      .describe(
        "How long it is left alone the first time, before one request tries it; doubles each time it still fails.",
      ),
    longest: duration({ minMs: 100, maxMs: 3_600_000, says: "`100ms` to `1h`" })
      .prefault("1m")
      .describe("The longest such pause."),
  }),
]);

/** Keys of a system. */
export const resilienceKeys = {
  endpoints: z
    .array(z.union([endpointShort, endpoint]))
    .min(1)
    .max(itemsMax)
    .optional()
    .describe(
      "Where its operations are served, in place of `url`, where that is more than one place: URLs, or maps with a `weight`.",
    ),
  timeouts: z
    .strictObject({
      connect: duration({ minMs: 10, maxMs: 60_000, says: "`10ms` to `1m`" })
        .prefault("5s")
        .describe("How long a new connection may take."),
      attempt: duration({ minMs: 10, maxMs: 300_000, says: "`10ms` to `5m`" })
        .optional()
        .describe("How long one attempt may take; by default all the time of its operation."),
    })
    .prefault({})
    .describe("Time of connections and attempts; that of the whole request is `timeout` of its operation."),
  retries: retries
    .prefault({})
    .describe("How often requests without an effect are tried again, and others that have not begun; or `none`."),
  breaker: breaker.prefault({}).describe("When an endpoint that fails is left alone; or `none`."),
  health: z
    .strictObject({
      path: publicPath()
        .optional()
        .describe("Asked with GET behind the base path of each endpoint, without an identity; 200 to 299 is well."),
      grpc: z
        .string()
        .regex(/^[A-Za-z0-9_.]{0,256}$/)
        .optional()
        .describe(
          'Asked with `grpc.health.v1.Health/Check` about this service, or with `""` about the whole server; SERVING is well.',
        ),
      every: duration({ minMs: 1_000, maxMs: 3_600_000, says: "`1s` to `1h`" })
        .prefault("10s")
        .describe("How often each endpoint is asked."),
      timeout: duration({ minMs: 10, maxMs: 10_000, says: "`10ms` to `10s`" })
        .prefault("2s")
        .describe("How long an answer may take."),
      failures: z.int().min(1).max(100).prefault(3).describe("Checks in a row that fail before others are preferred."),
      successes: z
        .int()
        .min(1)
        .max(100)
        .prefault(2)
        .describe("Checks in a row that succeed before it is as good as the others again."),
    })
    .optional()
    .describe(
      "Asks each of several endpoints how it is, while the system is used; without it only answers to requests say.",
    ),
  inFlight: z
    .strictObject({
      total: z.int().min(1).max(10_000).optional().describe("Requests under way at all endpoints together."),
      each: z.int().min(1).max(10_000).optional().describe("Requests under way at each endpoint."),
      waiting: z
        .int()
        .min(0)
        .max(4_096)
        .prefault(0)
        .describe("Requests that may wait for room; more are refused at once."),
      wait: duration({ minMs: 10, maxMs: 60_000, says: "`10ms` to `1m`" })
        .prefault("1s")
        .describe("How long one may wait."),
    })
    .optional()
    .describe(
      "How many requests of one gateway the provider bears; without it there is no bound but that of connections.",
    ),
};

const fallbackBytesMax = 16 * 1024;

/** Of an operation. */
export const fallback = () =>
  z
    .strictObject({
      status: z.int().min(200).max(299).prefault(200).describe("Its status, 200 to 299."),
      contentType: z
        .string()
        .regex(/^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/)
        .prefault("application/json")
        .describe("Its media type, without parameters."),
      body: z
        .string()
        .max(fallbackBytesMax)
        .optional()
        .describe("Its content, as text of at most 16,384 characters. Required where `stale` is not there."),
      stale: duration({ minMs: 1_000, maxMs: 86_400_000, says: "`1s` to `24h`" })
        .optional()
        .describe(
          "How old an answer may be that the same principal got to the same request and gets again; before `body`.",
        ),
    })
    .describe(
      "What callers of a read get in place of a provider that failed, marked as such; without it they are told that it failed.",
    );

const keys = z.object(resilienceKeys);
export type ResilienceSource = z.output<typeof keys>;
