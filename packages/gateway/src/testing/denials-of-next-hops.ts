// Promises one refusal for every code of tokens that providers are called with, beside its nearest allow. Trusts three-ways.ts to judge them.
// Specified in docs/identity/next-hop.md.
import { randomBytes } from "node:crypto";
import type { NextHopAnswer } from "@sallyport/protocol/channel/next-hop.ts";
import type { NextHopObject } from "@sallyport/protocol/snapshot/upstream-object.ts";
import type { TestEstate } from "./test-estate.ts";
import { type Bench, benchEstate, type DenialCase } from "./three-ways.ts";

const rule: NextHopObject = { exchanged: true, scheme: "DPoP", rules: "0".repeat(64) };

export const nextHopBench = {
  estate(url: string): TestEstate {
    const { systems, ...rest } = benchEstate(url);
    const upstream = { url, allowPrivate: true, nextHop: rule };
    return { ...rest, systems: systems.map((one) => (one.id === "billing" ? { ...one, changes: { upstream } } : one)) };
  },
};

/** Control says this from now on; a good token where nothing is said. */
const says = (bench: Bench, answer?: NextHopAnswer): void => {
  bench.bed.feed.nextHop = async () =>
    answer ?? {
      kind: "token",
      token: randomBytes(16).toString("hex"),
      scheme: "DPoP",
      expiresAt: bench.bed.clock.now() + 60_000,
      id: randomBytes(16).toString("hex"),
    };
};
const invoice = (bench: Bench) => bench.orders.send(bench.invoice);
const mend = (bench: Bench): void => {
  says(bench);
  bench.upstream.answer = null;
};

export const nextHopDenials = {
  "next-hop-refused": {
    what: "control gives no token for this caller",
    status: 403,
    stage: "exchange",
    verdict: "allow",
    prepare: (bench) => says(bench, { kind: "refused", code: "policy-denied" }),
    refused: invoice,
    mend,
  },
  "next-hop-unavailable": {
    what: "control cannot be asked",
    status: 503,
    stage: "exchange",
    verdict: "allow",
    outcome: "system-error",
    prepare: (bench) => {
      bench.bed.feed.nextHop = null;
    },
    refused: invoice,
    mend,
  },
  "next-hop-rejected": {
    what: "the provider takes neither the token nor the next one",
    status: 502,
    stage: "forward",
    verdict: "allow",
    outcome: "system-error",
    reaches: 2,
    prepare(bench) {
      says(bench);
      bench.upstream.answer = (_request, response) =>
        response.writeHead(401, { "www-authenticate": 'DPoP error="invalid_token"' }).end();
    },
    refused: invoice,
    mend,
  },
} satisfies Readonly<Record<string, DenialCase>>;
