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
} from "./testing/denials-behind.ts";
import {
  authorizeDenials,
  bindDenials,
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
  "client-aborted": clientAborted,
} satisfies Partial<Record<ProblemCode, DenialCase | readonly DenialCase[]>>;

/** Codes that need a gateway of their own: small tables, low bounds, no snapshot, no control, a bug. */
const own = {
  ...admitDenials,
  "replay-table-full": replayTableFull,
  "limit-table-full": limitTableFull,
  "stale-snapshot": staleSnapshot,
  "exchange-unavailable": exchangeUnavailable(),
  internal: internalBug(),
} satisfies Partial<Record<ProblemCode, OwnBench>>;

const registered = { ...shared, ...certificateDenials, ...own };

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

describe("on one gateway", () => judged(shared, { changes: { bounds: { headersTimeoutMs: 200 } } }));
describe("over TLS, by certificate", () => judged(certificateDenials, tlsBench));
describe("on a gateway of its own", { concurrency: true }, () => {
  for (const [code, { bench, case: one }] of Object.entries<OwnBench>(own))
    describe(code, () => judged({ [code]: one }, bench));
});
