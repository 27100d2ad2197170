import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { call } from "./call.ts";
import { type Portal, startPortal, stepUpPath } from "./portal.ts";
import { createWorkloads, type Workloads } from "./workloads.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-portal-"));
let portal: Portal;
let workloads: Workloads;
before(async () => {
  workloads = createWorkloads("production", folder);
  portal = await startPortal({
    identity: { clientId: "portal", key: workloads.clients.portal },
    tls: workloads.portal,
    // Nothing here gets as far as the issuer or the gateway: nobody listens at these ports.
    issuer: "https://localhost:9/main/production",
    gateway: "https://localhost:9",
  });
});
after(async () => {
  await portal.close();
  rmSync(folder, { recursive: true, force: true });
});

const ask = (path: string, options: { readonly method?: string; readonly headers?: Record<string, string> } = {}) =>
  call(portal.origin + path, { ...options, tls: { ca: workloads.root } });

test("a browser without a session is told where to sign in, and nothing is called for it", async () => {
  for (const headers of [{}, { cookie: "__Host-portal=made-up" }, { cookie: "__Host-portal=a; __Host-portal=b" }])
    for (const path of ["/", "/orders/ord-1", "/invoices/inv-1001"]) {
      const reply = await ask(path, { headers });
      assert.deepEqual([reply.status, reply.text], [401, '{"signIn":"/sign-in"}']);
    }
});

test("login CSRF: an answer of the issuer in a browser that did not ask for it signs nobody in", async () => {
  for (const headers of [{}, { cookie: "__Host-portal-begun=made-up" }]) {
    const reply = await ask("/callback?code=stolen&state=s&iss=https%3A%2F%2Fissuer", { headers });
    assert.deepEqual([reply.status, reply.headers["set-cookie"]], [400, undefined]);
  }
});

test("the gateway's wish for a stronger log-in becomes an address of the portal, whatever else the field says", () => {
  const field =
    'DPoP error="insufficient_user_authentication", acr_values="urn:sallyport:acr:mfa", max_age="600", algs="ES256 EdDSA"';
  assert.equal(stepUpPath(field), "/sign-in?acr_values=urn%3Asallyport%3Aacr%3Amfa&max_age=600");
  assert.equal(stepUpPath('DPoP algs="ES256"'), "/sign-in?");
});
