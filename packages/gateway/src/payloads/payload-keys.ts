// Promises public keys that payloads are sealed to, asked for at control once at a time, within bounds, and held only for as long as control says: no gateway
// ever holds what opens them. Trusts the channel for whose key it is. Specified in docs/formats/join.md "Payload keys".
import { patience } from "@sallyport/kernel/dial/patience.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { createRecipientSealer, type RecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type { Pseudonym } from "@sallyport/protocol/audit/leaf.ts";
import { type PayloadPlace, payloadContext } from "@sallyport/protocol/audit/payload.ts";
import type { PayloadKeyAnswer, PayloadKeyRequest } from "@sallyport/protocol/channel/messages.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";

/** Questions on their way at once; keys held at once. */
export const askedMax = 256;
export const heldMax = 4_096;
/** However long control says a key is fresh: one that was destroyed meanwhile seals what nobody can open. */
const heldMsMax = 60_000;
const answerMs = 2_000;

export interface PayloadKeyPorts {
  ask(request: PayloadKeyRequest): Promise<PayloadKeyAnswer>;
  readonly clock: Clock;
  readonly random: Random;
}

export interface PayloadKey {
  readonly kind: "key";
  /** Names the key in leaves and in what is sealed to it. */
  readonly id: string;
  readonly endsAt: number;
  seal(place: PayloadPlace, plaintext: Uint8Array): Uint8Array;
}

interface Held {
  readonly key: PayloadKey;
  readonly sealer: RecipientSealer;
  /** Monotonic. */
  readonly untilMs: number;
}

const unavailable = (why: string): Deny => deny("record", "payload-unavailable", { why });

export class PayloadKeys {
  readonly #ports: PayloadKeyPorts;
  /** The one asked for first stands first. */
  readonly #held = new Map<string, Held>();
  readonly #underWay = new Map<string, Promise<PayloadKey | Deny>>();

  constructor(ports: PayloadKeyPorts) {
    this.#ports = ports;
  }

  /** The key of this data subject for payloads that are kept so many days. Never rejects. */
  find(subject: Pseudonym, days: number): PayloadKey | Promise<PayloadKey | Deny> | Deny {
    const name = `${days} ${subject}`;
    const held = this.#held.get(name);
    if (held !== undefined && held.untilMs > this.#ports.clock.monotonic()) return held.key;
    this.#drop(name);
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) return underWay;
    if (this.#underWay.size >= askedMax) return unavailable("too many questions about payload keys are on their way");
    const answer = this.#ask(name, { subject, days }).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, answer);
    return answer;
  }

  /** Forgets every key: those of another year's pseudonyms are never asked for again. */
  forget(): void {
    for (const name of [...this.#held.keys()]) this.#drop(name);
  }

  async #ask(name: string, request: PayloadKeyRequest): Promise<PayloadKey | Deny> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const patient = patience(answerMs, () => resolve("late"));
    try {
      const answer = await Promise.race([this.#ports.ask(request), late]);
      return answer === "late"
        ? unavailable("control did not say in time which key to keep it under")
        : this.#hold(name, answer);
    } catch {
      return unavailable("control could not be asked, or has no key to keep it under");
    } finally {
      patient.end();
    }
  }

  #hold(name: string, { key, endsAt, freshMs }: PayloadKeyAnswer): PayloadKey {
    const { clock, random } = this.#ports;
    const sealer = createRecipientSealer({ recipient: Buffer.from(key, "base64url"), random, clock });
    const made: PayloadKey = {
      kind: "key",
      id: sealer.recipient,
      endsAt,
      seal: (place, plaintext) => sealer.seal(payloadContext(place), plaintext),
    };
    if (this.#held.size >= heldMax) this.#drop(this.#held.keys().next().value ?? "");
    this.#held.set(name, { key: made, sealer, untilMs: clock.monotonic() + Math.min(freshMs, heldMsMax) });
    return made;
  }

  #drop(name: string): void {
    this.#held.get(name)?.sealer.forget();
    this.#held.delete(name);
  }
}
