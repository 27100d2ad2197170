// Promises the tiles, entry bundles and paths of a tiled log, and subtree hashes read back out of tiles.
// Trusts the SHA-256 it is given; what tiles say is proven only against a signed root. Specified by C2SP tlog-tiles.
import { Frontier, hashBytes, nodeHash, type OnSubtree, type Sha256 } from "./merkle.ts";
import type { HashReader } from "./proof.ts";

export const tileWidthMax = 256;
const tileHeight = 8;
/** Leaves are counted in numbers that stay exact, so no tree is higher than 53. */
const tileLevelMax = 6;

/** `x001/x234/067`: three digits per element, all but the last with an `x`. */
function tileNumber(n: number): string {
  let path = String(n % 1000).padStart(3, "0");
  for (let rest = Math.floor(n / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    path = `x${String(rest % 1000).padStart(3, "0")}/${path}`;
  }
  return path;
}

const withWidth = (path: string, width: number) => (width === tileWidthMax ? path : `${path}.p/${width}`);

export interface TileId {
  readonly level: number;
  readonly n: number;
  /** Hashes in it, 1 to 256; under 256 it is a partial tile. */
  readonly width: number;
}

/** `tile/<L>/<N>[.p/<W>]`. */
export function tilePath({ level, n, width }: TileId): string {
  return withWidth(`tile/${level}/${tileNumber(n)}`, width);
}

/** `tile/entries/<N>[.p/<W>]`. */
export function bundlePath(n: number, width: number): string {
  return withWidth(`tile/entries/${tileNumber(n)}`, width);
}

/** Reads a tile or bundle path back (`level` null for a bundle); null when it is not exactly one. */
export function parseTilePath(
  path: string,
): { readonly level: number | null; readonly n: number; readonly width: number } | null {
  const match = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path);
  if (match === null) return null;
  const level = match[1] === "entries" ? null : Number(match[1]);
  const n = Number((match[2] ?? "").replace(/[x/]/g, ""));
  const width = match[3] === undefined ? tileWidthMax : Number(match[3]);
  const printed = level === null ? bundlePath(n, width) : tilePath({ level, n, width });
  return (match[3] !== undefined && width >= tileWidthMax) || printed !== path || (level ?? 0) > 63
    ? null
    : { level, n, width };
}

/** Width of tile `n` of a level in a tree of `size` leaves: 0 to 256. */
export function tileWidth(level: number, n: number, size: number): number {
  const hashes = Math.floor(size / tileWidthMax ** level);
  return Math.max(0, Math.min(tileWidthMax, hashes - n * tileWidthMax));
}

/** The right edge of a tree: the last tile of each level that is not full. */
export function edgeTiles(size: number): TileId[] {
  const edge: TileId[] = [];
  for (let level = 0; level <= tileLevelMax; level++) {
    const hashes = Math.floor(size / tileWidthMax ** level);
    const width = hashes % tileWidthMax;
    if (width > 0) edge.push({ level, n: Math.floor(hashes / tileWidthMax), width });
  }
  return edge;
}

/** Tiles that were not full in a tree of `from` leaves and hold something in one of `to`: those that some tree between them may have had a partial form of. */
export function* tilesBetween(from: number, to: number): Generator<Pick<TileId, "level" | "n">, void, void> {
  for (let level = 0; level <= tileLevelMax; level++) {
    const [before, now] = [from, to].map((size) => Math.floor(size / tileWidthMax ** level));
    const first = Math.floor((before ?? 0) / tileWidthMax);
    for (let n = first; n * tileWidthMax < (now ?? 0); n++) yield { level, n };
  }
}

/** The bytes of a tile; throws when it is not there. The result holds at least `width` hashes. */
export type TileReader = (tile: TileId) => Uint8Array;

/** Subtree hashes of a tree of `size` leaves, read from its tiles. Remembers the last tiles read, at most 64. */
export function tileHashReader(sha256: Sha256, size: number, readTile: TileReader): HashReader {
  const kept = new Map<string, Uint8Array>();
  const tile = (level: number, n: number): Uint8Array => {
    const key = `${level}/${n}`;
    const known = kept.get(key);
    if (known !== undefined) return known;
    const width = tileWidth(level, n, size);
    const bytes = readTile({ level, n, width });
    if (bytes.length < width * hashBytes)
      throw new RangeError(`the tile ${tilePath({ level, n, width })} is too short`);
    if (kept.size >= 64) kept.clear();
    kept.set(key, bytes);
    return bytes;
  };
  const within = (level: number, height: number, index: number): Uint8Array => {
    if (height > 0)
      return nodeHash(sha256, within(level, height - 1, index * 2), within(level, height - 1, index * 2 + 1));
    const place = index % tileWidthMax;
    const n = Math.floor(index / tileWidthMax);
    if (place >= tileWidth(level, n, size)) throw new RangeError("the subtree lies outside the tree");
    return tile(level, n).subarray(place * hashBytes, (place + 1) * hashBytes);
  };
  return (height, index) => within(Math.floor(height / tileHeight), height % tileHeight, index);
}

/** Called with every tile that becomes full. The bytes are only valid during the call. */
export type OnFullTile = (tile: TileId, bytes: Uint8Array) => void;

/** Grows tiles leaf by leaf: full ones are handed out, partial ones can be asked for. */
export class TileBuilder {
  readonly #frontier: Frontier;
  readonly #onFull: OnFullTile;
  readonly #levels: { n: number; width: number; readonly hashes: Uint8Array }[] = [];

  constructor(sha256: Sha256, onFull: OnFullTile) {
    this.#frontier = new Frontier(sha256);
    this.#onFull = onFull;
  }

  get size(): number {
    return this.#frontier.size;
  }

  root(): Uint8Array {
    return this.#frontier.root();
  }

  /** Takes up a tree of `size` leaves whose edge tiles are read with `readTile`. The caller compares `root()` with a root it trusts. */
  restore(sha256: Sha256, size: number, readTile: TileReader): void {
    this.#levels.length = 0;
    for (const tile of edgeTiles(size)) {
      const level = this.#level(tile.level);
      level.hashes.set(readTile(tile).subarray(0, tile.width * hashBytes));
      level.width = tile.width;
    }
    for (const [level, state] of this.#levels.entries()) state.n = Math.floor(size / tileWidthMax ** (level + 1));
    const read = tileHashReader(sha256, size, readTile);
    // The complete subtree of a set bit begins after all leaves of the higher bits.
    // Copied: `slice` of a Buffer would stay a view into the tile.
    this.#frontier.restore(size, (height) => new Uint8Array(read(height, Math.floor(size / 2 ** height) - 1)));
  }

  push(leafHash: Uint8Array): void {
    this.#frontier.push(leafHash, this.#onSubtree);
  }

  /** Adds the 256 leaves of a whole tile whose hashes and root are known. Only where a tile begins; the root is kept, not copied. */
  pushTile(hashes: Uint8Array, root: Uint8Array): void {
    const level = this.#level(0);
    if (level.width !== 0) throw new RangeError("a whole tile begins where the one before it ended");
    this.#onFull({ level: 0, n: level.n, width: tileWidthMax }, hashes);
    level.n += 1;
    this.#frontier.push(root, this.#onSubtree, tileHeight);
  }

  readonly #onSubtree: OnSubtree = (height, hash) => {
    if (height % tileHeight === 0) this.#add(height / tileHeight, hash);
  };

  /** Every partial tile of the present size, with its bytes. */
  partials(): { readonly tile: TileId; readonly bytes: Uint8Array }[] {
    return this.#levels.flatMap((state, level) =>
      state.width === 0
        ? []
        : [{ tile: { level, n: state.n, width: state.width }, bytes: state.hashes.slice(0, state.width * hashBytes) }],
    );
  }

  #level(level: number) {
    while (this.#levels.length <= level) {
      this.#levels.push({ n: 0, width: 0, hashes: new Uint8Array(tileWidthMax * hashBytes) });
    }
    const state = this.#levels[level];
    if (state === undefined) throw new Error("a level that was just made is missing");
    return state;
  }

  #add(level: number, hash: Uint8Array): void {
    const state = this.#level(level);
    state.hashes.set(hash, state.width * hashBytes);
    state.width += 1;
    if (state.width < tileWidthMax) return;
    this.#onFull({ level, n: state.n, width: tileWidthMax }, state.hashes);
    state.n += 1;
    state.width = 0;
  }
}

export const entryBytesMax = 65_535;

/** Entries as a bundle: each with a big-endian uint16 length before it. */
export function printBundle(entries: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const entry of entries) length += 2 + entry.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const entry of entries) {
    if (entry.length > entryBytesMax) throw new RangeError(`an entry has at most ${entryBytesMax} bytes`);
    bytes[at] = entry.length >> 8;
    bytes[at + 1] = entry.length & 255;
    bytes.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bytes;
}

/** The entries of a bundle, as views into it; null unless it holds exactly `width` whole entries. */
export function parseBundle(bytes: Uint8Array, width: number): Uint8Array[] | null {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length && entries.length < width) {
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    if (at + 2 + length > bytes.length) return null;
    entries.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return at === bytes.length && entries.length === width ? entries : null;
}
