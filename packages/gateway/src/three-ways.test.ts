// Every code that can end a crossing, over a real socket against a real gateway, judged three ways beside its nearest allow (DESIGN §7.15).
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type ProblemCode, problems } from "@sallyport/protocol/problem.ts";
import { admitDenials, type OwnBench, receiveDenials } from "./testing/denials-at-the-door.ts";
import {
  clientAborted,
  exchangeUnavailable,
  forwardDenials,
  internalBug,
  payloadUnavailable,
  recordUnavailable,
  responseDenials,
} from "./testing/denials-behind.ts";
import { apiKeyBench, apiKeyDenials } from "./testing/denials-of-api-keys.ts";
import {
  authorizeDenials,
  bindDenials,
  concurrencyLimited,
  inspectDenials,
  limitTableFull,
  rateLimited,
  staleSnapshot,
} from "./testing/denials-of-callers.ts";
import {
  certificateDenials,
  proofDenials,
  replayTableFull,
  tlsBench,
  tokenDenials,
} from "./testing/denials-of-identity.ts";
import { nextHopBench, nextHopDenials } from "./testing/denials-of-next-hops.ts";
import { quotaDenials } from "./testing/denials-of-quotas.ts";
import { ownRepeatDenials, repeatBench, repeatDenials } from "./testing/denials-of-repeats.ts";
import { signatureBench, signatureDenials } from "./testing/denials-of-signatures.ts";
import { type Bench, type BenchOptions, type DenialCase, judgeDenial, openBench } from "./testing/three-ways.ts";

/** Codes judged on one gateway that nothing changes for good. */
const shared = {
  ...receiveDenials,
  ...tokenDenials,
  ...proofDenials,
  ...bindDenials,
  "rate-limited": rateLimited,
  ...authorizeDenials,
  ...inspectDenials,
  "record-unavailable": recordUnavailable,
  "payload-unavailable": payloadUnavailable,
  ...forwardDenials,
  ...responseDenials,
  "client-aborted": clientAborted,
} satisfies Partial<Record<ProblemCode, DenialCase | readonly DenialCase[]>>;

/** Codes that need a gateway of their own: small tables, low bounds, no snapshot, no control, a bug. */
const own = {
  ...admitDenials,
  "replay-table-full": replayTableFull,
  "concurrency-limited": concurrencyLimited,
  ...quotaDenials,
  "limit-table-full": limitTableFull,
  "stale-snapshot": staleSnapshot,
  "exchange-unavailable": exchangeUnavailable(),
  internal: internalBug(),
  ...ownRepeatDenials,
} satisfies Partial<Record<ProblemCode, OwnBench>>;

/** Codes judged where they can be: said by a Close and an outcome alone, or only to proxies that ask. */
const elsewhere = {
  "websocket-malformed": "websocket.test.ts",
  shed: "overload.test.ts",
  "not-in-authorizer-mode": "authorizer.test.ts",
  "proxy-not-trusted": "authorizer.test.ts",
  "proxy-request": "authorizer.test.ts",
} satisfies Partial<Record<ProblemCode, string>>;

const registered = {
  ...shared,
  ...certificateDenials,
  ...signatureDenials,
  ...apiKeyDenials,
  ...repeatDenials,
  ...nextHopDenials,
  ...own,
  ...elsewhere,
};

test("each code of problem.ts has a case here, so a new one cannot come without", () => {
  assert.deepEqual(Object.keys(registered).sort(), Object.keys(problems).sort());
});

function judged(cases: Partial<Record<string, DenialCase | readonly DenialCase[]>>, options: BenchOptions): void {
  let bench: Bench;
  before(async () => {
    bench = await openBench(options);
  });
  after(() => bench?.close());
  for (const [code, listed] of Object.entries(cases)) {
    for (const one of [listed ?? []].flat()) {
      // The keys are those of `registered`, which equal the codes (above).
      test(`${code}: ${one.what}`, () => judgeDenial(bench, code as ProblemCode, one));
    }
  }
}

describe("on one gateway", () => judged(shared, { changes: { bounds: { headersTimeoutMs: 1_500 } } }));
describe("over TLS, by certificate", () => judged(certificateDenials, tlsBench));
describe("with API keys", () => judged(apiKeyDenials, apiKeyBench));
describe("with signatures", () => judged(signatureDenials, signatureBench));
describe("with keys for repeats", () => judged(repeatDenials, repeatBench));
describe("with tokens for providers", () => judged(nextHopDenials, nextHopBench));
describe("on a gateway of its own", { concurrency: true }, () => {
  for (const [code, { bench, case: one }] of Object.entries<OwnBench>(own))
    describe(code, () => judged({ [code]: one }, bench));
});
