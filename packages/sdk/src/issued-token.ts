// Promises a token that can be used and not printed by accident, and only one that is bound to what we hold.
// Trusts the issuer's TLS identity. Specified by RFC 6749 §5, RFC 8705 §3.1, RFC 9449 §5 and DESIGN §7.7.
import { inspect } from "node:util";
import { decodeBase64url } from "@sallyport/protocol/token/base64url.ts";
import { accessTokenHash } from "@sallyport/protocol/token/dpop.ts";
import { isJsonObject, parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { SallyportFault } from "./fault.ts";
import type { JsonAnswer } from "./http.ts";
import { nodeCrypto } from "./node-crypto.ts";

export interface AccessToken {
  readonly token: string;
  /** base64url SHA-256 of `token`, ready for a proof. */
  readonly ath: string;
  /** Milliseconds since the epoch by this machine's clock; do not use it later. */
  readonly usableUntil: number;
  /** How it is presented: with a DPoP proof, or over a connection with the client certificate it is bound to. */
  readonly scheme: "DPoP" | "Bearer";
}

/** A token is renewed in the background from this part of its life on, a little later for some than for others. */
const refreshAheadPart = 0.75;
const refreshJitterPart = 0.1;
/** A token is not used in the last part of its life, so that it does not end on the way. */
const reservePart = 0.1;
const reserveMsMax = 10_000;
const tokenForm = /^[A-Za-z0-9._~+/-]{1,8192}$/;

/** Printing, logging and serialising show no token. */
export class IssuedToken implements AccessToken {
  readonly #token: string;
  readonly ath: string;
  readonly scheme: AccessToken["scheme"];
  readonly usableUntil: number;
  readonly refreshFrom: number;

  constructor(
    token: string,
    scheme: AccessToken["scheme"],
    life: { readonly from: number; readonly ms: number; readonly jitter: number },
  ) {
    this.#token = token;
    this.scheme = scheme;
    this.ath = accessTokenHash(token, nodeCrypto);
    this.usableUntil = life.from + life.ms - Math.min(reserveMsMax, life.ms * reservePart);
    this.refreshFrom = life.from + life.ms * (refreshAheadPart + refreshJitterPart * life.jitter);
  }

  get token(): string {
    return this.#token;
  }

  [inspect.custom](): string {
    return `AccessToken [secret], usable until ${new Date(this.usableUntil).toISOString()}`;
  }
}

export interface Asked {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** 0 to 1. */
  readonly jitter: number;
  /** SHA-256 thumbprint of our certificate, where the token is to be bound to that; else it is to be bound to our DPoP key. */
  readonly x5t?: string;
}

/** Throws SallyportFault token-endpoint-refused or token-answer-unusable. */
export function parseTokenAnswer({ status, body }: JsonAnswer, asked: Asked): IssuedToken {
  if (status !== 200) {
    const error =
      typeof body?.error === "string" && /^[a-z_]{1,64}$/.test(body.error) ? body.error : `status ${status}`;
    throw new SallyportFault("token-endpoint-refused", { public: `The issuer gave no token: ${error}.` });
  }
  const { access_token: token, token_type: type, expires_in: seconds } = body ?? {};
  const unusable = (internal: string): SallyportFault =>
    new SallyportFault("token-answer-unusable", {
      public: `The issuer's answer cannot be used: ${internal}.`,
      internal,
    });
  if (typeof token !== "string" || !tokenForm.test(token)) throw unusable("access_token is missing or malformed");
  const scheme = asked.x5t === undefined ? "DPoP" : "Bearer";
  // A Bearer answer to a request with a proof would be a token anybody can use.
  if (typeof type !== "string" || type.toLowerCase() !== scheme.toLowerCase())
    throw unusable(
      `the token is not bound to our ${asked.x5t === undefined ? "key" : "certificate"}: token_type is not ${scheme}`,
    );
  if (asked.x5t !== undefined && certificateOf(token) !== asked.x5t)
    throw unusable("the token is not bound to our certificate");
  if (typeof seconds !== "number" || !Number.isInteger(seconds) || seconds < 1)
    throw unusable("expires_in is not a positive whole number");
  return new IssuedToken(token, scheme, { from: asked.at, ms: seconds * 1000, jitter: asked.jitter });
}

/** `cnf.x5t#S256` as the token says it. Not verified: it comes from the issuer itself, and the gateway decides. */
function certificateOf(token: string): unknown {
  const payload = decodeBase64url(token.split(".", 2)[1] ?? "");
  const claims = payload === null ? null : parseJsonObject(payload);
  return isJsonObject(claims?.cnf) ? claims.cnf["x5t#S256"] : undefined;
}
