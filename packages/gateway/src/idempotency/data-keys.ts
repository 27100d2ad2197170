// Promises that the data-plane store learns nothing of a caller: whom a row belongs to, its key and what was asked are keyed hashes, and what was answered is
// sealed to its own row. Trusts the data key to be control's alone and its gateways'. Specified in docs/idempotency.md "What the store holds".
import { createHmac, hkdfSync } from "node:crypto";
import type { Random } from "@sallyport/kernel/ports.ts";
import { openFromRing, readRingEnvelope, ringId, sealToRing } from "@sallyport/kernel/seal/ring-envelope.ts";
import type { Principal } from "@sallyport/protocol/principal.ts";
import { printContext, printText } from "@sallyport/protocol/seal/context.ts";

export const dataKeyBytes = 32;
const purpose = "data-plane";

export interface DataPlace {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
}

/** What was asked, as far as a repeat has to be the same. */
export interface AskedPayload {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly contentType: string;
  /** Of each field that decided: name, count of values, values. */
  readonly fields: readonly string[];
  readonly body: Uint8Array;
}

/** Where an answer belongs: it opens for no other row, and not under rules that have changed. */
export interface AnswerPlace {
  readonly keyHash: Uint8Array;
  readonly crossing: string;
  readonly rules: Uint8Array;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

/** Keys of one (tenant, environment, region), all derived from its data key. */
export class DataKeys {
  readonly #place: DataPlace;
  readonly #hashing: Uint8Array;
  readonly #sealing: { readonly ring: string; readonly version: 1; readonly key: Uint8Array };
  readonly #random: Random;
  #limitsPlace: string | null = null;

  /** `dataKey`: 32 bytes from control, the same for all gateways of an environment. */
  constructor(dataKey: Uint8Array, place: DataPlace, random: Random) {
    if (dataKey.length !== dataKeyBytes) throw new TypeError(`a data key has ${dataKeyBytes} bytes`);
    const { tenant, environment, region } = place;
    const derive = (use: string) =>
      new Uint8Array(
        hkdfSync("sha256", dataKey, "", printContext({ tenant, environment, region, purpose, use }), dataKeyBytes),
      );
    this.#place = { tenant, environment, region };
    this.#hashing = derive("hash");
    this.#sealing = { ring: ringId(tenant, purpose), version: 1, key: derive("seal") };
    this.#random = random;
  }

  /** Tells another data key apart, and says nothing of this one. */
  get check(): Uint8Array {
    return this.#hash("check", []);
  }

  /** Of a key as this principal uses it for this operation: nobody else's, and no other operation's. */
  keyOf({ caller, issuer, subject }: Pick<Principal, "caller" | "issuer" | "subject">, operation: string, key: string) {
    const whom = subject === undefined ? [caller] : [caller, issuer ?? "", subject];
    return this.#hash("key", [String(whom.length), ...whom, operation, key]);
  }

  /** Of a calling system, whose keys are counted together. */
  ownerOf(caller: string): Uint8Array {
    return this.#hash("owner", [caller]);
  }

  payloadOf({ method, path, query, contentType, fields, body }: AskedPayload): Uint8Array {
    const target = [method, path, query, contentType];
    if (fields.length === 0) return this.#hash("payload", target, body);
    return this.#hash("payload with fields", [...target, String(fields.length), ...fields], body);
  }

  /** Of a quota as it counts somebody in one period. */
  quotaOf(name: string, period: string): Uint8Array {
    return this.#hash("quota", [name, period]);
  }

  /** What Redis knows a counted thing by; all of one place lie together. */
  sharedLimitOf(name: string): string {
    this.#limitsPlace ??= hex(this.#hash("limits", []).subarray(0, 4));
    return `sallyport:{${this.#limitsPlace}}:${Buffer.from(this.#hash("limit", [name]).subarray(0, 16)).toString("base64url")}`;
  }

  resourceOf(system: string, value: string): Uint8Array {
    return this.#hash("resource", [system, value]);
  }

  /** What a provider is told in place of the caller's key: 43 characters, base64url. */
  providerKeyOf(keyHash: Uint8Array): string {
    return Buffer.from(this.#hash("provider", [], keyHash)).toString("base64url");
  }

  seal(at: AnswerPlace, answer: Uint8Array): Uint8Array {
    return sealToRing(this.#sealing, { context: this.#contextOf(at), plaintext: answer }, this.#random);
  }

  /** Faults: SealFault, where the row was changed, is another's, or was sealed under another data key. */
  open(at: AnswerPlace, sealed: Uint8Array): Uint8Array {
    return openFromRing(this.#sealing, this.#contextOf(at), readRingEnvelope(sealed));
  }

  #contextOf({ keyHash, crossing, rules }: AnswerPlace) {
    return { ...this.#place, purpose, key: hex(keyHash), crossing, rules: hex(rules) };
  }

  /** HMAC-SHA-256 over length-prefixed texts and, last, bytes. */
  #hash(what: string, texts: readonly string[], bytes?: Uint8Array): Uint8Array {
    const mac = createHmac("sha256", this.#hashing);
    for (const text of [what, ...texts]) mac.update(printText(text));
    if (bytes !== undefined) mac.update(bytes);
    return mac.digest();
  }
}
