// Promises an issuer outside over TLS whose access tokens are opaque: a real oidc-provider that answers introspection to the one client that proves itself, and
// on request any other answer in its place. Trusts nothing outside the test.
import { generateKeyPairSync } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { Provider } from "oidc-provider";

/** What of oidc-provider these tests touch beyond its declaration. */
interface Models {
  readonly Grant: new (
    of: object,
  ) => { addResourceScope(resource: string, scope: string): void; save(): Promise<string>; destroy(): Promise<void> };
  readonly Client: { find(id: string): Promise<object | undefined> };
  readonly ResourceServer: new (id: string, info: object) => object;
  readonly AccessToken: OpaqueModel;
  readonly RefreshToken: OpaqueModel;
}
type OpaqueModel = new (
  of: object,
) => { resourceServer?: object; setThumbprint(kind: string, value: string): void; save(): Promise<string> };

const resource = "urn:acme:billing";
const info = { scope: "invoices.read", audience: "billing-api", accessTokenFormat: "opaque", accessTokenTTL: 300 };

export interface TokenWish {
  readonly client?: string;
  readonly subject?: string;
  /** Key it is bound to (RFC 9449). */
  readonly jkt?: string;
}

export class OpaqueIssuer {
  url = "";
  /** Bodies of introspection requests, in order. */
  readonly asked: URLSearchParams[] = [];
  /** Answers introspection in the provider's place; true: it did. */
  bent: ((req: IncomingMessage, res: ServerResponse) => boolean) | null = null;
  readonly #server: Server;
  readonly #grants = new Map<string, { destroy(): Promise<void> }>();
  #provider: (Provider & Models) | null = null;

  constructor(tls: { readonly cert: string; readonly key: string }) {
    this.#server = createServer(tls, (req, res) => void this.#serve(req, res));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    this.url = `https://localhost:${typeof address === "object" ? address?.port : ""}`;
  }

  get endpoint(): string {
    return `${this.url}/token/introspection`;
  }

  /** `jwks`: the public keys by which `sallyport` proves itself there. */
  register(jwks: object): void {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const web = { redirect_uris: ["https://portal.example/back"], client_secret: "a secret of this test" };
    this.#provider = new Provider(this.url, {
      clients: [
        {
          client_id: "sallyport",
          token_endpoint_auth_method: "private_key_jwt",
          token_endpoint_auth_signing_alg: "ES256",
          ...{ redirect_uris: [], response_types: [], grant_types: [], jwks },
        },
        { client_id: "portal-web", ...web },
        { client_id: "somebody-else", ...web },
      ],
      jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" }] },
      enabledJWA: { clientAuthSigningAlgValues: ["ES256"] },
      cookies: { keys: ["a key of this test"] },
      findAccount: async (_context: unknown, id: string) => ({ accountId: id, claims: async () => ({ sub: id }) }),
      features: {
        devInteractions: { enabled: false },
        introspection: { enabled: true, allowedPolicy: async () => true },
        dPoP: { enabled: true },
        resourceIndicators: { enabled: true, getResourceServerInfo: async () => info },
      },
    }) as Provider & Models; // as: the declaration is of what the product touches
  }

  /** An opaque access token as it stands in the provider's own store. */
  token(wish: TokenWish = {}): Promise<string> {
    return this.#save("AccessToken", wish);
  }

  refreshToken(): Promise<string> {
    return this.#save("RefreshToken", {});
  }

  /** Ends what the user agreed to, and with it the token. */
  async end(token: string): Promise<void> {
    await this.#grants.get(token)?.destroy();
  }

  async #save(kind: "AccessToken" | "RefreshToken", wish: TokenWish): Promise<string> {
    const provider = this.#provider;
    if (provider === null) throw new Error("nobody is registered yet");
    const { client: clientId = "portal-web", subject: accountId = "user-1", jkt } = wish;
    const grant = new provider.Grant({ accountId, clientId });
    grant.addResourceScope(resource, info.scope);
    const grantId = await grant.save();
    const client = await provider.Client.find(clientId);
    const of = { accountId, client, grantId, scope: info.scope, gty: "authorization_code", claims: {} };
    const saved = new provider[kind](of);
    if (kind === "AccessToken") saved.resourceServer = new provider.ResourceServer(resource, info);
    if (jkt !== undefined) saved.setThumbprint("jkt", jkt);
    const token = await saved.save();
    this.#grants.set(token, grant);
    return token;
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const provider = this.#provider;
    if (provider === null || req.url !== "/token/introspection") {
      res.writeHead(404).end();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer); // as: no encoding is set
    const body = Buffer.concat(chunks).toString("utf8");
    this.asked.push(new URLSearchParams(body));
    if (this.bent?.(req, res) === true) return;
    // It was read here; the provider takes a body that is there already.
    await provider.callback()(Object.assign(req, { body }), res);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
