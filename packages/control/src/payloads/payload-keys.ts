// Promises gateways the public half of a data subject's key, made on first need, and operators the private half while it exists; at rest it is only sealed.
// Trusts the keyring and the store. Envelope: docs/formats/seal.md, purpose `payload-key`. Specified in docs/payloads.md "Keys".
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import {
  createRecipientKeyPair,
  createRecipientOpener,
  type RecipientOpener,
  recipientId,
} from "@sallyport/kernel/seal/recipient.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { PayloadKeyAnswer, PayloadKeyRequest } from "@sallyport/protocol/channel/messages.ts";
import type { DataSubject, FoundPayloadKey, PayloadCommands, PayloadPlace } from "./store.ts";

const purpose = "payload-key";
const dayMs = 86_400_000;
/** How long a gateway may use a key before it asks again: so long it may seal to one that was destroyed. */
const freshMsMax = 60_000;
/** Keys of one environment that end on one day. */
const keysMaxDefault = 1_000_000;

export interface PayloadKeyPorts {
  readonly store: Pick<Store<PayloadCommands>, "run">;
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly clock: Clock;
  readonly random: Random;
  /** For tests: keys of one environment that end on one day. */
  readonly keysMax?: number;
}

export class PayloadKeyring {
  readonly #ports: PayloadKeyPorts;

  constructor(ports: PayloadKeyPorts) {
    this.#ports = ports;
  }

  /** Null: there are as many keys as are kept. */
  async publicKey(place: PayloadPlace, { subject, days }: PayloadKeyRequest): Promise<PayloadKeyAnswer | null> {
    const { store, clock } = this.#ports;
    const now = clock.now();
    const today = Math.floor(now / dayMs) * dayMs;
    // Whole days: a payload of this evening is kept as long as one of this morning.
    const endsAt = today + (days + 1) * dayMs;
    const { tenant, environment } = place;
    const of = { tenant, environment, subject };
    const found = await store.run("findPayloadKey", { ...of, endsAt });
    const publicKey = found?.publicKey ?? (await this.#made(of, endsAt));
    if (publicKey === null) return null;
    const freshMs = Math.min(freshMsMax, today + dayMs - now);
    return { key: Buffer.from(publicKey).toString("base64url"), endsAt, freshMs };
  }

  async #made(of: DataSubject, endsAt: number): Promise<Uint8Array | null> {
    const { store, keyring, random, keysMax = keysMaxDefault } = this.#ports;
    const { publicKey, privateKey } = createRecipientKeyPair(random);
    const kid = recipientId(publicKey);
    const raw = privateKey.use((bytes) => Uint8Array.from(bytes));
    const sealed = await keyring.seal(purpose, contextOf(of, kid), raw);
    raw.fill(0);
    privateKey.wipe();
    return (await store.run("addPayloadKey", { ...of, kid, publicKey, endsAt, sealed, keysMax })) ? publicKey : null;
  }

  /** What opens payloads sealed to this key, or why nothing does any more. */
  async opener(
    of: DataSubject,
    kid: string,
  ): Promise<
    { readonly kind: "opener"; readonly opener: RecipientOpener } | Exclude<FoundPayloadKey, { kind: "found" }>
  > {
    const { store, keyring } = this.#ports;
    const found = await store.run("readPayloadKey", { ...of, kid });
    if (found.kind !== "found") return found;
    // Also a row that somebody moved to another data subject opens nothing: the context names both.
    const raw = await keyring.open(purpose, contextOf(of, kid), found.sealed);
    return { kind: "opener", opener: createRecipientOpener(Secret.fromBytes(raw)) };
  }
}

function contextOf({ tenant, environment, subject }: DataSubject, kid: string) {
  return { tenant, environment, object: `payload-key/${kid}`, subject };
}
