import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstateFrom } from "./load.ts";
import { redirectUriFault } from "./redirect-uri.ts";

const now = Date.UTC(2026, 10, 1);

test("a redirect URI has one spelling and leads to its client alone", () => {
  for (const [uri, isPublic] of [
    ["https://portal.example/callback", false],
    ["https://portal.example:8443/callback?x=1", false],
    ["http://127.0.0.1:3000/callback", false],
    ["https://app.example/callback", true],
    ["http://127.0.0.1/callback", true],
    ["http://[::1]/callback", true],
    ["com.example.app:/callback", true],
  ] as const)
    assert.equal(redirectUriFault(uri, isPublic), null, uri);
  for (const [uri, isPublic] of [
    ["/callback", false],
    ["https://portal.example", false],
    ["https://PORTAL.example/callback", false],
    ["https://portal.example:443/callback", false],
    ["https://portal.example/a/../callback", false],
    ["https://portal.example/callback#x", false],
    ["https://portal.example/callback#", false],
    ["https://user@portal.example/callback", false],
    ["https://*.portal.example/callback", false],
    ["https://portal.example/*", false],
    ["http://portal.example/callback", false],
    ["http://localhost:3000/callback", false],
    ["com.example.app:/callback", false],
    ["http://localhost/callback", true],
    ["http://127.0.0.1:3000/callback", true],
    ["http://10.0.0.1/callback", true],
    ["myapp:/callback", true],
    ["javascript:alert(1)", true],
    ["data:text/html,x", true],
    ["file:///etc/passwd", true],
    [`https://portal.example/${"a".repeat(512)}`, false],
    ["https://portal.example/\u200bcallback", false],
  ] as const)
    assert.notEqual(redirectUriFault(uri, isPublic), null, uri);
});

function findings(identity: string): readonly string[] {
  const files = {
    "sallyport.yaml": "estate: test\n",
    "systems/portal.yaml": `system: portal\nidentity: ${identity}\n`,
  };
  const { findings: found } = loadEstateFrom(memoryEstateIo(files, () => now));
  return found
    .filter(({ severity, file }) => severity === "error" && file.includes("portal"))
    .map(({ message }) => message);
}

test("grants, redirect URIs and keys of a client fit together, or it is not served", () => {
  const asks = "redirectUris: [https://portal.example/callback]";
  assert.deepEqual(findings(`{ client: portal, grants: [authorization_code, refresh_token], ${asks} }`), []);
  assert.deepEqual(findings(`{ client: portal, public: true, grants: [authorization_code], ${asks} }`), []);
  assert.deepEqual(findings("{ client: portal, public: true, grants: [device_code, refresh_token] }"), []);
  assert.deepEqual(findings(`{ client: portal, grants: [authorization_code], ${asks}, signedRequests: required }`), []);
  for (const [identity, said] of [
    [
      "{ client: portal, grants: [device_code], redirectUris: [https://portal.example/callback] }",
      /without `authorization_code`/,
    ],
    ["{ client: portal, grants: [authorization_code] }", /without a redirect URI/],
    [`{ client: portal, ${asks} }`, /without `authorization_code`/],
    ["{ client: portal, grants: [client_credentials, refresh_token] }", /without a grant that begins it/],
    [
      `{ client: portal, public: true, grants: [authorization_code, client_credentials], ${asks} }`,
      /cannot speak for itself/,
    ],
    ["{ client: portal, public: true }", /cannot speak for itself/],
    [
      `{ client: portal, public: true, grants: [authorization_code], ${asks}, secrets: { reason: old app, until: 2027-01-01 } }`,
      /cannot keep a key/,
    ],
    [
      "{ client: portal, grants: [authorization_code], redirectUris: [http://portal.example/callback] }",
      /read on its way/,
    ],
    [`{ client: portal, signedRequests: required }`, /asks no users/],
    [
      `{ client: portal, public: true, grants: [authorization_code], ${asks}, signedRequests: required }`,
      /without keys cannot sign/,
    ],
    [
      `{ client: portal, grants: [authorization_code], ${asks}, tls: { trust: mesh, dns: portal.example }, signedRequests: required }`,
      /without keys cannot sign/,
    ],
    [
      `{ client: portal, grants: [authorization_code, device_code], ${asks}, signedRequests: required }`,
      /a way around/,
    ],
    ["{ client: portal, grants: [implicit] }", /./],
  ] as const) {
    const found = findings(identity);
    assert.ok(
      found.some((message) => said.test(message)),
      `${identity}: ${found.join("; ")}`,
    );
  }
});

test("where a client sends its users after they signed out is as strict as a redirect URI, and its own to say", () => {
  const asks = "grants: [authorization_code], redirectUris: [https://portal.example/callback]";
  const told = "backchannelLogout: { uri: https://10.0.0.1/ended, allowPrivate: true }";
  const back = "postLogoutRedirectUris: [https://portal.example/bye]";
  assert.deepEqual(findings(`{ client: portal, ${asks}, ${back}, ${told} }`), []);
  for (const [identity, said] of [
    [`{ client: portal, ${asks}, postLogoutRedirectUris: ["https://*.portal.example/bye"] }`, /no wildcards/],
    [`{ client: portal, ${asks}, postLogoutRedirectUris: [http://portal.example/bye] }`, /read on its way/],
    ["{ client: portal, postLogoutRedirectUris: [https://portal.example/bye] }", /nobody to sign out/],
    ["{ client: portal, backchannelLogout: { uri: https://portal.example/ended } }", /nobody to sign out/],
    [`{ client: portal, ${asks}, backchannelLogout: { uri: http://portal.example/ended } }`, /not https/],
    [`{ client: portal, ${asks}, backchannelLogout: { uri: https://10.0.0.1/ended } }`, /private or loopback/],
    [`{ client: portal, ${asks}, backchannelLogout: { uri: https://a@portal.example/ended } }`, /./],
    [
      `{ client: portal, ${asks}, backchannelLogout: { uri: https://portal.example/ended, tls: { ca: nobody } } }`,
      /there is no bundle/,
    ],
  ] as const) {
    const found = findings(identity);
    assert.ok(
      found.some((message) => said.test(message)),
      `${identity}: ${found.join("; ")}`,
    );
  }
});
