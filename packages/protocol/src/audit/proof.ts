// Promises inclusion and consistency proofs: made from any source of subtree hashes, checked against roots alone.
// Trusts the SHA-256 and, when making, the reader of hashes; checking trusts only the roots. RFC 6962 §2.1.1-2.1.2, RFC 9162 §2.1.3.2 and §2.1.4.2.
import { sameBytes } from "./base64.ts";
import { emptyRoot, nodeHash, type Sha256 } from "./merkle.ts";

/** Hash of the complete subtree of `2^height` leaves that begins at leaf `index * 2^height`. Throws when it cannot be had. */
export type HashReader = (height: number, index: number) => Uint8Array;

export interface TreeSource {
  readonly sha256: Sha256;
  readonly read: HashReader;
}

/** A proof has at most one hash per height on either side. */
export const proofHashesMax = 128;

/** Largest power of two smaller than n (n > 1). */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** Height when `n` is a power of two, else -1. */
function exactHeight(n: number): number {
  const height = Math.round(Math.log2(n));
  return 2 ** height === n ? height : -1;
}

/** MTH(D[from:to]) where `from` is a multiple of the largest power of two in it (as all ranges of a proof are). */
export function rangeHash(tree: TreeSource, from: number, to: number): Uint8Array {
  if (from === to) return emptyRoot(tree.sha256);
  const height = exactHeight(to - from);
  if (height >= 0) return tree.read(height, from / (to - from));
  const middle = from + split(to - from);
  return nodeHash(tree.sha256, rangeHash(tree, from, middle), rangeHash(tree, middle, to));
}

/** Hashes from the leaf's sibling up to the root's child (RFC 6962 §2.1.1). `index < size`. */
export function inclusionProof(tree: TreeSource, index: number, size: number): Uint8Array[] {
  if (!(Number.isSafeInteger(index) && index >= 0 && index < size))
    throw new RangeError("the index lies outside the tree");
  const proof: Uint8Array[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + split(to - from);
    if (index < middle) {
      proof.push(rangeHash(tree, middle, to));
      to = middle;
    } else {
      proof.push(rangeHash(tree, from, middle));
      from = middle;
    }
  }
  return proof.reverse();
}

/** Hashes that show a tree of `older` leaves to be a prefix of one of `size` (RFC 6962 §2.1.2); empty when either is trivial. */
export function consistencyProof(tree: TreeSource, older: number, size: number): Uint8Array[] {
  if (!(older >= 0 && older <= size)) throw new RangeError("the older tree is larger than the newer");
  if (older === 0 || older === size) return [];
  const proof: Uint8Array[] = [];
  let from = 0;
  let to = size;
  let whole = true;
  while (older !== to) {
    const middle = from + split(to - from);
    if (older <= middle) {
      proof.push(rangeHash(tree, middle, to));
      to = middle;
    } else {
      proof.push(rangeHash(tree, from, middle));
      from = middle;
      whole = false;
    }
  }
  if (!whole) proof.push(rangeHash(tree, from, to));
  return proof.reverse();
}

export interface InclusionClaim {
  readonly leafHash: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** True only when the proof binds the leaf hash at that index to the root (RFC 9162 §2.1.3.2). */
export function verifyInclusion(sha256: Sha256, claim: InclusionClaim): boolean {
  const { index, size, proof } = claim;
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(index) || index < 0 || index >= size) return false;
  if (proof.length > proofHashesMax) return false;
  let node = index;
  let last = size - 1;
  let hash = claim.leafHash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sha256, sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      hash = nodeHash(sha256, hash, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameBytes(hash, claim.root);
}

const half = (n: number) => Math.floor(n / 2);

export interface ConsistencyClaim {
  readonly olderSize: number;
  readonly olderRoot: Uint8Array;
  readonly size: number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** True only when the older tree is a prefix of the newer (RFC 9162 §2.1.4.2). */
export function verifyConsistency(sha256: Sha256, claim: ConsistencyClaim): boolean {
  const { olderSize, size, olderRoot, root } = claim;
  if (!Number.isSafeInteger(olderSize) || !Number.isSafeInteger(size) || olderSize < 0 || olderSize > size)
    return false;
  if (claim.proof.length > proofHashesMax) return false;
  if (olderSize === size) return claim.proof.length === 0 && sameBytes(olderRoot, root);
  if (olderSize === 0) return claim.proof.length === 0 && sameBytes(olderRoot, emptyRoot(sha256));
  const path = exactHeight(olderSize) >= 0 ? [olderRoot, ...claim.proof] : claim.proof;
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let node = olderSize - 1;
  let last = size - 1;
  while (node % 2 === 1) [node, last] = [half(node), half(last)];
  let older = first;
  let newer = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      older = nodeHash(sha256, sibling, older);
      newer = nodeHash(sha256, sibling, newer);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newer = nodeHash(sha256, newer, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameBytes(older, olderRoot) && sameBytes(newer, root);
}
