// Promises DPoP nonces that only this node in this replay epoch can have made, checked without keeping any. A new epoch (the replay set was
// lost) makes every earlier nonce worthless. Trusts its secret. Specified by RFC 9449 §8 and DESIGN §12 (nonces bound to the node).
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

export const nonceStepMs = 60_000;
const tagBytes = 15;
const stepBytes = 5;

export interface Nonces {
  /** The nonce of the running step. */
  current(nowMs: number): string;
  /** Step of a nonce that is still accepted (the running step or the one before), or null. */
  stepOf(nonce: string, nowMs: number): number | null;
  /** Step that runs at this time. */
  step(nowMs: number): number;
}

export interface NonceDomain {
  readonly node: string;
  /** Names the replay set: fresh for every fresh set. */
  readonly epoch: string;
}

/** Stateless nonces of one node and replay epoch. `secret` is at least 32 random bytes that never leave the process. */
export function createNonces(secret: Uint8Array, domain: NonceDomain): Nonces {
  const info = `sallyport-nonce/v1\n${domain.node}\n${domain.epoch}`;
  const key = Buffer.from(hkdfSync("sha256", secret, new Uint8Array(0), info, 32));
  const made = new Map<number, string>();
  const of = (step: number): string => {
    const known = made.get(step);
    if (known !== undefined) return known;
    const nonce = makeNonce(key, step);
    for (const old of made.keys()) if (old < step - 1) made.delete(old);
    made.set(step, nonce);
    return nonce;
  };
  const stepAt = (nowMs: number): number => Math.floor(nowMs / nonceStepMs);
  return {
    current: (nowMs) => of(stepAt(nowMs)),
    step: stepAt,
    stepOf(nonce, nowMs) {
      const step = stepAt(nowMs);
      if (sameText(nonce, of(step))) return step;
      return sameText(nonce, of(step - 1)) ? step - 1 : null;
    },
  };
}

function makeNonce(key: Uint8Array, step: number): string {
  const head = Buffer.alloc(stepBytes);
  head.writeUIntBE(step, 0, stepBytes);
  const tag = createHmac("sha256", key).update(head).digest().subarray(0, tagBytes);
  return Buffer.concat([head, tag]).toString("base64url");
}

function sameText(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"));
}
