// Promises a caller that signs its requests (RFC 9421) with texts of its own making and, on request, exactly one thing wrong. Trusts node:crypto.
// What is judged is not asked for help: the base is put together here by hand.
import { constants, generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";
import type { SignatureAlgorithm, SignatureKey } from "@sallyport/protocol/signature/signature-key.ts";
import { type Answer, type CallOptions, call } from "./test-caller.ts";

export interface SignatureChanges {
  /** Components in order, as they stand in the field: `"@method"`. */
  readonly components?: readonly string[];
  /** Parameters in order, behind `created` and `keyid`. */
  readonly parameters?: string;
  readonly created?: number | null;
  readonly keyid?: string | null;
  readonly label?: string;
  /** What was signed in place of what is sent. */
  readonly signed?: Readonly<Record<string, string>>;
  readonly octets?: (octets: Buffer) => Buffer;
}

export interface ToSign extends Pick<CallOptions, "method" | "body" | "headers"> {
  readonly url: string;
}

const pairOf: Readonly<Record<SignatureAlgorithm, () => { publicKey: KeyObject; privateKey: KeyObject }>> = {
  ed25519: () => generateKeyPairSync("ed25519"),
  "ecdsa-p256-sha256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "rsa-pss-sha512": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

export const digestOf = (body: string | Buffer): string => `sha-256=:${hash("sha256", body, "base64")}:`;

export class TestSigner {
  readonly key: SignatureKey;
  readonly #private: KeyObject;
  readonly #now: () => number;

  constructor(keyid: string, alg: SignatureAlgorithm, now: () => number) {
    const { publicKey, privateKey } = pairOf[alg]();
    // The public half of a pair of exactly this kind.
    this.key = { keyid, alg, jwk: publicKey.export({ format: "jwk" }) as unknown as SignatureKey["jwk"] };
    this.#private = privateKey;
    this.#now = now;
  }

  /** Content-Digest where there is a body, Signature-Input and Signature. */
  fields(request: ToSign, changes: SignatureChanges = {}): Record<string, string> {
    const { method = "GET", url, body, headers = {} } = request;
    const at = new URL(url);
    const fields: Record<string, string> = body === undefined ? {} : { "content-digest": digestOf(body) };
    const values: Record<string, string> = {
      "@method": method,
      "@target-uri": `${at.origin}${at.pathname}${at.search}`,
      "@authority": at.host,
      "@path": at.pathname,
      "@query": at.search === "" ? "?" : at.search,
      "@request-target": at.pathname + at.search,
      "@scheme": at.protocol.slice(0, -1),
      ...fields,
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)])),
      ...changes.signed,
    };
    const usual = ['"@method"', '"@target-uri"', ...(body === undefined ? [] : ['"content-digest"'])];
    const components = changes.components ?? usual;
    const created = changes.created === undefined ? Math.floor(this.#now() / 1000) : changes.created;
    const keyid = changes.keyid === undefined ? this.key.keyid : changes.keyid;
    const input = [
      `(${components.join(" ")})`,
      ...(created === null ? [] : [`;created=${created}`]),
      ...(keyid === null ? [] : [`;keyid="${keyid}"`]),
      changes.parameters ?? "",
    ].join("");
    const lines = components.map((one) => `${one}: ${values[one.replaceAll('"', "")] ?? ""}`);
    const octets = this.sign([...lines, `"@signature-params": ${input}`].join("\n"));
    const label = changes.label ?? "sig1";
    const sent = changes.octets === undefined ? octets : changes.octets(octets);
    return { ...fields, "signature-input": `${label}=${input}`, signature: `${label}=:${sent.toString("base64")}:` };
  }

  sign(base: string): Buffer {
    const data = Buffer.from(base);
    const key = this.#private;
    switch (this.key.alg) {
      case "ed25519":
        return sign(null, data, key);
      case "ecdsa-p256-sha256":
        return sign("sha256", data, { key, dsaEncoding: "ieee-p1363" });
      case "rsa-pss-sha512":
        return sign("sha512", data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 });
    }
  }

  /** Sends what it signed. */
  send(request: ToSign, changes: SignatureChanges = {}): Promise<Answer> {
    const { url, ...options } = request;
    return call(url, { ...options, headers: { ...options.headers, ...this.fields(request, changes) } });
  }
}
