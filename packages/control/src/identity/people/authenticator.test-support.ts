// Promises an authenticator in software for tests, right or wrong on demand: one ES256 credential per instance. Trusts nothing outside the test.
// WebAuthn Level 3 §6.1 (authenticator data), §6.5 (attestation), RFC 8949 for the few CBOR forms it prints.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

type Cbor = number | string | Uint8Array | ReadonlyMap<number | string, Cbor>;

function cbor(value: Cbor): Buffer {
  const head = (major: number, length: number): Buffer =>
    length < 24
      ? Buffer.from([(major << 5) | length])
      : length < 256
        ? Buffer.from([(major << 5) | 24, length])
        : Buffer.from([(major << 5) | 25, length >> 8, length & 255]);
  if (typeof value === "number") return value >= 0 ? head(0, value) : head(1, -1 - value);
  if (typeof value === "string") return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  const entries = [...value].flatMap(([key, entry]) => [cbor(key), cbor(entry)]);
  return Buffer.concat([head(5, value.size), ...entries]);
}

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest();

export interface Ceremony {
  readonly challenge: string;
  readonly origin: string;
  readonly rpId: string;
  readonly userVerified?: boolean;
  readonly userPresent?: boolean;
  readonly counter?: number;
  readonly clientData?: Readonly<Record<string, unknown>>;
  readonly synced?: boolean;
}

export class TestAuthenticator {
  readonly id = randomBytes(16).toString("base64url");
  readonly user: string;
  readonly #key: KeyObject;
  readonly #cose: Buffer;
  counter = 0;

  constructor(user: string) {
    this.user = user;
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#key = privateKey;
    // as: an EC key always exports these members.
    const { x, y } = publicKey.export({ format: "jwk" }) as { x: string; y: string };
    const bytes = (text: string) => new Uint8Array(Buffer.from(text, "base64url"));
    this.#cose = cbor(
      new Map<number, Cbor>([
        [1, 2],
        [3, -7],
        [-1, 1],
        [-2, bytes(x)],
        [-3, bytes(y)],
      ]),
    );
  }

  /** What `navigator.credentials.create` gives, as JSON text. */
  register(ceremony: Ceremony): string {
    const id = Buffer.from(this.id, "base64url");
    const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, id.length]), id, this.#cose]);
    const authData = Buffer.concat([this.#head(ceremony, 0x40), attested]);
    const attestation = new Map<string, Cbor>([
      ["fmt", "none"],
      ["attStmt", new Map()],
      ["authData", new Uint8Array(authData)],
    ]);
    const response = {
      clientDataJSON: this.#clientData("webauthn.create", ceremony).toString("base64url"),
      attestationObject: cbor(attestation).toString("base64url"),
      transports: ["internal"],
    };
    return JSON.stringify({ id: this.id, rawId: this.id, type: "public-key", response });
  }

  /** What `navigator.credentials.get` gives, as JSON text. */
  login(ceremony: Ceremony, over: Readonly<Record<string, unknown>> = {}): string {
    const authData = this.#head(ceremony, 0);
    const clientData = this.#clientData("webauthn.get", ceremony);
    const signature = sign("sha256", Buffer.concat([authData, sha256(clientData)]), this.#key);
    const response = {
      clientDataJSON: clientData.toString("base64url"),
      authenticatorData: authData.toString("base64url"),
      signature: signature.toString("base64url"),
      userHandle: Buffer.from(this.user).toString("base64url"),
      ...over,
    };
    return JSON.stringify({ id: this.id, rawId: this.id, type: "public-key", response });
  }

  #head(ceremony: Ceremony, more: number): Buffer {
    const { userPresent = true, userVerified = true, synced = false } = ceremony;
    const flags = (userPresent ? 1 : 0) | (userVerified ? 4 : 0) | (synced ? 0x18 : 0) | more;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(ceremony.counter ?? this.counter);
    return Buffer.concat([sha256(ceremony.rpId), Buffer.from([flags]), counter]);
  }

  #clientData(type: string, { challenge, origin, clientData }: Ceremony): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false, ...clientData }));
  }
}
