// Promises a sentence for what should be in the archive store and is not. Pure. Trusts the mover's standing. Specified in docs/archive.md "What status says".
import type { StoreStanding } from "./mover.ts";

/** Longer than any pause between two tries, and than `every` of most. */
const behindMsMax = 3_600_000;
/** Named one by one. */
const namedMax = 5;

/** For `status`. */
export function archiveWarnings(standing: StoreStanding | null, now: number): readonly string[] {
  if (standing === null) return [];
  const { place, behind, fault, health } = standing;
  const late = behind.filter(({ since, fault: why }) => why !== null || now - since > behindMsMax);
  const full = health?.freeBytes != null && health.freeBytes < freeBytesMin;
  return [
    ...(fault === null ? [] : [`the archive store at ${place} does not work: ${fault}`]),
    ...(full ? [`the archive store at ${place} has less than 1 GiB free: make room there`] : []),
    ...late
      .slice(0, namedMax)
      .map(
        ({ origin, leaves, fault: why }) =>
          `${leaves} leaves of ${origin} are not in the archive store${why === null ? "" : `: ${why}`}`,
      ),
    ...(late.length > namedMax ? [`${late.length - namedMax} more logs are not wholly in the archive store`] : []),
  ];
}

const freeBytesMin = 1_073_741_824;
