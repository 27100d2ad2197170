// Promises that a token is worth something only to whom, where, while and as what it was issued. Strangers all get the same 401; the record
// says which check stopped them. Trusts story.ts to judge three ways, and insider.ts for the one token nobody could wait for.
import { createPublicKey } from "node:crypto";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { call } from "./call.ts";
import { type ForgedRequest, Forger, withoutAlgorithm, withPublicKeyAsSecret } from "./forger.ts";
import { signExpiredToken } from "./insider.ts";
import { analyticsOf, type Telling } from "./telling.ts";

const invoice = "/billing/v1/shops/shop-north/invoices/inv-1001";

/** Tokens and proofs that were stolen, bent or made up. Returns the token that was stolen. */
export async function tellForged(telling: Telling): Promise<string> {
  const { market, story } = telling;
  story.chapter("What is stolen, bent or made up proves nobody");
  const forger = new Forger(market.urls.production, market.roots.production.pem);
  const { token } = await telling.orders.token();
  const genuine: ForgedRequest = { path: invoice, token, proofKey: telling.orders.dpopKey };
  await forger.learnNonce(genuine);
  try {
    await wrongPlace(telling, forger);
    await wrongSignature(telling, { forger, genuine });
    await wrongHolder(telling, { forger, genuine });
  } finally {
    forger.close();
  }
  return token;
}

function denial({ market, story }: Telling, send: (request: ForgedRequest) => ReturnType<Forger["send"]>) {
  return (caption: string, code: string, request: ForgedRequest) =>
    story.denied({
      caption,
      counter: market.services.production.billing,
      status: 401,
      publicCode: "unauthenticated",
      code,
      stage: "identify",
      send: () => send(request),
    });
}

async function wrongPlace(telling: Telling, forger: Forger): Promise<void> {
  const { market, planted, orders } = telling;
  const denied = denial(telling, (request) => forger.send(request));
  const portal = market.caller("production", "portal", "orders");
  const forOrders = (await portal.token()).token;
  const staging = market.caller("staging", "orders", "billing");
  const ofStaging = (await staging.token()).token;
  planted.token("a token for another audience", forOrders);
  planted.token("a staging token", ofStaging);
  await denied("a good token, but for orders, at billing (audience)", "token-audience", {
    path: invoice,
    token: forOrders,
    proofKey: portal.dpopKey,
  });
  await denied("a good staging token in production", "token-key-unknown", {
    path: invoice,
    token: ofStaging,
    proofKey: staging.dpopKey,
  });
  const expired = await signExpiredToken(market, (await orders.token()).token);
  await denied("a token signed with the real key that ended a minute ago", "token-expired", {
    path: invoice,
    token: expired,
    proofKey: orders.dpopKey,
  });
}

interface Attempt {
  readonly forger: Forger;
  readonly genuine: ForgedRequest;
}

async function wrongSignature(telling: Telling, { forger, genuine }: Attempt): Promise<void> {
  const denied = denial(telling, (request) => forger.send(request));
  const { token } = genuine;
  await denied("alg: none, without a signature", "token-malformed", { ...genuine, token: withoutAlgorithm(token) });
  const signature = token.slice(token.lastIndexOf(".") + 1);
  await denied("alg: none, with the old signature left on", "token-algorithm", {
    ...genuine,
    token: withoutAlgorithm(token, signature),
  });
  const pem = await publicKeyPem(telling);
  await denied("HS256 with the public key as the secret (RS/HS confusion)", "token-algorithm", {
    ...genuine,
    token: withPublicKeyAsSecret(token, pem),
  });
}

async function publicKeyPem({ market }: Telling): Promise<string> {
  const { issuer } = market.target("production", "billing");
  const reply = await call(`${issuer}/jwks`, { tls: { ca: market.roots.control.pem } });
  // The JWKS of our own issuer (docs/identity.md).
  const { keys } = JSON.parse(reply.text) as { readonly keys: readonly Record<string, string>[] };
  const jwk = keys[0];
  if (jwk === undefined) throw new Error(`${issuer}/jwks holds no key`);
  return createPublicKey({ key: jwk, format: "jwk" }).export({ format: "pem", type: "spki" }).toString();
}

async function wrongHolder(telling: Telling, { forger, genuine }: Attempt): Promise<void> {
  const { market, story } = telling;
  const { billing } = market.services.production;
  const denied = denial(telling, (request) => forger.send(request));
  await denied("a stolen DPoP token with the thief's own key", "dpop-key-mismatch", {
    ...genuine,
    proofKey: generateClientKey().signer,
  });
  await denied("a stolen DPoP token as a bearer", "token-bound-as-bearer", { ...genuine, proofKey: null });
  const proof = forger.proof(genuine);
  telling.planted.token("a DPoP proof", proof);
  await story.allowed({
    caption: "a genuine request, overheard by somebody",
    counter: billing,
    send: () => forger.send({ ...genuine, proof }),
  });
  await denied("the very same request again (replayed proof)", "dpop-replayed", { ...genuine, proof });
  const staging = analyticsOf(market, "staging");
  await denial(telling, () => staging("/billing/v1/reports/eu"))(
    "the staging certificate of analytics in production",
    "certificate-unknown",
    genuine,
  );
}
