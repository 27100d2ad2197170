// Promises what a Content-Digest field says of the content, in the algorithms that are believed, and nothing of the rest. Trusts nothing.
// Specified by RFC 9530 §2 and §5; what is done with it: docs/identity/message-signatures.md.
import { printBase64 } from "../audit/base64.ts";
import { parseDictionary } from "../structured-fields/parse.ts";

/** Those of RFC 9530 that nobody can find a second content for. */
export type DigestAlgorithm = "sha-256" | "sha-512";

const octetsOf: Readonly<Record<DigestAlgorithm, number>> = { "sha-256": 32, "sha-512": 64 };

export interface ContentDigest {
  readonly algorithm: DigestAlgorithm;
  readonly digest: Uint8Array;
}

export type DigestReading =
  | { readonly kind: "digests"; readonly digests: readonly ContentDigest[] }
  | { readonly kind: "malformed"; readonly why: string };

/** All digests of the field in algorithms that are believed: at least one, and all of them have to fit. Others are passed over. */
export function readContentDigest(lines: readonly string[]): DigestReading {
  const malformed = (why: string): DigestReading => ({ kind: "malformed", why });
  const parsed = parseDictionary(lines);
  if (parsed === null) return malformed("Content-Digest is no dictionary");
  if (parsed.repeats) return malformed("Content-Digest says an algorithm twice");
  const digests: ContentDigest[] = [];
  for (const [algorithm, member] of parsed.value) {
    if (!isBelieved(algorithm)) continue;
    const digest = member.kind === "item" && member.value.type === "binary" ? member.value.value : null;
    if (digest?.length !== octetsOf[algorithm]) return malformed(`${algorithm} is not of its length`);
    digests.push({ algorithm, digest });
  }
  return digests.length === 0
    ? malformed("Content-Digest holds neither sha-256 nor sha-512")
    : { kind: "digests", digests };
}

function isBelieved(algorithm: string): algorithm is DigestAlgorithm {
  return Object.hasOwn(octetsOf, algorithm);
}

export function printContentDigest({ algorithm, digest }: ContentDigest): string {
  return `${algorithm}=:${printBase64(digest)}:`;
}
