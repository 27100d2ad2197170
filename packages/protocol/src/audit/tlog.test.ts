import assert from "node:assert/strict";
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { printHex, sameBytes } from "./base64.ts";
import { parseCheckpointBody, printCheckpointBody, splitCheckpoints, verifyCheckpoint } from "./checkpoint.ts";
import { emptyRoot, Frontier, leafHash, nodeHash } from "./merkle.ts";
import { type NoteCrypto, parseNote, parseVerifierKey, printVerifierKey, signNote, verifyNote } from "./note.ts";
import { consistencyProof, inclusionProof, rangeHash, verifyConsistency, verifyInclusion } from "./proof.ts";
import {
  bundlePath,
  edgeTiles,
  parseBundle,
  parseTilePath,
  printBundle,
  TileBuilder,
  tileHashReader,
  tilePath,
} from "./tiles.ts";
import { parseProof, printProof, verifyProof } from "./tlog-proof.ts";

const sha256 = (data: Uint8Array) => new Uint8Array(createHash("sha256").update(data).digest());
const spki = (raw: Uint8Array) => Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
const crypto: NoteCrypto = {
  sha256,
  verifyEd25519: (key, message, signature) =>
    verify(null, message, createPublicKey({ key: spki(key), format: "der", type: "spki" }), signature),
};
const utf8 = (text: string) => new TextEncoder().encode(text);

function signer(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  const key = parseVerifierKey(sha256, printVerifierKey(sha256, name, raw));
  assert.ok(key !== null);
  return { name, publicKey: raw, key, sign: (message: Uint8Array) => new Uint8Array(sign(null, message, privateKey)) };
}

/** RFC 6962 §2.1 word for word: the oracle. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [only] = leaves;
  if (only === undefined) return emptyRoot(sha256);
  if (leaves.length === 1) return leafHash(sha256, only);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(sha256, naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

const entry = (i: number) => utf8(`leaf ${i}`);
const entries = (n: number) => Array.from({ length: n }, (_, i) => entry(i));

/** A tree whose tiles are kept in a map, as a log's directory would. */
function tiledTree(n: number) {
  const tiles = new Map<string, Uint8Array>();
  const builder = new TileBuilder(sha256, (tile, bytes) => tiles.set(tilePath(tile), bytes.slice()));
  for (let i = 0; i < n; i++) builder.push(leafHash(sha256, entry(i)));
  for (const { tile, bytes } of builder.partials()) tiles.set(tilePath(tile), bytes);
  const readTile = (tile: Parameters<typeof tilePath>[0]) => {
    const bytes = tiles.get(tilePath(tile));
    assert.ok(bytes !== undefined, tilePath(tile));
    return bytes;
  };
  return { builder, tiles, readTile, source: { sha256, read: tileHashReader(sha256, n, readTile) } };
}

const vectors = process.env["SALLYPORT_VECTORS"] ?? new URL("../../../../../shared/vectors", import.meta.url).pathname;
const tessera = join(vectors, "tessera-log");
const skip = existsSync(tessera) ? false : `no vectors at ${tessera}`;
const tesseraKey = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

test("re-derives the roots of all 16 checkpoints of the tessera-log vectors from its tiles", { skip }, () => {
  const key = parseVerifierKey(sha256, tesseraKey);
  assert.ok(key !== null);
  const notes = readdirSync(tessera).filter((name) => /^checkpoint\.\d+$/.test(name));
  assert.equal(notes.length, 16);
  for (const name of notes) {
    const wanted = { origin: "example.com/log/testdata", keys: [key] };
    const verdict = verifyCheckpoint(crypto, readFileSync(join(tessera, name), "utf8"), wanted);
    assert.equal(verdict.kind, "ok", name);
    if (verdict.kind !== "ok") continue;
    const { size, root } = verdict.checkpoint;
    const builder = new TileBuilder(sha256, () => assert.fail("no tile of so small a log is full"));
    builder.restore(sha256, size, (tile) => readFileSync(join(tessera, tilePath(tile))));
    assert.deepEqual(builder.root(), root, name);
  }
});

test("every entry bundle of the tessera-log vectors hashes to its level 0 tile", { skip }, () => {
  for (let width = 1; width <= 15; width++) {
    const bytes = new Uint8Array(readFileSync(join(tessera, bundlePath(0, width))));
    const bundle = parseBundle(bytes, width);
    assert.ok(bundle !== null);
    const tile = readFileSync(join(tessera, tilePath({ level: 0, n: 0, width })));
    assert.deepEqual(Buffer.concat(bundle.map((leaf) => leafHash(sha256, leaf))), tile);
    assert.deepEqual(printBundle(bundle), bytes);
  }
});

test("verifies the example of the signed-note specification and refuses it with one letter changed", () => {
  const key = parseVerifierKey(sha256, "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
  assert.ok(key !== null);
  const note =
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
  assert.deepEqual(verifyNote(crypto, note, [key]), {
    kind: "ok",
    text: "This is an example message.\n",
    signedBy: [key],
  });
  assert.deepEqual(verifyNote(crypto, note.replace("This", "Thus"), [key]), { kind: "refused", why: "bad-signature" });
});

test("reads the opening example of the signed-note specification, whose text has empty lines", () => {
  const text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
  const line =
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
  const note = parseNote(`${text}\n${line}`);
  assert.equal(note?.text, text);
  assert.equal(note?.signatures[0]?.name, "quasimodo.example/salvatore");
});

test("a note with 16 signatures is accepted when one known key among unknown ones signed it", () => {
  const known = signer("log.example/one");
  const text = "body\n";
  const lines = Array.from({ length: 15 }, (_, i) => signNote(sha256, text, signer(`w${i}.example`)).split("\n\n")[1]);
  const note = signNote(sha256, text, known) + lines.join("");
  assert.equal(parseNote(note)?.signatures.length, 16);
  assert.equal(verifyNote(crypto, note, [known.key]).kind, "ok");
  assert.deepEqual(verifyNote(crypto, note, [signer("log.example/one").key]), { kind: "refused", why: "unsigned" });
});

test("a known key's wrong signature refuses the whole note, whoever else signed it", () => {
  const [a, b] = [signer("a.example"), signer("b.example")];
  const foreign = signNote(sha256, "other\n", b).split("\n\n")[1];
  const note = signNote(sha256, "body\n", a) + foreign;
  assert.equal(verifyNote(crypto, note, [a.key]).kind, "ok");
  assert.deepEqual(verifyNote(crypto, note, [a.key, b.key]), { kind: "refused", why: "bad-signature" });
});

test("malformed notes and verifier keys are refused", () => {
  const good = signNote(sha256, "body\n", signer("a.example"));
  const bad = [
    "",
    "body\n",
    good.slice(0, -1),
    good.replace("body", "bo\u0007dy"),
    good.replace("—", "-"),
    good.replace("\n\n", "\n"),
  ];
  for (const note of bad) assert.equal(parseNote(note), null, JSON.stringify(note));
  for (const key of [
    "",
    "a+b",
    tesseraKey.replace("33d7b496", "33d7b497"),
    tesseraKey.replace("+AeHT", "+BeHT"),
    `a b${tesseraKey}`,
  ]) {
    assert.equal(parseVerifierKey(sha256, key), null, key);
  }
});

test("checkpoint bodies parse to what was printed; looser spellings are refused", () => {
  const body = printCheckpointBody("log.example/x", 20_852_163, sha256(utf8("x")));
  const parsed = parseCheckpointBody(body);
  assert.ok(parsed !== null);
  assert.equal(printCheckpointBody(parsed.origin, parsed.size, parsed.root), body);
  for (const text of [
    body.slice(0, -1),
    body.replace("20852163", "020852163"),
    body.replace("20852163", "-1"),
    body.replace("20852163", "99999999999999999"),
    body.replace("log.example/x", ""),
    `${body}\n`,
    body.replace(/.{4}\n$/, "\n"),
  ]) {
    assert.equal(parseCheckpointBody(text), null, JSON.stringify(text));
  }
  assert.deepEqual(parseCheckpointBody(`${body}extension\n`)?.extensions, ["extension"]);
});

test("a file of checkpoints splits into the notes that were written", () => {
  const a = signNote(sha256, "one\n", signer("a.example"));
  const b = a + (signNote(sha256, "one\n", signer("b.example")).split("\n\n")[1] ?? "");
  assert.deepEqual(splitCheckpoints(`${a}\n${b}\n${a}\n`), [a, b, a]);
});

test("tile paths are those of tlog-tiles, both ways", () => {
  assert.equal(tilePath({ level: 0, n: 1_234_067, width: 256 }), "tile/0/x001/x234/067");
  assert.equal(tilePath({ level: 2, n: 5, width: 17 }), "tile/2/005.p/17");
  assert.equal(bundlePath(1000, 255), "tile/entries/x001/000.p/255");
  for (const path of ["tile/0/x001/x234/067", "tile/2/005.p/17", "tile/entries/x001/000.p/255"]) {
    const parsed = parseTilePath(path);
    assert.ok(parsed !== null, path);
  }
  for (const path of [
    "tile/00/000",
    "tile/0/000.p/256",
    "tile/0/000.p/0",
    "tile/0/x000/001",
    "tile/64/000",
    "tile/0/../000",
  ]) {
    assert.equal(parseTilePath(path), null, path);
  }
  // The example of the specification: 70,000 leaves.
  assert.deepEqual(edgeTiles(70_000), [
    { level: 0, n: 273, width: 112 },
    { level: 1, n: 1, width: 17 },
    { level: 2, n: 0, width: 1 },
  ]);
});

test("frontier, tiles and the definition of RFC 6962 agree on the root of every tree up to 300 leaves", () => {
  const frontier = new Frontier(sha256);
  for (let n = 0; n <= 300; n++) {
    const naive = naiveRoot(entries(n));
    assert.deepEqual(frontier.root(), naive, `frontier of ${n}`);
    if (n % 7 === 0 || n > 254) {
      const { builder, source, readTile } = tiledTree(n);
      assert.deepEqual(builder.root(), naive);
      assert.deepEqual(rangeHash(source, 0, n), naive, `tiles of ${n}`);
      const resumed = new TileBuilder(sha256, () => undefined);
      resumed.restore(sha256, n, readTile);
      assert.deepEqual(resumed.root(), naive, `resumed at ${n}`);
    }
    frontier.push(leafHash(sha256, entry(n)));
  }
});

test("a builder restored at any size goes on exactly like one that never stopped", () => {
  for (const stop of [1, 255, 256, 257, 511, 513, 700]) {
    const resumed = new TileBuilder(sha256, () => undefined);
    resumed.restore(sha256, stop, tiledTree(stop).readTile);
    for (let i = stop; i < 800; i++) resumed.push(leafHash(sha256, entry(i)));
    assert.deepEqual(resumed.root(), tiledTree(800).builder.root());
    assert.deepEqual(resumed.partials(), tiledTree(800).builder.partials());
  }
});

test("inclusion proofs verify for every index and for nothing else", () => {
  for (const size of [1, 2, 3, 7, 8, 31, 64, 100, 259]) {
    const { source, builder } = tiledTree(size);
    const root = builder.root();
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(source, index, size);
      const claim = { leafHash: leafHash(sha256, entry(index)), index, size, root, proof };
      assert.ok(verifyInclusion(sha256, claim));
      assert.ok(!verifyInclusion(sha256, { ...claim, leafHash: leafHash(sha256, entry(index + 1)) }));
      assert.ok(!verifyInclusion(sha256, { ...claim, index: (index + 1) % (size + 1) }), `${index} of ${size}`);
      assert.ok(!verifyInclusion(sha256, { ...claim, proof: [...proof, root] }));
      if (proof.length > 0) assert.ok(!verifyInclusion(sha256, { ...claim, proof: proof.slice(1) }));
    }
  }
});

test("consistency proofs verify for every pair of sizes and not for a forked or rewritten tree", () => {
  const roots = Array.from({ length: 66 }, (_, n) => naiveRoot(entries(n)));
  const root = (n: number) => roots[n] ?? assert.fail();
  for (let size = 0; size <= 65; size++) {
    const { source } = tiledTree(size);
    for (let older = 0; older <= size; older++) {
      const proof = consistencyProof(source, older, size);
      const claim = { olderSize: older, olderRoot: root(older), size, root: root(size), proof };
      assert.ok(verifyConsistency(sha256, claim), `${older} of ${size}`);
      const forked = sha256(utf8("forked"));
      assert.ok(!verifyConsistency(sha256, { ...claim, olderRoot: forked }), `${older} of ${size}`);
      if (older > 0) assert.ok(!verifyConsistency(sha256, { ...claim, root: forked }), `${older} of ${size}`);
      if (older > 0) assert.ok(!verifyConsistency(sha256, { ...claim, proof: [...proof, forked] }));
    }
  }
});

test("a receipt binds one leaf to a signed tree; another leaf, index, key or origin is refused", () => {
  const log = signer("log.example/2026");
  const { source, builder } = tiledTree(300);
  const checkpoint = signNote(sha256, printCheckpointBody(log.name, 300, builder.root()), log);
  const proof = { index: 257, hashes: inclusionProof(source, 257, 300), checkpoint, extra: utf8("note") };
  const text = printProof(proof);
  assert.equal(printProof(parseProof(text) ?? assert.fail()), text);
  const wanted = { leaf: entry(257), origin: log.name, keys: [log.key] };
  assert.equal(verifyProof(crypto, text, wanted).kind, "ok");
  assert.deepEqual(verifyProof(crypto, text, { ...wanted, leaf: entry(256) }), {
    kind: "refused",
    why: "not-included",
  });
  assert.deepEqual(verifyProof(crypto, text.replace("index 257", "index 256"), wanted), {
    kind: "refused",
    why: "not-included",
  });
  assert.deepEqual(verifyProof(crypto, text, { ...wanted, keys: [signer(log.name).key] }), {
    kind: "refused",
    why: "unsigned",
  });
  assert.deepEqual(verifyProof(crypto, text, { ...wanted, origin: "log.example/2025" }), {
    kind: "refused",
    why: "foreign-origin",
  });
  assert.deepEqual(verifyProof(crypto, text.replace("@v1", "@v2"), wanted), {
    kind: "refused",
    why: "malformed-proof",
  });
});

test("hex and byte comparison are what they say", () => {
  assert.equal(printHex(new Uint8Array([0, 15, 255])), "000fff");
  assert.ok(
    sameBytes(new Uint8Array([1]), new Uint8Array([1])) && !sameBytes(new Uint8Array([1]), new Uint8Array([1, 2])),
  );
});
