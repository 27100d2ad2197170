// Promises which leaves of each origin a verification of a part takes, and words for what it leaves out. Trusts nothing; a wish that no leaf fulfils is a
// fault and never a yes. Specified in docs/audit.md "A part of a log".
import { LogFault } from "./fault.ts";
import { endOfLeavesBefore, firstLeafFrom } from "./leaf-times.ts";
import { yearOfOrigin } from "./origin.ts";
import type { WalkedOrigin } from "./segment-walk.ts";
import type { OriginReport, SignedRoot } from "./verify-report.ts";

/** What is asked for; of several wishes, the leaves that fulfil all. */
export interface VerifyScope {
  /** Of one year, the newest where it is null; `to` null: to the end of what is signed. */
  readonly leaves?: { readonly year: number | null; readonly from: number; readonly to: number | null };
  /** Milliseconds since the epoch, as leaves have it: `since` inclusive, `until` exclusive. */
  readonly times?: { readonly since: number | null; readonly until: number | null };
  /** Texts of checkpoints kept: what stands behind the newest of them that this log signed. */
  readonly checkpoint?: string;
}

export interface LeafRange {
  readonly from: number;
  readonly to: number;
}

export interface ScopedOrigin extends WalkedOrigin {
  readonly size: number;
  readonly isNewest: boolean;
}

/** The leaves of an origin that are asked for; null: none. `base`: the checkpoint to go on from. */
export function rangeOf(scope: VerifyScope, base: SignedRoot | null, at: ScopedOrigin): LeafRange | null {
  const year = yearOfOrigin(at.origin);
  const { leaves, times } = scope;
  let from = 0;
  let to = at.size;
  if (leaves !== undefined) {
    if (leaves.year === null ? !at.isNewest : leaves.year !== year) return null;
    from = leaves.from;
    to = Math.min(to, leaves.to ?? to);
  }
  if (base !== null) {
    if (year < yearOfOrigin(base.origin)) return null;
    // What is kept may be all there is: then nothing is left to read, and that it still stands is the answer.
    if (at.origin === base.origin) from = Math.min(Math.max(from, base.size), at.size);
  }
  if (times !== undefined && times.since !== null) from = Math.max(from, firstLeafFrom(at, times.since, at.size));
  if (times !== undefined && times.until !== null) to = Math.min(to, endOfLeavesBefore(at, times.until, at.size));
  const isStanding = at.origin === base?.origin && from === at.size && leaves === undefined && times === undefined;
  return from < to || isStanding ? { from, to } : null;
}

/** A part that no leaf is in was asked for by mistake. */
export function refuseEmpty(scope: VerifyScope, origins: readonly OriginReport[]): void {
  if (origins.some(({ unread, removed }) => unread !== true && removed !== true)) return;
  const sizes = origins.map(({ origin, size }) => `${origin} has ${size ?? 0} signed leaves`).join("; ");
  const asked = scope.leaves === undefined ? "that time" : "that range";
  throw new LogFault("not-found", `no signed leaf lies in ${asked}, so nothing was checked: ${sizes}`);
}

/** What a verification did not look at, in words that name it. Empty only where it looked at everything there is. */
export function notChecked(
  origins: readonly OriginReport[],
  { isPart, live }: { readonly isPart: boolean; readonly live: boolean },
): readonly string[] {
  return [
    ...origins.flatMap((report) => leftOut(report)),
    ...(isPart
      ? [
          "whether what began before these leaves ended in them, and what they leave open: only what lies in them was held together",
        ]
      : []),
    ...(live ? ["leaves that no checkpoint covers yet, and crossings that are still open"] : []),
  ];
}

function leftOut({ origin, size, checked, unread, removed, bare }: OriginReport): readonly string[] {
  if (removed === true) return [`${origin}: its ${size ?? 0} leaves, which were removed; only its last checkpoint was`];
  if (unread === true) return [`${origin}: all of its ${size ?? 0} leaves; only its signed root was`];
  if (checked === undefined)
    return bare === true ? [`${origin}: tiles and indexes, which this copy does not have`] : [];
  const { from, to } = checked;
  const total = size ?? 0;
  const spans = [...(from > 0 ? [spanWords(0, from)] : []), ...(to < total ? [spanWords(to, total)] : [])];
  return [
    `${origin}: ${spans.join(" and ")} of ${total}; of those only the hashes, as the signed root commits to them`,
    `${origin}: tiles, entry bundles, indexes and the state file, which are made from the leaves`,
    ...(from > 0 ? [`${origin}: whether it goes on from the origin before it`] : []),
    `${origin}: whether leaves lie behind the ${total} that are signed`,
  ];
}

const spanWords = (from: number, to: number) => (to - from === 1 ? `leaf ${from}` : `leaves ${from} to ${to - 1}`);
