// Promises the words for what a field holds. Trusts nothing. Specified in docs/concepts/data-class.md.

export const dataClasses = [
  "public",
  "internal",
  "confidential",
  "restricted",
  "pii",
  "secret",
  "payment",
  "health",
] as const;
