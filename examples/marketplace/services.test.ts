import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { signHopToken } from "@sallyport/protocol/token/hop-token.ts";
import { call, replyOf } from "./call.ts";
import { type Service, startBilling, startOrders } from "./services.ts";

/** An issuer that publishes one hop key, and tokens made with it. */
async function withIssuer(body: (of: { issuer: string; hop: (aud: string, sub?: string) => string }) => Promise<void>) {
  const { signer } = generateSigner("ES256");
  const server = createServer((request, response) => {
    const isKeys = request.url?.endsWith("/hop-jwks") === true;
    response.writeHead(isKeys ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify({ keys: [{ ...signer.jwk, kid: signer.kid }] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/main/production`;
  const iat = Math.floor(Date.now() / 1000);
  const hop = (aud: string, sub = "orders") =>
    signHopToken(
      {
        iss: issuer,
        aud: `${issuer}/systems/${aud}`,
        sub,
        iat,
        exp: iat + 30,
        jti: "gw-1-01KAMZZZZZ0000000000000000",
        op: `${aud}:x.read`,
        int: "orders-to-billing",
      },
      signer,
    );
  try {
    await body({ issuer, hop });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const paid = async () => replyOf({ status: 201, headers: {}, text: "{}", latencyMs: 1 });

async function withBilling(
  body: (of: { billing: Service; hop: (aud: string, sub?: string) => string }) => Promise<void>,
) {
  await withIssuer(async ({ issuer, hop }) => {
    const billing = await startBilling({ environment: "production", issuer: () => issuer }, paid);
    try {
      await body({ billing, hop });
    } finally {
      await billing.close();
    }
  });
}

test("billing serves a request that a gateway vouches for, and counts it", () =>
  withBilling(async ({ billing, hop }) => {
    const headers = { "sallyport-identity": hop("billing") };
    const reply = await call(`${billing.origin}/v1/shops/shop-north/invoices/inv-1001`, { headers });
    assert.equal(reply.status, 200);
    assert.deepEqual([billing.reached(), billing.turnedAway()], [1, 0]);
    assert.equal(billing.last()?.caller, "orders");
    assert.match(billing.saw(), /inv-1001/);
  }));

test("billing turns away whatever does not come through a gateway, and its business logic never sees it", () =>
  withBilling(async ({ billing, hop }) => {
    const attempts = [{}, { "sallyport-identity": "orders" }, { "sallyport-identity": hop("orders") }];
    for (const headers of attempts) assert.equal((await call(`${billing.origin}/v1/ledger`, { headers })).status, 401);
    assert.deepEqual([billing.reached(), billing.turnedAway()], [0, 3]);
    assert.equal(billing.saw(), "");
  }));

test("billing does not find an invoice under another shop", () =>
  withBilling(async ({ billing, hop }) => {
    const headers = { "sallyport-identity": hop("billing") };
    const reply = await call(`${billing.origin}/v1/shops/shop-south/invoices/inv-1001`, { headers });
    assert.equal(reply.status, 404);
  }));

test("an order is answered only when its invoice was made", () =>
  withIssuer(async ({ issuer, hop }) => {
    const headers = { "sallyport-identity": hop("orders", "portal"), "content-type": "application/json" };
    for (const [invoiced, status] of [
      [201, 201],
      [403, 502],
    ] as const) {
      const asked: string[] = [];
      const orders = await startOrders({ environment: "production", issuer: () => issuer }, async (path) => {
        asked.push(path);
        return replyOf({ status: invoiced, headers: {}, text: "{}", latencyMs: 1 });
      });
      try {
        const body = JSON.stringify({ customer: { name: "Ada" } });
        const reply = await call(`${orders.origin}/v1/orders`, { method: "POST", body, headers });
        assert.equal(reply.status, status);
        assert.deepEqual(asked, ["/billing/v1/invoices"]);
      } finally {
        await orders.close();
      }
    }
  }));

test("a body that is not JSON is a fault of the request, not the end of the service", () =>
  withBilling(async ({ billing, hop }) => {
    const headers = { "sallyport-identity": hop("billing") };
    assert.equal((await call(`${billing.origin}/v1/invoices`, { method: "POST", body: "{", headers })).status, 500);
    assert.equal((await call(`${billing.origin}/v1/ledger`, { headers })).status, 200);
  }));
