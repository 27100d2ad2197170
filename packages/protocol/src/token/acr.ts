// Promises the levels a log-in can be worth and their order, the same for who issues tokens and who reads them. Trusts nothing. Pure.
// OpenID Connect Core 1.0 §2 (acr), RFC 9470; what each level takes: docs/identity/step-up.md.

/** From least to most. Each is worth those before it. */
export const acrLevels = [
  "urn:sallyport:acr:password",
  "urn:sallyport:acr:mfa",
  "urn:sallyport:acr:phishing-resistant",
] as const;
export type Acr = (typeof acrLevels)[number];

export function isAcr(text: string): text is Acr {
  return (acrLevels as readonly string[]).includes(text);
}

/** Is a level enough where another is asked for? One that is none of ours is worth nothing. */
export function isAcrEnough(have: string | undefined, wanted: Acr): boolean {
  return have !== undefined && isAcr(have) && acrLevels.indexOf(have) >= acrLevels.indexOf(wanted);
}

/** 0 for none of ours, 1 for the least, up to 3: the order in one number. */
export function acrLevelOf(acr: string | undefined): number {
  return acr !== undefined && isAcr(acr) ? acrLevels.indexOf(acr) + 1 : 0;
}

/** What an operation, or a grant of it, asks of the user's log-in. */
export interface StepUp {
  readonly acr?: Acr;
  /** Seconds since the log-in; 1 or more. */
  readonly maxAgeSeconds?: number;
}

/** Both must hold: the higher level, the shorter age. undefined: nothing is asked. */
export function stricterStepUp(a: StepUp | undefined, b: StepUp | undefined): StepUp | undefined {
  const one = a ?? b;
  if (a === undefined || b === undefined) return one;
  const acr = b.acr === undefined || isAcrEnough(a.acr, b.acr) ? a.acr : b.acr;
  const ages = [a.maxAgeSeconds, b.maxAgeSeconds].filter((age) => age !== undefined);
  return { ...(acr === undefined ? {} : { acr }), ...(ages.length === 0 ? {} : { maxAgeSeconds: Math.min(...ages) }) };
}
