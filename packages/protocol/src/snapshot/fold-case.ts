// Promises one spelling for all names that a reader without regard to case takes for the same. Trusts nothing.
// Upper case first, then lower: U+017F and U+212A fold to "s" and "k", as in Go's encoding/json. Specified in docs/gateway.md (attributes) and docs/inspection.md.

/** The folded name; two names are twins when theirs are equal. Pure. */
export function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase();
}
