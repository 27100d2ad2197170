// Promises the shape of a rule for second attempts beside a first one that is slow. Trusts nothing: it is data. Specified in docs/resilience.md "Hedging".

export interface HedgeRule {
  /** How long the first one has; `share`: as long as that share of them took, above 0 and below 1. */
  readonly after: { readonly ms: number } | { readonly share: number };
  /** Second attempts per crossing that may have one, 0 to 1. */
  readonly budget: number;
}
