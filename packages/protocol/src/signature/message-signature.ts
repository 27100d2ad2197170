// Promises which signatures a request carries, and of each whether it is by its key, over enough of this very request, recently. Trusts the clock and the key
// it is given; nonce and replay are its caller's. Specified by RFC 9421 §3.2 and docs/identity/message-signatures.md.
import type { CanonicalHeaders } from "../canonical/request.ts";
import { parseDictionary } from "../structured-fields/parse.ts";
import type { BareItem, InnerList } from "../structured-fields/values.ts";
import { utf8 } from "../token/json.ts";
import { compared, type Deny, deny, instant } from "../verdict.ts";
import { type ContentDigest, readContentDigest } from "./content-digest.ts";
import { type SignedMessage, signatureBase } from "./signature-base.ts";
import type { SignatureAlgorithm } from "./signature-key.ts";

/** Signatures of one request: more are refused before any is verified. */
export const signaturesMax = 4;
/** Components that one signature covers. */
export const componentsMax = 64;
/** How old a signature may be, and how far ahead of our clock. */
export const signatureAgeMsMax = 60_000;
export const signatureAheadMsMax = 5_000;
const textUnitsMax = 256;

export interface MessageSignature {
  readonly label: string;
  readonly input: InnerList;
  readonly signature: Uint8Array;
  readonly keyid: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly expires?: number;
  readonly nonce?: string;
  readonly alg?: string;
}

export type SignaturesReading =
  | { readonly kind: "signatures"; readonly signatures: readonly MessageSignature[] }
  | { readonly kind: "malformed"; readonly why: string };

/** All signatures of a request, in order. Those that name no key or no time are left out: nobody can judge them. */
export function readSignatures(headers: CanonicalHeaders): SignaturesReading {
  const malformed = (why: string): SignaturesReading => ({ kind: "malformed", why });
  const inputs = parseDictionary(headers["signature-input"] ?? []);
  const values = parseDictionary(headers["signature"] ?? []);
  if (inputs === null || values === null) return malformed("Signature-Input or Signature is no dictionary");
  if (inputs.repeats || values.repeats) return malformed("a label or a parameter occurs twice");
  if (inputs.value.size > signaturesMax || values.value.size > signaturesMax)
    return malformed(`more than ${signaturesMax} signatures`);
  const signatures: MessageSignature[] = [];
  for (const [label, input] of inputs.value) {
    const value = values.value.get(label);
    if (input.kind !== "inner-list") return malformed(`${label} of Signature-Input is no list of components`);
    if (input.items.length > componentsMax) return malformed(`${label} covers more than ${componentsMax} components`);
    if (value?.kind !== "item" || value.value.type !== "binary")
      return malformed(`${label} has no octets in Signature`);
    const read = readParameters(input);
    if (read === "malformed") return malformed(`a parameter of ${label} is not of its type`);
    if (read !== null) signatures.push({ label, input, signature: value.value.value, ...read });
  }
  if (values.value.size !== inputs.value.size) return malformed("Signature and Signature-Input differ in their labels");
  return { kind: "signatures", signatures };
}

type Read = Omit<MessageSignature, "label" | "input" | "signature">;

function readParameters({ parameters }: InnerList): Read | "malformed" | null {
  const isText = (one: BareItem | undefined): boolean =>
    one === undefined || (one.type === "string" && one.value.length <= textUnitsMax);
  const isTime = (one: BareItem | undefined): boolean =>
    one === undefined || (one.type === "integer" && one.value >= 0);
  const [created, expires] = [parameters.get("created"), parameters.get("expires")];
  const [keyid, nonce, alg] = [parameters.get("keyid"), parameters.get("nonce"), parameters.get("alg")];
  if (![keyid, nonce, alg, parameters.get("tag")].every(isText) || ![created, expires].every(isTime))
    return "malformed";
  if (keyid?.type !== "string" || created?.type !== "integer") return null;
  return {
    keyid: keyid.value,
    created: created.value,
    ...(expires?.type === "integer" ? { expires: expires.value } : {}),
    ...(nonce?.type === "string" ? { nonce: nonce.value } : {}),
    ...(alg?.type === "string" ? { alg: alg.value } : {}),
  };
}

/** A public key that is ready to verify. It knows its algorithm; nothing a request says can change it. */
export interface SignatureVerifyKey {
  readonly alg: SignatureAlgorithm;
  /** Never throws. */
  verify(data: Uint8Array, signature: Uint8Array): boolean;
}

export interface SignatureRules {
  readonly message: SignedMessage;
  readonly key: SignatureVerifyKey;
  /** Something follows the head. */
  readonly hasContent: boolean;
  /** Fields (lower case) that have to be covered where the request has them, besides what always has to be. */
  readonly covers: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Judge nonce and replay of `base` next, and hold the content against `digests`; only then is the request the caller's. */
export interface VerifiedSignature {
  readonly kind: "verified";
  /** UTF-8 of what was signed: equal exactly for equal requests of one second, whatever the octets of the signature. */
  readonly base: Uint8Array;
  readonly digests: readonly ContentDigest[];
}

/** Codes and their order: docs/identity/message-signatures.md. The signature is checked last because it costs most. */
export function verifySignature(signature: MessageSignature, rules: SignatureRules): VerifiedSignature | Deny {
  const { alg } = rules.key;
  if (signature.alg !== undefined && signature.alg !== alg)
    return no("signature-algorithm", "alg is not the algorithm of the key", compared(alg, signature.alg));
  const missing = missingComponents(signature.input, rules);
  if (missing.length > 0) {
    const sent = signature.input.items.map(({ value }) => String(value.value)).join(" ");
    return no("signature-components", `not covered: ${missing.join(", ")}`, compared(missing.join(" "), sent));
  }
  const late = judgeTimes(signature, rules.now);
  if (late !== null) return late;
  const text = signatureBase(rules.message, signature.input);
  if (typeof text !== "string") return no("signature-components", text.why);
  const base = utf8(text);
  const lines = rules.message.headers["content-digest"];
  const isCovered = covers(signature.input, "content-digest");
  const digests = isCovered ? readContentDigest(lines ?? []) : null;
  if (digests?.kind === "malformed") return no("signature-components", digests.why);
  if (!rules.key.verify(base, signature.signature))
    return no("signature-invalid", "the signature is not this key's over this request", {
      expected: `signed over ${derivedLines(text)}`,
    });
  return { kind: "verified", base, digests: digests?.digests ?? [] };
}

/** What a signer gets wrong most: the lines of the base that no field says. Fields and queries may hold what is nobody else's business, so they stay out. */
function derivedLines(base: string): string {
  const lines = base.split("\n").filter((line) => line.startsWith('"@') && !hidden.test(line));
  return lines.map((line) => line.replace(/\?.*$/, "?…")).join(", ");
}

const hidden = /^"@(?:signature-params|query|query-param)"/;

const no = (code: Parameters<typeof deny>[1], why: string, facts: Readonly<Record<string, string>> = {}): Deny =>
  deny("identify", code, { why, ...facts });

/** Covered as it is: with parameters of its own a component is only a part of itself. */
function covers({ items }: InnerList, name: string): boolean {
  return items.some(({ value, parameters }) => value.value === name && parameters.size === 0);
}

/** What of the request stays open to whoever stands between. */
function missingComponents(input: InnerList, { message, hasContent, covers: fields }: SignatureRules): string[] {
  const missing: string[] = [];
  const need = (name: string): void => {
    if (!covers(input, name)) missing.push(name);
  };
  need("@method");
  if (!covers(input, "@target-uri")) {
    need("@authority");
    if (!covers(input, "@request-target")) {
      need("@path");
      if (message.query !== "") need("@query");
    }
  }
  if (hasContent) need("content-digest");
  for (const field of fields) if (message.headers[field] !== undefined) need(field);
  return missing;
}

function judgeTimes({ created, expires }: MessageSignature, now: number): Deny | null {
  const createdMs = created * 1000;
  if (expires !== undefined && now >= expires * 1000)
    return no("signature-expired", "expires has passed", compared(`after ${instant(now)}`, instant(expires * 1000)));
  const isOld = now - createdMs > signatureAgeMsMax;
  if (!isOld && createdMs - now <= signatureAheadMsMax) return null;
  return no(
    "signature-expired",
    isOld ? "created is too old" : "created lies in the future",
    compared(`created at about ${instant(now)}`, `created at ${instant(createdMs)}`),
  );
}
