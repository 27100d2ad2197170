// Promises one sentence about findings that a notifier gave up, the same in status, alert list and finding list. Pure.
// Specified in docs/alerts.md "Dead letters".
import type { AlertStanding } from "./alert-fold.ts";

/** A sentence about findings that were given up; none where there are none. */
export function givenUpWords(alert: string, standing: AlertStanding | null): readonly string[] {
  // A control plane of before has no such number.
  const { deadLetters = 0, deadLetterReason = null }: Partial<AlertStanding> = standing ?? {};
  if (deadLetters === 0) return [];
  const what = deadLetters === 1 ? "1 finding" : `${deadLetters} findings`;
  return [`the notifier ${alert} gave up ${what}: ${deadLetterReason}: mend it, then sallyport alert replay ${alert}`];
}
