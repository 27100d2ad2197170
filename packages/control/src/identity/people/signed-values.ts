// Promises values that leave in a page and come back unchanged, in time, in the browser they were given to, and for what they were made: form tokens,
// passkey challenges, log-ins between two steps. Nothing is stored until one is used up. Trusts its secret and the clock. docs/identity/people.md "Forms".
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";

/** What a value is for; one made for another purpose does not open. */
export type Purpose = "form" | "step" | "seed" | "consent" | "logout" | "registration" | "assertion" | "outside";

export interface Binding {
  readonly purpose: Purpose;
  /** Of the browser (and, where there is one, its session): another browser's value does not open. */
  readonly browser: string;
}

const macBytes = 16;
const idBytes = 16;
const expiryBytes = 6;
const challengeBytes = idBytes + expiryBytes + macBytes;
const textMax = 4_096;

export interface SignedValues {
  /** Text for a page. `payload` must be JSON; it is readable by the browser. */
  seal(binding: Binding, payload: unknown, lifetimeMs: number): string;
  /** The payload with an id of its own, for `spendOnce`, and its end; null for anything that is not ours, here, now. */
  open(binding: Binding, text: string): OpenedValue | null;
  /** A WebAuthn challenge (38 bytes as base64url). */
  challenge(binding: Binding, lifetimeMs: number): string;
  /** Its id and end, or null. */
  openChallenge(binding: Binding, text: string): Omit<OpenedValue, "payload"> | null;
}

export interface OpenedValue {
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly payload: unknown;
}

/** Values of one issuer. `secret`: 32 random bytes, shared by all control nodes that answer for it. */
export function createSignedValues(options: {
  readonly secret: Uint8Array;
  readonly issuer: string;
  readonly clock: Clock;
  readonly random: Random;
}): SignedValues {
  const { secret, issuer, clock, random } = options;
  const macOf = ({ purpose, browser }: Binding, body: Uint8Array): Buffer => {
    const mac = createHmac("sha256", secret);
    // Length-prefixed, so that no two contexts run into each other.
    for (const part of ["sallyport-page/v1", issuer, purpose, browser])
      mac.update(`${Buffer.byteLength(part)}:${part}`);
    return mac.update(body).digest().subarray(0, macBytes);
  };
  const head = (lifetimeMs: number): Buffer => {
    const expiry = Buffer.alloc(expiryBytes);
    expiry.writeUIntBE(clock.now() + lifetimeMs, 0, expiryBytes);
    return Buffer.concat([random.bytes(idBytes), expiry]);
  };
  const openBytes = (binding: Binding, bytes: Buffer) => {
    if (bytes.length < challengeBytes) return null;
    const body = bytes.subarray(0, bytes.length - macBytes);
    if (!timingSafeEqual(macOf(binding, body), bytes.subarray(bytes.length - macBytes))) return null;
    const until = body.readUIntBE(idBytes, expiryBytes);
    if (until <= clock.now()) return null;
    return { id: body.subarray(0, idBytes).toString("base64url"), until, rest: body.subarray(idBytes + expiryBytes) };
  };
  const bytesOf = (text: string): Buffer | null => {
    if (text.length > textMax || !/^[A-Za-z0-9_-]+$/.test(text)) return null;
    const bytes = Buffer.from(text, "base64url");
    return bytes.toString("base64url") === text ? bytes : null;
  };
  const print = (binding: Binding, body: Buffer) => Buffer.concat([body, macOf(binding, body)]).toString("base64url");
  return {
    seal: (binding, payload, lifetimeMs) =>
      print(binding, Buffer.concat([head(lifetimeMs), Buffer.from(JSON.stringify(payload))])),
    open: (binding, text) => {
      const bytes = bytesOf(text);
      const opened = bytes === null ? null : openBytes(binding, bytes);
      if (opened === null) return null;
      // Authentic by now, so it is what `seal` printed.
      return { id: opened.id, until: opened.until, payload: JSON.parse(opened.rest.toString()) };
    },
    challenge: (binding, lifetimeMs) => print(binding, head(lifetimeMs)),
    openChallenge: (binding, text) => {
      const bytes = bytesOf(text);
      const opened = bytes === null || bytes.length !== challengeBytes ? null : openBytes(binding, bytes);
      return opened === null ? null : { id: opened.id, until: opened.until };
    },
  };
}
