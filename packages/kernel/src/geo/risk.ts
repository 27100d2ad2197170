// Promises a risk that anybody can add up by hand: fixed points for what is known about a user's log-in and its place. Pure.
// Trusts its inputs. The table is in docs/policy-signals.md "Risk"; nothing here learns.

export const factorNames = [
  "no-second-factor",
  "old-log-in",
  "place-unknown",
  "country-changed",
  "impossible-travel",
] as const;

export interface Factor {
  readonly name: (typeof factorNames)[number];
  readonly points: number;
}

export interface RiskInputs {
  /** acrLevelOf the log-in. */
  readonly level: number;
  /** Seconds since the log-in; null: unknown. */
  readonly ageSeconds: number | null;
  /** What this node has seen of the session. */
  readonly seen: { readonly countryChanged: boolean; readonly impossibleTravel: boolean };
  /** A public address that the file does not know. */
  readonly isUnknownPlace: boolean;
}

const riskMax = 100;

/** Their sum, at most 100. */
export const riskOf = (factors: readonly Factor[]): number =>
  Math.min(
    riskMax,
    factors.reduce((sum, { points }) => sum + points, 0),
  );

const secondFactorLevel = 2;
const oldSeconds = 8 * 3_600;

/** The factors that hold, in the order of the table. */
export function assessRisk({ level, ageSeconds, seen, isUnknownPlace }: RiskInputs): readonly Factor[] {
  const factors: readonly (Factor & { readonly holds: boolean })[] = [
    { name: "no-second-factor", points: 20, holds: level < secondFactorLevel },
    { name: "old-log-in", points: 10, holds: ageSeconds === null || ageSeconds > oldSeconds },
    { name: "place-unknown", points: 10, holds: isUnknownPlace },
    { name: "country-changed", points: 30, holds: seen.countryChanged },
    { name: "impossible-travel", points: 50, holds: seen.impossibleTravel },
  ];
  return factors.filter(({ holds }) => holds).map(({ name, points }) => ({ name, points }));
}
