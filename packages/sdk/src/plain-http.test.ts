import assert from "node:assert/strict";
import { test } from "node:test";
import { discoverTokenEndpoint } from "./metadata.ts";
import { generateClientKey } from "./node-crypto.ts";
import { sallyportFetch } from "./sallyport-fetch.ts";
import { tokenClient } from "./token-client.ts";
import { createDirectVerifier } from "./verify-direct.ts";
import { createRequestVerifier } from "./verify-request.ts";

const key = generateClientKey().signer;
const resource = "https://id.example/main/production/systems/billing";
const client = tokenClient({ issuer: "https://id.example/main/production", clientId: "orders", key });
const audience = resource;
const url = "https://billing.example";

/** Every place where the SDK is told whom to trust. */
const places: readonly (readonly [option: string, make: (base: string, reason?: string) => unknown])[] = [
  [
    "issuer",
    (base, reason) => tokenClient({ issuer: `${base}/main/production`, clientId: "orders", key, ...why(reason) }),
  ],
  ["gateway", (base, reason) => sallyportFetch({ client, gateway: base, resource, ...why(reason) })],
  ["issuer", (base, reason) => createRequestVerifier({ issuer: `${base}/main/production`, audience, ...why(reason) })],
  [
    "hopKeysUrl",
    (base, reason) =>
      createRequestVerifier({ issuer: "https://id.example", audience, hopKeysUrl: `${base}/k`, ...why(reason) }),
  ],
  [
    "issuer",
    (base, reason) => createDirectVerifier({ issuer: `${base}/main/production`, audience, url, ...why(reason) }),
  ],
  [
    "keysUrl",
    (base, reason) =>
      createDirectVerifier({ issuer: "https://id.example", audience, url, keysUrl: `${base}/k`, ...why(reason) }),
  ],
];

const why = (allowHttp?: string) => (allowHttp === undefined ? {} : { allowHttp });

for (const [option, make] of places) {
  test(`on-path attack: ${option} in clear to another host is refused with the fix, unless a reason is given (${make})`, () => {
    for (const base of [
      "http://id.example",
      "http://10.0.0.7:7440",
      "http://127.0.0.1.example",
      "http://[::2]",
      "HTTP://0x7f.1.example",
    ])
      for (const reason of [undefined, "", "  "])
        assert.throws(
          () => make(base, reason),
          (error) =>
            error instanceof TypeError && error.message.startsWith(`${option} `) && /allowHttp: "/.test(error.message),
          base,
        );
    make("http://id.example", "the mesh encrypts");
    for (const base of [
      "https://id.example",
      "http://127.0.0.1:7440",
      "http://127.9.9.9",
      "http://[::1]:7440",
      "http://localhost:7440",
    ])
      make(base);
  });
}

test("on-path attack: metadata of a loopback issuer cannot send the assertion in clear to another host", async () => {
  const issuer = "http://127.0.0.1:7440/main/production";
  const answer = (token_endpoint: string) => async () => Response.json({ issuer, token_endpoint });
  await assert.rejects(discoverTokenEndpoint(answer("http://evil.example/token"), issuer), /http: to another host/);
  const { url: endpoint } = await discoverTokenEndpoint(answer("http://127.0.0.1:7440/token"), issuer);
  assert.equal(endpoint.href, "http://127.0.0.1:7440/token");
});
