// Promises DPoP nonces that need no memory: a step number and a keyed digest of it, good for the step it names and the next.
// Trusts its secret and the clock. Format: docs/identity.md; use: RFC 9449 §8.
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "@sallyport/kernel/ports.ts";

export const nonceStepMs = 60_000;

export interface NonceBook {
  /** The nonce to hand out now. */
  issue(): string;
  /** Is this a nonce handed out in the current or the previous step? */
  accepts(nonce: string): boolean;
}

export interface NonceOptions {
  /** 32 random bytes, shared by all control nodes that answer for the same issuer. */
  readonly secret: Uint8Array;
  /** The issuer or admin origin it belongs to: a nonce of one is no nonce of another. */
  readonly domain: string;
  readonly clock: Clock;
}

/** Builds the nonce book of one domain. A nonce is accepted for 60 to 120 seconds. */
export function createNonceBook(options: NonceOptions): NonceBook {
  const make = (step: number): string => {
    const digest = createHmac("sha256", options.secret)
      .update(`sallyport-nonce/v1\n${options.domain}\n${step}`)
      .digest();
    return `${step.toString(36)}.${digest.subarray(0, 16).toString("base64url")}`;
  };
  // Every request asks for the nonces of one or two steps: each is made once.
  let made: { readonly step: number; readonly now: string; readonly before: string } | null = null;
  const current = () => {
    const now = step();
    if (made?.step !== now) made = { step: now, now: make(now), before: make(now - 1) };
    return made;
  };
  const step = (): number => Math.floor(options.clock.now() / nonceStepMs);
  const same = (a: string, b: string): boolean =>
    a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
  return {
    issue: () => current().now,
    // The length check comes first and the text is ASCII, so both buffers always have the same size.
    accepts: (nonce) => {
      if (!/^[\x21-\x7e]{1,64}$/.test(nonce)) return false;
      const { now, before } = current();
      return same(nonce, now) || same(nonce, before);
    },
  };
}
