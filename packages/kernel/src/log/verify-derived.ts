// Promises to hold every tile and bundle on disk against what the write-ahead log gives, and to remember the first that differ.
// Trusts neither: which of the two is right, the signed roots decide. Specified by C2SP tlog-tiles and docs/formats/leaf.md "On disk".
import { dirname, join } from "node:path";
import { hashBytes } from "@sallyport/protocol/audit/merkle.ts";
import {
  bundlePath,
  printBundle,
  type TileBuilder,
  type TileId,
  tilePath,
  tileWidthMax,
} from "@sallyport/protocol/audit/tiles.ts";
import { type Disk, readWhole } from "./disk.ts";
import { firstDifference } from "./verify-place.ts";
import { problemsMax } from "./verify-report.ts";

/** A tile or bundle that differs from what the write-ahead log gives; who is right, the root decides. */
export interface Difference {
  readonly path: string;
  readonly offset: number;
  readonly index: number;
  readonly missing: boolean;
  readonly kind: "tile" | "bundle";
}

export class DerivedComparison {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #isBare: boolean;
  /** At most 100. */
  readonly differences: Difference[] = [];
  /** Size of the published checkpoint: beyond it nothing was promised. */
  published = 0;
  /** The tile of leaves that was held against its file already; -1: none. */
  agreedTile = -1;
  /** For one tile or bundle at a time: fresh pages for each would cost more than reading them. */
  readonly #memory = Buffer.allocUnsafeSlow(262_144);

  /** `isBare`: a copy that has segments and checkpoints alone, so there is nothing to compare. */
  constructor(disk: Disk, directory: string, isBare: boolean) {
    this.#disk = disk;
    this.#directory = directory;
    this.#isBare = isBare;
  }

  /** A full or partial tile as the write-ahead log gives it. */
  compareTile(tile: TileId, bytes: Uint8Array): void {
    if (tile.level === 0 && tile.n === this.agreedTile) return;
    const perHash = tileWidthMax ** tile.level;
    const first = tile.n * tileWidthMax * perHash;
    // Beyond the checkpoint nothing was promised.
    if (first + tile.width * perHash > this.published) return;
    this.#compare(
      { kind: "tile", path: tilePath(tile) },
      bytes,
      (offset) => first + Math.floor(offset / hashBytes) * perHash,
    );
  }

  /** Partial tiles and bundles of the published size, and those that older checkpoints left beside them: each is a prefix. */
  comparePartials(tiles: TileBuilder, bundle: readonly Uint8Array[]): void {
    for (const { tile, bytes } of tiles.partials()) {
      for (const width of this.#widths(tilePath(tile), tile.width)) {
        this.compareTile({ ...tile, width }, bytes.subarray(0, width * hashBytes));
      }
    }
    const n = Math.floor(tiles.size / tileWidthMax);
    const width = bundle.length;
    if (width === 0) return;
    for (const older of this.#widths(bundlePath(n, width), width)) this.compareBundle(n, bundle.slice(0, older));
  }

  /** The width itself and the smaller ones whose files are there. */
  #widths(path: string, width: number): number[] {
    const names = this.#disk.list(join(this.#directory, dirname(path)));
    return [
      width,
      ...names
        .filter((name) => /^[1-9][0-9]*$/.test(name))
        .map(Number)
        .filter((older) => older < width),
    ];
  }

  compareBundle(n: number, entries: readonly Uint8Array[]): void {
    const first = n * tileWidthMax;
    if (first + entries.length > this.published) return;
    this.#compare({ kind: "bundle", path: bundlePath(n, entries.length) }, printBundle(entries), (offset) => {
      let end = 0;
      const place = entries.findIndex((entry) => {
        end += 2 + entry.length;
        return offset < end;
      });
      return first + Math.max(0, place);
    });
  }

  #compare(
    { kind, path }: Pick<Difference, "kind" | "path">,
    due: Uint8Array,
    indexAt: (offset: number) => number,
  ): void {
    if (this.#isBare) return;
    const found = readWhole(this.#disk, join(this.#directory, path), this.#memory);
    if (found !== null && Buffer.compare(found, due) === 0) return;
    if (this.differences.length >= problemsMax) return;
    const offset = found === null ? 0 : firstDifference(found, due);
    this.differences.push({ kind, path, offset, index: indexAt(offset), missing: found === null });
  }
}
