// Promises for each origin of a log whether all of it, some of its leaves or none are judged, and by whom. Trusts verify-origin.ts and verify-range.ts.
// Specified in docs/audit.md "A part of a log".
import { dirname } from "node:path";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import type { Disk } from "./disk.ts";
import { LogFault } from "./fault.ts";
import { timeOfLeaf } from "./leaf-times.ts";
import { yearOfOrigin } from "./origin.ts";
import { verifierKeyFile } from "./seam.ts";
import { FrameMarks, SegmentWalk } from "./segment-walk.ts";
import type { Link } from "./verify-kept.ts";
import { OriginVerifier } from "./verify-origin.ts";
import { RangeVerifier } from "./verify-range.ts";
import { isRemoved } from "./verify-removed.ts";
import type { OriginReport, OriginRules, SignedRoot } from "./verify-report.ts";
import { rangeOf, type VerifyScope } from "./verify-scope.ts";
import { readSigned } from "./verify-signed.ts";

export interface PlannedOrigin {
  readonly link: Link;
  readonly part: "whole" | "range" | "none" | "removed";
  /** A copy without derived files. */
  readonly isBare: boolean;
  /** Leaves, as far as the published checkpoint says; `to` exclusive. */
  readonly from: number;
  readonly to: number;
  /** Null: none that is believed; then all of the origin is judged, and that said. */
  readonly published: SignedRoot | null;
}

/** What is judged of an origin. */
export function planOf(
  disk: Disk,
  link: Link,
  asked: { readonly scope: VerifyScope | undefined; readonly base: SignedRoot | null; readonly isNewest: boolean },
): PlannedOrigin {
  const { scope, base, isNewest } = asked;
  const signed = readSigned({ disk, ...link, isBare: false }, "checkpoint");
  const published = signed.kind === "signed" ? signed.root : null;
  const size = published?.size ?? 0;
  const isBare = isBareCopy(disk, link.directory);
  const none = { link, isBare, from: 0, to: 0, published } as const;
  if (isRemoved(disk, link.directory)) return { ...none, part: "removed" };
  const all = { ...none, part: "whole", to: size } as const;
  if (scope === undefined || published === null) return all;
  try {
    const range = rangeOf(scope, base, { disk, ...link, size, isNewest });
    if (range === null) return { ...none, part: "none" };
    // Without tiles the hashes of the other leaves are had from these alone: all of them are read, so all are judged.
    return isBare || (range.from === 0 && range.to === size) ? all : { ...none, part: "range", ...range };
  } catch (error) {
    // Where its times cannot be read, judging all of it says why.
    if (error instanceof LogFault) return all;
    throw error;
  }
}

/** Has a copied log (its public key lies beside it, not its private one) this origin's segments and checkpoint alone? Then nothing derived is due. */
function isBareCopy(disk: Disk, directory: string): boolean {
  const beside = disk.list(dirname(directory));
  const isCopy = beside.includes(verifierKeyFile) && !beside.includes("log.key");
  return isCopy && !disk.list(directory).includes("tile");
}

export function verifyPlanned(rules: OriginRules, { part, from, to, published }: PlannedOrigin): OriginReport {
  if (part === "none" && published !== null) {
    if (rules.kept.length === 0) return unread(rules, published);
    // That older checkpoints are extended is asked of every origin; without tiles it is had from the leaves alone.
    const { size } = published;
    if (!rules.isBare)
      return { ...new RangeVerifier({ ...rules, published, from: size, to: size }).verify(), unread: true };
  }
  if (part !== "range" || published === null) return new OriginVerifier(rules).verify();
  return new RangeVerifier({ ...rules, published, from, to }).verify();
}

function unread({ origin }: OriginRules, published: SignedRoot): OriginReport {
  const { size, root } = published;
  const rest = { checkpoint: published, problems: [], firstLeaf: null };
  return { origin, leaves: 0, size, root: printHex(root), ...rest, unread: true };
}

/** Milliseconds: windows of tallies that begin later were read whole. */
export function knownFrom(disk: Disk, first: PlannedOrigin | undefined): number {
  if (first === undefined) return Number.MAX_SAFE_INTEGER;
  const { link, part, from } = first;
  // What began in a year that was not read may end in one that was.
  if (part === "whole") return Date.UTC(yearOfOrigin(link.origin), 0, 1);
  if (from >= first.to) return Number.MAX_SAFE_INTEGER;
  try {
    const walk = new SegmentWalk({ disk, ...link }, new FrameMarks(), from);
    const [record] = walk.take({ until: from + 1, recordsMax: 1, bytesMax: 1 });
    return timeOfLeaf(Buffer.from(record?.leaf ?? []).toString("latin1")) ?? Number.MAX_SAFE_INTEGER;
  } catch (error) {
    // What is damaged there, reading it says.
    if (error instanceof LogFault) return Number.MAX_SAFE_INTEGER;
    throw error;
  }
}
