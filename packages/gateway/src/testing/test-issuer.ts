// Promises an issuer outside with keys of its own that signs tokens shaped like Keycloak's, and on request exactly one thing wrong.
// Trusts its caller to publish its object in a snapshot. Formats: docs/formats/outside-token.md.
import { createSign, generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import type { OutsideIssuerObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { OutsideAccessRule } from "@sallyport/protocol/token/outside-access-token.ts";
import type { OutsideJwk } from "@sallyport/protocol/token/outside-jwk.ts";

export interface OutsideKeyPair {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: OutsideJwk;
}

/** RS256, as Keycloak's realms come. */
export function rsaKeyPair(kid: string): OutsideKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  // An RSA key exports exactly these members.
  const { n, e } = publicKey.export({ format: "jwk" }) as { n: string; e: string };
  return { kid, privateKey, jwk: { kid, alg: "RS256", jwk: { kty: "RSA", n, e } } };
}

export interface OutsideChanges {
  /** Members replaced; undefined takes one away. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly key?: OutsideKeyPair;
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Any header and claims under an RS256 signature. */
export function signOutside(header: object, claims: object, key: OutsideKeyPair): string {
  const input = `${part(header)}.${part(claims)}`;
  return `${input}.${createSign("sha256").update(input).sign(key.privateKey, "base64url")}`;
}

export class TestIssuer {
  readonly id: string;
  readonly url: string;
  key = rsaKeyPair("realm-key-1");
  readonly #now: () => number;

  constructor(id: string, url: string, now: () => number = Date.now) {
    this.id = id;
    this.url = url;
    this.#now = now;
  }

  /** As it stands in a snapshot: the Keycloak preset with these rules. */
  object(rules: readonly OutsideAccessRule[], changes: Partial<OutsideIssuerObject> = {}): OutsideIssuerObject {
    return {
      id: this.id,
      url: this.url,
      kind: "keycloak",
      algorithms: ["RS256"],
      companions: ["account"],
      lifetimeSecondsMax: 3_600,
      rules,
      keys: [this.key.jwk],
      ...changes,
    };
  }

  /** A user's access token of the client `portal-web`, for the audience `billing-api`. */
  token({ claims = {}, header = {}, key = this.key }: OutsideChanges = {}): string {
    const iat = Math.floor(this.#now() / 1_000);
    return signOutside(
      { alg: "RS256", typ: "JWT", kid: key.kid, ...header },
      {
        exp: iat + 300,
        iat,
        jti: `onrtac:${randomUUID()}`,
        iss: this.url,
        aud: ["billing-api", "account"],
        sub: "7d1c4a0e-0f0c-4d43-9a0b-6f2f6f0f1a11",
        typ: "Bearer",
        azp: "portal-web",
        sid: "c0ffee",
        acr: "1",
        scope: "openid invoices.read profile",
        preferred_username: "ada",
        ...claims,
      },
      key,
    );
  }
}
