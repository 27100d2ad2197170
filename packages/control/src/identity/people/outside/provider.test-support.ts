// Promises providers outside over TLS: a real oidc-provider whose people sign in at once, and one whose every answer a test can bend. Trusts nothing outside
// the test. Used by *.test.ts of this folder.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request, type Server } from "node:https";
import { Provider } from "oidc-provider";
import { testCertificate } from "../../certificates.test-support.ts";
import { TestBrowser } from "../browser.test-support.ts";

export const tls = testCertificate([{ type: "dns", value: "localhost" }]);

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const address = server.address();
  return `https://localhost:${typeof address === "object" ? address?.port : ""}`;
}

export interface Person {
  readonly subject: string;
  readonly email?: string;
  /** Seconds since the epoch at which they signed in there; absent: now. */
  readonly signedInAt?: number;
}

/** What of oidc-provider these tests touch beyond its declaration. */
interface Interactions {
  interactionDetails(req: IncomingMessage, res: ServerResponse): Promise<{ prompt: { name: string } }>;
  interactionFinished(req: IncomingMessage, res: ServerResponse, result: object): Promise<void>;
  readonly Client: {
    find(id: string): Promise<{ backchannelLogout(sub: string, sid: string): Promise<void> } | undefined>;
  };
  readonly Grant: new (of: object) => { addOIDCScope(scope: string): void; save(): Promise<string> };
}

function postForm(url: string, body: string, ca: string): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const headers = { "content-type": "application/x-www-form-urlencoded", "content-length": String(body.length) };
  const req = request(url, { method: "POST", ca, agent: false, headers }, (res) => {
    res.resume();
    res.on("end", () => resolve(new Response(null, { status: res.statusCode ?? 0 })));
  });
  req.on("error", reject);
  req.end(body);
  return promise;
}

/** Whoever comes is `person` and agrees. */
export class CorpProvider {
  person: Person = { subject: "248289761001" };
  issuer = "";
  /** Queries of authorization requests, in order. */
  readonly asked: URLSearchParams[] = [];
  readonly #server = createServer(tls, (req, res) => void this.#serve(req, res));
  readonly #sids: string[] = [];
  #provider: (Provider & Interactions) | null = null;

  async start(): Promise<void> {
    this.issuer = await listen(this.#server);
  }

  /** Registers us: our redirect URI and our public keys. */
  register(redirectUri: string, jwks: object, told?: { readonly uri: string; readonly ca: string }): void {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const provider = new Provider(this.issuer, {
      clients: [
        {
          client_id: "sallyport",
          token_endpoint_auth_method: "private_key_jwt",
          token_endpoint_auth_signing_alg: "ES256",
          redirect_uris: [redirectUri],
          grant_types: ["authorization_code"],
          response_types: ["code"],
          jwks,
          ...(told === undefined
            ? {}
            : { backchannel_logout_uri: told.uri, backchannel_logout_session_required: true }),
        },
      ],
      jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" }] },
      enabledJWA: { clientAuthSigningAlgValues: ["ES256"] },
      pkce: { required: () => true },
      cookies: { keys: ["a key of this test"] },
      claims: { openid: ["sub", "email"] },
      conformIdTokenClaims: false,
      findAccount: async (_context: unknown, id: string) => ({
        accountId: id,
        claims: async () => ({ sub: id, ...(this.person.email === undefined ? {} : { email: this.person.email }) }),
      }),
      features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: told !== undefined } },
      fetch: (url: string, { body }: { body: URLSearchParams }) => postForm(url, String(body), told?.ca ?? ""),
      interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    });
    provider.on("grant.success", ({ oidc }: { oidc: { entities: { AuthorizationCode?: { sid?: string } } } }) =>
      this.#sids.push(oidc.entities.AuthorizationCode?.sid ?? ""),
    );
    this.#provider = provider as unknown as Provider & Interactions; // as: the declaration is of what the product touches
  }

  /** Names of the sessions here that a client was told of, the oldest first. */
  sessions(): readonly string[] {
    return this.#sids;
  }

  /** Tells us that this session there has ended; rejects when we do not take it. */
  async tellEnd(subject: string, session: string): Promise<void> {
    const client = await this.#provider?.Client.find("sallyport");
    await client?.backchannelLogout(subject, session);
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const provider = this.#provider;
    if (provider === null) throw new Error("the provider is not registered yet");
    if (req.url?.startsWith("/auth?") === true) this.asked.push(new URLSearchParams(req.url.slice("/auth?".length)));
    if (req.url?.startsWith("/interaction/") !== true) return provider.callback()(req, res);
    const { prompt } = await provider.interactionDetails(req, res);
    const { subject: accountId, signedInAt: ts } = this.person;
    if (prompt.name === "login")
      return provider.interactionFinished(req, res, { login: { accountId, ...(ts === undefined ? {} : { ts }) } });
    const grant = new provider.Grant({ accountId, clientId: "sallyport" });
    grant.addOIDCScope("openid");
    return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
  }

  /** Follows a browser through the provider until it is sent away: where to. */
  async through(location: string, browser = new TestBrowser(this.issuer, tls.cert)): Promise<URL> {
    let at = location;
    for (let hop = 0; hop < 10; hop += 1) {
      if (!at.startsWith(this.issuer) && !at.startsWith("/")) return new URL(at);
      const answer = await browser.get(at.replace(this.issuer, ""));
      if (answer.location === null) throw new Error(`the provider stopped: ${answer.status} ${answer.text}`);
      at = answer.location;
    }
    throw new Error("the provider goes round in circles");
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A provider that says what the test wants it to say. */
export class BentProvider {
  issuer = "";
  metadata: (own: Readonly<Record<string, unknown>>) => unknown = (own) => own;
  claims: (own: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>> = (own) => own;
  header: Readonly<Record<string, unknown>> = {};
  signedBy: KeyObject | null = null;
  answer: ((res: ServerResponse) => void) | null = null;
  nonce = "";
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  readonly #key = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #server: Server;

  constructor(identity: { readonly cert: string; readonly key: string } = tls) {
    this.#server = createServer(identity, (req, res) => void this.#serve(req, res));
  }

  async start(): Promise<void> {
    this.issuer = await listen(this.#server);
    this.straighten();
  }

  /** Everything in order again. */
  straighten(): void {
    this.metadata = (own) => own;
    this.claims = (own) => own;
    this.header = {};
    this.signedBy = null;
    this.answer = null;
    this.asked.length = 0;
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const path = req.url ?? "";
    this.asked.push(path);
    req.resume();
    if (this.answer !== null) {
      this.answer(res);
      return;
    }
    const body =
      path === "/.well-known/openid-configuration"
        ? this.#document()
        : path === "/jwks"
          ? this.#keys()
          : this.#tokens();
    res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  }

  #document(): unknown {
    return this.metadata({
      issuer: this.issuer,
      authorization_endpoint: `${this.issuer}/auth`,
      token_endpoint: `${this.issuer}/token`,
      jwks_uri: `${this.issuer}/jwks`,
      response_types_supported: ["code"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["ES256"],
      authorization_response_iss_parameter_supported: true,
    });
  }

  #keys(): unknown {
    const { kty, crv, x, y } = this.#key.publicKey.export({ format: "jwk" });
    return { keys: [{ kty, crv, x, y, kid: "k1", alg: "ES256", use: "sig" }] };
  }

  #tokens(): unknown {
    const now = Math.floor(Date.now() / 1000);
    const own = { iss: this.issuer, sub: "s1", aud: "sallyport", iat: now, exp: now + 60, auth_time: now };
    const claims = this.claims({ ...own, nonce: this.nonce });
    return { access_token: "a", token_type: "Bearer", expires_in: 60, id_token: this.sign(claims) };
  }

  /** A JWT of this provider. */
  sign(claims: Readonly<Record<string, unknown>>, header: Readonly<Record<string, unknown>> = this.header): string {
    const input = `${encode({ alg: "ES256", kid: "k1", ...header })}.${encode(claims)}`;
    const key = this.signedBy ?? this.#key.privateKey;
    return `${input}.${sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
