import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connectionOptions,
  isIdentityHeader,
  keepsRequestHeader,
  keepsResponseHeader,
  reachesProvider,
  requestHeadersForUpstream,
} from "./hop-headers.ts";

const nobody: ReadonlySet<string> = new Set();

const identity =
  "sallyport-identity sallyport-verdict sallyport-anything x-sallyport-caller forwarded x-forwarded-for x-forwarded-user x-forwarded-client-cert x-forwarded-proto x-forwarded-prefix x-real-ip client-cert client-cert-chain x-client-cert x-client-certificate x-client-verify ssl-client-verify x-ssl-client-cert x-amzn-mtls-clientcert remote-user x-remote-user x-auth-request-email x-consumer-username x-authenticated-userid x-envoy-original-path x-original-url x-rewrite-url x-http-method-override true-client-ip cf-connecting-ip cf-connecting-ipv6 remote-groups remote-email remote-addr x-remote-group x-remote-extra-scopes x-remote-ip impersonate-user impersonate-group x-arr-clientcert x-pomerium-jwt-assertion x-authentik-username x-vouch-user x-jwt-assertion x-jwt-payload x-jwt-claim-sub x-claims x-claim-sub x-azure-clientip x-middleware-subrequest x-forwarded x-originating-ip front-end-https x-appengine-user-ip x-username x-user-email x-groups x-endpoint-api-userinfo x-apigateway-api-userinfo proxy".split(
    " ",
  );
for (const name of identity) {
  test(`a caller cannot bring ${name} to a provider (CVE-2026-39998)`, () => {
    assert.equal(isIdentityHeader(name), true);
    assert.equal(keepsRequestHeader(name, nobody), false);
  });
}

for (const name of [
  "authorization",
  "dpop",
  "host",
  "content-length",
  "expect",
  "connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "proxy-authorization",
  "keep-alive",
]) {
  test(`${name} ends at this hop`, () => assert.equal(keepsRequestHeader(name, nobody), false));
}

for (const name of [
  "accept",
  "content-type",
  "idempotency-key",
  "traceparent",
  "cookie",
  "user-agent",
  "x-request-id",
  "forwarded-by-hand",
  "clientele",
]) {
  test(`${name} goes on`, () => assert.equal(keepsRequestHeader(name, nobody), true));
}

test("what Connection names ends here, in any case and over several fields (RFC 9110 §7.6.1)", () => {
  const options = connectionOptions(["close, X-Private ", " X-Other,,"]);
  assert.deepEqual([...options], ["close", "x-private", "x-other"]);
  assert.equal(keepsRequestHeader("x-private", options), false);
  assert.equal(keepsResponseHeader("x-other", options), false);
});

test("Connection cannot take away a header that the gateway sets (CVE-2025-48865, CVE-2024-45410)", () => {
  const headers = {
    connection: ["Sallyport-Identity, traceparent, X-Private"],
    "x-private": ["1"],
    accept: ["a/b", "c/d"],
    traceparent: ["caller's"],
  };
  const sent = requestHeadersForUpstream(headers, {
    Host: "billing:8080",
    "Sallyport-Identity": "token",
    traceparent: "ours",
  });
  assert.deepEqual(sent, [
    "accept",
    "a/b",
    "accept",
    "c/d",
    "Host",
    "billing:8080",
    "Sallyport-Identity",
    "token",
    "traceparent",
    "ours",
  ]);
});

test("no field that ends here or is ours can stand for what the provider sees", () => {
  for (const name of ["te", "host", "authorization", "content-length", "x-forwarded-user", "traceparent"])
    assert.equal(reachesProvider(name), false, name);
  for (const name of ["x-dry-run", "content-type", "accept"]) assert.equal(reachesProvider(name), true, name);
});

test("what the gateway says replaces what the caller said under the same name, in whatever case", () => {
  assert.deepEqual(requestHeadersForUpstream({ traceparent: ["caller's"], accept: ["a/b"] }, { Traceparent: "ours" }), [
    "accept",
    "a/b",
    "Traceparent",
    "ours",
  ]);
});

test("a caller's spoofed identity header is gone even where the gateway sets none", () => {
  assert.deepEqual(
    requestHeadersForUpstream({ "sallyport-identity": ["forged"], "x-forwarded-user": ["admin"] }, {}),
    [],
  );
});

for (const name of [
  "sallyport-verdict",
  "ratelimit",
  "ratelimit-policy",
  "ratelimit-remaining",
  "dpop-nonce",
  "alt-svc",
  "connection",
  "transfer-encoding",
  "keep-alive",
  "trailer",
]) {
  test(`a provider cannot say ${name} to a caller`, () => assert.equal(keepsResponseHeader(name, nobody), false));
}

for (const name of ["content-type", "set-cookie", "etag", "www-authenticate", "location", "x-total"]) {
  test(`a provider's ${name} goes back to the caller`, () => assert.equal(keepsResponseHeader(name, nobody), true));
}
