import assert from "node:assert/strict";
import { test } from "node:test";
import { clientSteps, gatewaySteps, quantile } from "./timings.ts";

const issuer = "https://id.example";
const gateway = "https://gw.example";
const exchange = (url: string, status: number, connectMs: number | null = null) => ({
  method: "GET",
  url,
  status,
  connectMs,
  firstByteMs: 2.005,
});

test("each exchange of a call is named after what it was for, with connecting apart", () => {
  const steps = clientSteps(
    [
      exchange(`${issuer}/.well-known/oauth-authorization-server/main/production`, 200, 3),
      exchange(`${issuer}/main/production/token`, 400),
      exchange(`${issuer}/main/production/token`, 200),
      exchange(`${gateway}/billing/v1/invoices/1`, 401, 4),
      exchange(`${gateway}/billing/v1/invoices/1`, 200),
    ],
    { gateway, bodyMs: 1 },
  );
  assert.deepEqual(
    steps.map(({ step }) => step),
    [
      "issuer metadata: connect and TLS",
      "issuer metadata",
      "nonce of the issuer",
      "token",
      "nonce of the gateway: connect and TLS",
      "nonce of the gateway",
      "crossing: first byte",
      "crossing: body",
    ],
  );
});

test("the gateway's stages are read from Server-Timing, and what is not in its form is left out", () => {
  assert.deepEqual(gatewaySteps('receive;dur=0.05, admit;desc="a";dur=1, x, ;dur=2, forward;dur=-1, route;dur=1e9'), [
    { at: "gateway", step: "receive", ms: 0.05 },
    { at: "gateway", step: "admit", ms: 1 },
    { at: "gateway", step: "route", ms: 1 },
  ]);
  assert.deepEqual(gatewaySteps(null), []);
});

test("quantiles are of the samples, and of none are 0", () => {
  const samples = Array.from({ length: 100 }, (_, i) => i);
  assert.deepEqual([quantile(samples, 0.5), quantile(samples, 0.99), quantile([], 0.5)], [50, 99, 0]);
});
