// Promises which endpoint an attempt goes to: of two drawn by weight the first, so that weights are shares, unless the second would even with one request
// more carry no more for its weight than the first does; never one that is shut out or full.
// Pure. Specified in docs/resilience.md "Endpoints"; the power of two choices: Mitzenmacher 2001.

export interface Candidate {
  readonly weight: number;
  readonly inFlight: number;
  /** Its breaker lets it be tried, or its health check does not speak against it. */
  readonly isOpen: boolean;
  readonly isFull: boolean;
  /** It failed this very crossing before. */
  readonly wasTried: boolean;
}

export type EndpointVerdict =
  | { readonly kind: "endpoint"; readonly index: number }
  /** Each is shut out. */
  | { readonly kind: "open" }
  /** Those that are not shut out have as many requests as they may. */
  | { readonly kind: "full" };

/** `random` gives 0 up to and without 1; asked only where there is a choice. */
export function decideEndpoint(candidates: readonly Candidate[], random: () => number): EndpointVerdict {
  const all = candidates.map((_, index) => index);
  const at = (index: number): Candidate => candidates[index] ?? nobody;
  const closed = all.filter((index) => !at(index).isOpen);
  if (closed.length === 0) return { kind: "open" };
  const free = closed.filter((index) => !at(index).isFull);
  if (free.length === 0) return { kind: "full" };
  const fresh = free.filter((index) => !at(index).wasTried);
  const choice = fresh.length > 0 ? fresh : free;
  const first = draw(choice, at, random);
  const rest = choice.filter((index) => index !== first);
  if (rest.length === 0) return { kind: "endpoint", index: first };
  const second = draw(rest, at, random);
  return { kind: "endpoint", index: relieves(at(second), at(first)) ? second : first };
}

const nobody: Candidate = { weight: 1, inFlight: 0, isOpen: true, isFull: true, wasTried: true };

/** Of equal weights: it has fewer requests under way. Of others a draw stands while little is under way, or the heavier would get all there is. */
const relieves = (second: Candidate, first: Candidate): boolean =>
  (second.inFlight + 1) / second.weight <= first.inFlight / first.weight;

function draw(indices: readonly number[], at: (index: number) => Candidate, random: () => number): number {
  const [only] = indices;
  if (indices.length === 1 && only !== undefined) return only;
  let left = random() * indices.reduce((sum, index) => sum + at(index).weight, 0);
  for (const index of indices) {
    left -= at(index).weight;
    if (left < 0) return index;
  }
  return indices.at(-1) ?? 0;
}

/** May one more endpoint be shut out for its share of failures? At most half of them, but an only one may. */
export function mayEject(endpoints: number, out: number): boolean {
  return endpoints === 1 || out + 1 <= Math.floor(endpoints / 2);
}
