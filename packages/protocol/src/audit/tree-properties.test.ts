// The tree, its tiles and its proofs against RFC 6962 §2.1 written down word for word: definitions that hash everything anew for every question.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { Frontier, leafHash, nodeHash } from "./merkle.ts";
import { consistencyProof, inclusionProof, rangeHash, verifyConsistency, verifyInclusion } from "./proof.ts";
import {
  bundlePath,
  parseBundle,
  parseTilePath,
  printBundle,
  TileBuilder,
  type TileId,
  tileHashReader,
  tilePath,
  tileWidthMax,
} from "./tiles.ts";

const sha256 = (data: Uint8Array) => new Uint8Array(createHash("sha256").update(data).digest());
const concat = (...parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** k, the largest power of two smaller than n. */
const split = (n: number): number => (n <= 2 ? 1 : 2 * split(Math.ceil(n / 2)));

/** MTH(D[n]). */
function treeHash(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return sha256(new Uint8Array(0));
  if (leaves.length === 1) return sha256(concat(Uint8Array.of(0), only));
  const k = split(leaves.length);
  return sha256(concat(Uint8Array.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k))));
}

/** PATH(m, D[n]). */
function auditPath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...auditPath(m, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...auditPath(m - k, leaves.slice(k)), treeHash(leaves.slice(0, k))];
}

/** SUBPROOF(m, D[n], b). */
function subProof(m: number, leaves: readonly Uint8Array[], isWhole: boolean): Uint8Array[] {
  if (m === leaves.length) return isWhole ? [] : [treeHash(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...subProof(m, leaves.slice(0, k), isWhole), treeHash(leaves.slice(k))]
    : [...subProof(m - k, leaves.slice(k), false), treeHash(leaves.slice(0, k))];
}

const entry = (seed: number, i: number) => new TextEncoder().encode(`leaf ${i} of ${seed} ${"x".repeat(i % 13)}`);
const entries = (seed: number, n: number) => Array.from({ length: n }, (_, i) => entry(seed, i));

/** A tree as a log keeps it: tiles by path, the partial ones as of its end. */
function tiledTree(leaves: readonly Uint8Array[]) {
  const tiles = new Map<string, Uint8Array>();
  const builder = new TileBuilder(sha256, (tile, bytes) => tiles.set(tilePath(tile), bytes.slice()));
  for (const leaf of leaves) builder.push(leafHash(sha256, leaf));
  for (const { tile, bytes } of builder.partials()) tiles.set(tilePath(tile), bytes);
  const read = tileHashReader(sha256, leaves.length, (tile: TileId) => tiles.get(tilePath(tile)) ?? assert.fail());
  return { tiles, builder, source: { sha256, read } };
}

/** Sizes where trees differ: small ones, and those about powers of two and whole tiles. */
const treeSize = (max: number) =>
  fc.oneof(
    fc.nat({ max: Math.min(max, 70) }),
    fc.nat({ max }),
    fc
      .tuple(fc.constantFrom(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1_024, 2_048), fc.integer({ min: -2, max: 2 }))
      .map(([near, off]) => Math.min(max, Math.max(0, near + off))),
  );
const seeds = fc.nat({ max: 1_000_000 });

test("roots: frontier, tiles and resumed trees of any size are the tree hash of RFC 6962", () => {
  const property = fc.property(seeds, treeSize(2_100), treeSize(2_100), (seed, size, stop) => {
    const leaves = entries(seed, size);
    const { tiles, builder, source } = tiledTree(leaves);
    const root = treeHash(leaves);
    const frontier = new Frontier(sha256);
    for (const leaf of leaves) frontier.push(leafHash(sha256, leaf));
    assert.deepEqual(frontier.root(), root);
    assert.deepEqual(builder.root(), root);
    assert.deepEqual(rangeHash(source, 0, size), root);
    const before = tiledTree(leaves.slice(0, stop));
    const resumed = new TileBuilder(sha256, (tile, bytes) => assert.deepEqual(bytes, tiles.get(tilePath(tile))));
    resumed.restore(sha256, Math.min(stop, size), (tile) => before.tiles.get(tilePath(tile)) ?? assert.fail());
    for (const leaf of leaves.slice(stop)) resumed.push(leafHash(sha256, leaf));
    assert.deepEqual(resumed.root(), root);
  });
  fc.assert(property, { seed: 6962, numRuns: 60 });
});

test("tiles: each hash of every tile, whole or partial, is the tree hash of its leaves, and there are no other tiles", () => {
  const property = fc.property(seeds, treeSize(1_500), (seed, size) => {
    const leaves = entries(seed, size);
    const { tiles } = tiledTree(leaves);
    const due = new Map<string, Uint8Array>();
    for (let level = 0; tileWidthMax ** level <= size; level++) {
      const span = tileWidthMax ** level;
      const hashes = Array.from({ length: Math.floor(size / span) }, (_, i) =>
        treeHash(leaves.slice(i * span, (i + 1) * span)),
      );
      for (let n = 0; n * tileWidthMax < hashes.length; n++) {
        const within = hashes.slice(n * tileWidthMax, (n + 1) * tileWidthMax);
        due.set(tilePath({ level, n, width: within.length }), concat(...within));
      }
    }
    assert.deepEqual([...tiles.keys()].sort(), [...due.keys()].sort());
    for (const [path, bytes] of due) assert.deepEqual(tiles.get(path), bytes, path);
  });
  fc.assert(property, { seed: 6962, numRuns: 40 });
});

test("inclusion: every index of every tree up to 40 leaves, and any of larger ones, has exactly the path of RFC 6962, which proves that leaf and no other", () => {
  const check = (leaves: readonly Uint8Array[], { source, builder }: ReturnType<typeof tiledTree>, index: number) => {
    const size = leaves.length;
    const proof = inclusionProof(source, index, size);
    assert.deepEqual(proof, auditPath(index, leaves));
    const claim = {
      leafHash: leafHash(sha256, leaves[index] ?? assert.fail()),
      index,
      size,
      root: builder.root(),
      proof,
    };
    assert.ok(verifyInclusion(sha256, claim));
    for (const wrong of [
      { leafHash: leafHash(sha256, new Uint8Array(1)) },
      { index: index === 0 ? size : index - 1 },
      { index: index + 1 },
      { root: sha256(claim.root) },
      { proof: [...proof, claim.root] },
      ...proof.map((_, i) => ({ proof: proof.filter((__, j) => j !== i) })),
      ...proof.map((hash, i) => ({ proof: proof.with(i, sha256(hash)) })),
    ])
      assert.ok(!verifyInclusion(sha256, { ...claim, ...wrong }), `${index} of ${size}`);
  };
  for (let size = 1; size <= 40; size++) {
    const leaves = entries(size, size);
    const tree = tiledTree(leaves);
    for (let index = 0; index < size; index++) check(leaves, tree, index);
  }
  const property = fc.property(seeds, treeSize(1_100), seeds, (seed, size, at) => {
    if (size === 0) return;
    const leaves = entries(seed, size);
    check(leaves, tiledTree(leaves), at % size);
  });
  fc.assert(property, { seed: 6962, numRuns: 60 });
});

test("consistency: every pair of sizes up to 40, and any larger pair, has exactly the proof of RFC 6962, which no forked or rewritten tree has", () => {
  const check = (
    leaves: readonly Uint8Array[],
    { source, builder }: ReturnType<typeof tiledTree>,
    olderSize: number,
  ) => {
    const size = leaves.length;
    const proof = consistencyProof(source, olderSize, size);
    assert.deepEqual(proof, olderSize === 0 ? [] : subProof(olderSize, leaves.slice(), true));
    const claim = { olderSize, olderRoot: treeHash(leaves.slice(0, olderSize)), size, root: builder.root(), proof };
    assert.ok(verifyConsistency(sha256, claim));
    if (olderSize === 0) return;
    for (const wrong of [
      { olderRoot: sha256(claim.olderRoot) },
      { root: sha256(claim.root) },
      { proof: [...proof, claim.root] },
      ...proof.map((_, i) => ({ proof: proof.filter((__, j) => j !== i) })),
      ...proof.map((hash, i) => ({ proof: proof.with(i, sha256(hash)) })),
    ])
      assert.ok(!verifyConsistency(sha256, { ...claim, ...wrong }), `${olderSize} of ${size}`);
  };
  for (let size = 0; size <= 40; size++) {
    const leaves = entries(size, size);
    const tree = tiledTree(leaves);
    for (let older = 0; older <= size; older++) check(leaves, tree, older);
  }
  const property = fc.property(seeds, treeSize(1_100), seeds, (seed, size, at) => {
    const leaves = entries(seed, size);
    check(leaves, tiledTree(leaves), at % (size + 1));
  });
  fc.assert(property, { seed: 6962, numRuns: 60 });
});

test("attack: a proof of one tree proves nothing of another that differs in one leaf", () => {
  const property = fc.property(seeds, fc.integer({ min: 2, max: 600 }), seeds, seeds, (seed, size, at, other) => {
    const leaves = entries(seed, size);
    const changed = leaves.with(other % size, new TextEncoder().encode("another leaf"));
    const index = at % size;
    const proof = inclusionProof(tiledTree(changed).source, index, size);
    const claim = { leafHash: leafHash(sha256, changed[index] ?? assert.fail()), index, size, proof };
    assert.ok(!verifyInclusion(sha256, { ...claim, root: treeHash(leaves) }));
    assert.ok(verifyInclusion(sha256, { ...claim, root: treeHash(changed) }));
  });
  fc.assert(property, { seed: 6962, numRuns: 60 });
});

test("attack: a leaf whose bytes are those of an inner node does not stand for it", () => {
  const property = fc.property(seeds, (seed) => {
    const [a, b] = entries(seed, 2).map((leaf) => leafHash(sha256, leaf));
    if (a === undefined || b === undefined) return;
    assert.notDeepEqual(leafHash(sha256, concat(Uint8Array.of(1), a, b)), nodeHash(sha256, a, b));
  });
  fc.assert(property, { seed: 6962, numRuns: 20 });
});

test("bundles and paths of any width read back as what was printed, and one more or one less entry is refused", () => {
  const bundle = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: tileWidthMax });
  const property = fc.property(bundle, fc.nat({ max: 10_000_000 }), fc.nat({ max: 6 }), (list, n, level) => {
    const bytes = printBundle(list);
    assert.deepEqual(
      parseBundle(bytes, list.length)?.map((one) => [...one]),
      list.map((one) => [...one]),
    );
    for (const width of [list.length - 1, list.length + 1]) assert.equal(parseBundle(bytes, width), null);
    const width = list.length;
    assert.deepEqual(parseTilePath(bundlePath(n, width)), { level: null, n, width });
    assert.deepEqual(parseTilePath(tilePath({ level, n, width })), { level, n, width });
  });
  fc.assert(property, { seed: 6962, numRuns: 100 });
});
