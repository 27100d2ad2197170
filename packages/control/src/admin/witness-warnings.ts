// Promises what an operator should know of the outside witnesses: one of the estate that is not asked, and a quorum that is not met. Pure.
// Trusts what control's witnessing says. Specified in docs/witnesses.md "Quorum".
import type { Witnessing } from "../audit/witnessing.ts";

/** A witness that is restarted, or slow for a moment, is no news. */
export const quorumPatienceMs = 60_000;

export function witnessWarnings(
  { conflicts, quorum, outside }: Pick<Witnessing, "conflicts" | "quorum" | "outside">,
  now: number,
): readonly string[] {
  const { asked, leaves, behindSince } = quorum();
  const isLate = behindSince !== null && now - behindSince > quorumPatienceMs;
  return [
    ...conflicts().map((text) => `${text}; correct \`witnesses\` in sallyport.yaml`),
    ...(isLate
      ? [
          `control's log is not witnessed beyond ${leaves} leaves since ${new Date(behindSince).toISOString()}: ${asked} of ${outside().length} outside witnesses must have cosigned; sallyport audit witnesses says which did not and why`,
        ]
      : []),
  ];
}
