// Promises the name somebody probably meant. Trusts nothing. Restricted Damerau-Levenshtein distance.
import { suggestionMax } from "./bounds.ts";

/** Every key of an object is shown; a list of the estate's own names may be long. */
const shownMax = 24;

/** The closest of `names` within a third of the length of `name` (at least one edit), or null. Ties go to the first in order. */
export function nearest(name: string, names: Iterable<string>): string | null {
  if (name.length > suggestionMax) return null;
  const reach = Math.max(1, Math.floor(name.length / 3));
  let best: string | null = null;
  let bestDistance = reach + 1;
  for (const candidate of [...names].sort()) {
    if (candidate.length > suggestionMax) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `did you mean \`x\`?` sentence, or the list of what exists. */
export function suggest(name: string, names: Iterable<string>): string {
  const all = [...names].sort();
  const near = nearest(name, all);
  if (near !== null) return `did you mean \`${near}\`?`;
  if (all.length === 0) return "there is none yet";
  const shown = all.slice(0, shownMax).map((known) => `\`${known}\``);
  return `use one of ${shown.join(", ")}${all.length > shown.length ? ", …" : ""}`;
}

function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  let twoBack: number[] = [];
  let previous = Array.from({ length: width }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column < width; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (twoBack[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    twoBack = previous;
    previous = current;
  }
  return previous[width - 1] ?? 0;
}
