// Promises the Merkle tree hash of RFC 6962 §2.1 over any number of leaves, kept as a compact range that grows by one leaf at a time.
// Trusts the SHA-256 it is given. Specified by RFC 6962 §2.1; sizes up to 2^53 - 1.

/** SHA-256 of the bytes, 32 bytes. */
export type Sha256 = (data: Uint8Array) => Uint8Array;

export const hashBytes = 32;

/** SHA-256(0x00 ‖ entry), RFC 6962 §2.1. */
export function leafHash(sha256: Sha256, entry: Uint8Array): Uint8Array {
  const input = new Uint8Array(entry.length + 1);
  input.set(entry, 1);
  return sha256(input);
}

/** `leafHash` for many leaves: one buffer instead of a fresh one for each. */
export function leafHasher(sha256: Sha256): (entry: Uint8Array) => Uint8Array {
  let input = new Uint8Array(1024);
  return (entry) => {
    if (entry.length >= input.length) input = new Uint8Array(2 * entry.length);
    input.set(entry, 1);
    return sha256(input.subarray(0, entry.length + 1));
  };
}

/** SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1. */
export function nodeHash(sha256: Sha256, left: Uint8Array, right: Uint8Array): Uint8Array {
  const input = new Uint8Array(1 + 2 * hashBytes);
  input[0] = 1;
  input.set(left, 1);
  input.set(right, 1 + hashBytes);
  return sha256(input);
}

/** Root of the tree without leaves: SHA-256 of nothing. */
export function emptyRoot(sha256: Sha256): Uint8Array {
  return sha256(new Uint8Array(0));
}

/** Called for every complete subtree the moment its last leaf arrives; `height` 0 is a leaf. */
export type OnSubtree = (height: number, hash: Uint8Array) => void;

/** The complete subtrees that cover all leaves so far, one per set bit of the size: all that is needed to grow and to know the root. */
export class Frontier {
  readonly #sha256: Sha256;
  readonly #input = new Uint8Array(1 + 2 * hashBytes);
  /** Hash of the complete subtree of each height, where the size has that bit. */
  readonly #nodes: (Uint8Array | undefined)[] = [];
  #size = 0;

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
    this.#input[0] = 1;
  }

  get size(): number {
    return this.#size;
  }

  /** The complete subtrees by height, lowest first: what `restore` takes up again. */
  subtrees(): readonly { readonly height: number; readonly hash: Uint8Array }[] {
    return this.#nodes.flatMap((hash, height) => (hash === undefined ? [] : [{ height, hash }]));
  }

  /** Takes up a tree of `size` leaves from its complete subtrees: `at(height)` is asked for every set bit of the size. */
  restore(size: number, at: (height: number) => Uint8Array): void {
    this.#nodes.length = 0;
    this.#size = size;
    for (let height = 0, rest = size; rest > 0; height++, rest = Math.floor(rest / 2)) {
      this.#nodes.push(rest % 2 === 1 ? at(height) : undefined);
    }
  }

  /**
   * Adds one leaf by its hash, or the root of a complete subtree of 2^`from` leaves where the size is a multiple of that.
   * The hash is kept, not copied; subtrees below that are not told of.
   */
  push(hash: Uint8Array, onSubtree?: OnSubtree, from = 0): void {
    const added = 2 ** from;
    if (this.#size % added !== 0) throw new RangeError("a subtree begins at a multiple of its leaves");
    let carried = hash;
    let height = from;
    onSubtree?.(height, carried);
    for (let rest = this.#size / added; rest % 2 === 1; rest = (rest - 1) / 2) {
      const left = this.#nodes[height];
      if (left === undefined) throw new Error("a frontier lacks a subtree its size promises");
      this.#input.set(left, 1);
      this.#input.set(carried, 1 + hashBytes);
      carried = this.#sha256(this.#input);
      this.#nodes[height] = undefined;
      height += 1;
      onSubtree?.(height, carried);
    }
    while (this.#nodes.length < height) this.#nodes.push(undefined);
    this.#nodes[height] = carried;
    this.#size += added;
  }

  root(): Uint8Array {
    let root: Uint8Array | undefined;
    for (const node of this.#nodes) {
      if (node !== undefined) root = root === undefined ? node : nodeHash(this.#sha256, node, root);
    }
    return root ?? emptyRoot(this.#sha256);
  }
}
