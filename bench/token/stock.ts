// Promises the stock opponent of the token endpoint: oidc-provider with its memory adapter, private_key_jwt, DPoP and JWT access tokens, and
// nothing else. Trusts the library. What is compared is specified in RESULTS.md.
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { Provider } from "oidc-provider";
import { answerQuestions } from "../gateway/process.ts";

interface Start {
  readonly tls: { readonly cert: string; readonly key: string };
  readonly client: Readonly<Record<string, string>>;
  /** Private JWK that signs tokens, ES256. */
  readonly signer: Readonly<Record<string, string>>;
}

const server = { close: () => {} };

async function start({ tls, client, signer }: Start): Promise<number> {
  const https = createServer(tls);
  await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
  const { port } = https.address() as AddressInfo; // listening on TCP
  const issuer = `https://127.0.0.1:${port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "orders",
        token_endpoint_auth_method: "private_key_jwt",
        token_endpoint_auth_signing_alg: "ES256",
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
        jwks: { keys: [client] },
      },
    ],
    jwks: { keys: [{ ...signer, alg: "ES256", use: "sig" }] },
    clientAuthMethods: ["private_key_jwt"],
    clientDefaults: { id_token_signed_response_alg: "ES256" },
    responseTypes: ["code"],
    features: {
      clientCredentials: { enabled: true },
      dPoP: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "",
          audience: `${issuer}/systems/billing`,
          accessTokenTTL: 300,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  https.on("request", provider.callback());
  server.close = () => {
    https.close();
    https.closeAllConnections();
  };
  return port;
}

answerQuestions(
  {
    start,
    usage() {
      const { user, system } = process.cpuUsage();
      const cpuMs = (user + system) / 1000;
      return { cpuMs, systemMs: system / 1000, residentBytes: process.memoryUsage.rss(), leaves: 0 };
    },
  },
  () => server.close(),
);
