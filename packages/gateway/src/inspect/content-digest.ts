// Promises that content whose digest was signed goes no further than its last piece unless it is that very content. Trusts identify for the digests, which a
// signature covers. Specified in docs/identity/message-signatures.md; RFC 9530.
import { createHash, hash } from "node:crypto";
import { Transform } from "node:stream";
import type { ContentDigest, DigestAlgorithm } from "@sallyport/protocol/signature/content-digest.ts";
import { type Deny, deny, type StageName } from "@sallyport/protocol/verdict.ts";

const nodeName = (algorithm: DigestAlgorithm): string => algorithm.replace("-", "");

const equal = (digest: Uint8Array, of: Uint8Array): boolean => Buffer.compare(digest, of) === 0;

/** Does the whole content have all of these digests? */
export function fitsDigests(content: Uint8Array, digests: readonly ContentDigest[]): boolean {
  return digests.every(({ algorithm, digest }) => equal(digest, hash(nodeName(algorithm), content, "buffer")));
}

export function digestMismatch(stage: StageName, digests: readonly ContentDigest[]): Deny {
  return deny(stage, "content-digest", {
    why: "the content is not that whose digest was signed",
    detail: `The content does not have the ${digests.map(({ algorithm }) => algorithm).join(" and ")} of its Content-Digest`,
  });
}

/** Passes content on, its last piece only once the whole of it is known to fit; else `mismatched` is told, and it never ends. */
export function digestGate(digests: readonly ContentDigest[], mismatched: () => void): Transform {
  const running = digests.map(({ algorithm, digest }) => ({ digest, hash: createHash(nodeName(algorithm)) }));
  let held: Buffer | null = null;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (const one of running) one.hash.update(chunk);
      const before = held;
      held = chunk;
      done(null, before ?? undefined);
    },
    flush(done) {
      if (running.every((one) => equal(one.digest, one.hash.digest()))) {
        done(null, held ?? undefined);
        return;
      }
      mismatched();
      done(new Error("the content is not that whose digest was signed"));
    },
  });
}
