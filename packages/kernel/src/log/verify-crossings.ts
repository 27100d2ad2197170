// Promises of a clean chunk what it says of crossings, taken from its columns: whether intents and outcomes, and leaves and tallies, add up.
// Trusts verify-chunk.ts for the columns. Rules: docs/formats/leaf.md "Crossings and completeness", "Tallies".
import { peekLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { Completeness } from "./completeness.ts";
import { headOf } from "./segments.ts";
import { countLeaf, type TallyCheck } from "./tally-check.ts";
import { isOfCrossing, isOfTally, leafKind, noWindow, type SegmentWork } from "./verify-columns.ts";
import type { ProblemKind } from "./verify-report.ts";

type Tell = (kind: ProblemKind, message: string, place: { readonly index: number; readonly offset: number }) => void;

/** Takes leaves of a segment in order; `from` counts from its first one. */
export function takeCrossings(
  work: SegmentWork,
  { from, count }: { readonly from: number; readonly count: number },
  { completeness, tallies }: { readonly completeness: Completeness; readonly tallies: TallyCheck },
  tell: Tell,
): void {
  const wrongAt = (kind: ProblemKind, i: number, wrong: string) =>
    tell(kind, `leaf ${work.job.first + i} ${wrong}`, { index: work.job.first + i, offset: work.leafAt(i).leafAt });
  for (let i = from; i < from + count; i++) {
    const kind = work.kinds[i] ?? 0;
    const window = kind === leafKind.crossing || kind === leafKind.intent ? (work.windows[i] ?? noWindow) : noWindow;
    if (window !== noWindow) {
      const astray = tallies.take(window, kind === leafKind.crossing ? "crossings" : "intents");
      if (astray !== null) wrongAt("missing", i, astray);
    } else if (isOfTally.has(kind)) {
      const text = textAt(work, i);
      const head = peekLeaf(text);
      for (const wrong of head === null ? [] : countLeaf(tallies, head, text)) wrongAt("missing", i, wrong);
    }
    if (kind === leafKind.crossing && !completeness.isAnyOpen) completeness.takeCrossings(1);
    else if (isOfCrossing.has(kind & ~leafKind.saysUnknown)) {
      const { leafAt, leafEnd } = work.leafAt(i);
      const head = headOf(work.bytes, leafAt, leafEnd);
      const wrong = head === null ? null : completeness.take(head, (kind & leafKind.saysUnknown) !== 0);
      if (wrong !== null) wrongAt("crossing", i, wrong);
    }
  }
}

function textAt(work: SegmentWork, i: number): string {
  const { leafAt, leafEnd } = work.leafAt(i);
  return work.bytes.toString("latin1", leafAt, leafEnd);
}
