// Promises the values that a structured field can hold, each with its type, so that what was parsed prints back as what it was.
// Trusts nothing: it is data. Specified by RFC 9651 §3.

/** Seconds since the epoch for a date; a decimal has at most three digits behind its point. */
export type BareItem =
  | { readonly type: "integer" | "decimal" | "date"; readonly value: number }
  | { readonly type: "string" | "token" | "display"; readonly value: string }
  | { readonly type: "binary"; readonly value: Uint8Array }
  | { readonly type: "boolean"; readonly value: boolean };

/** In order of their first occurrence. */
export type Parameters = ReadonlyMap<string, BareItem>;

export interface Item {
  readonly kind: "item";
  readonly value: BareItem;
  readonly parameters: Parameters;
}

export interface InnerList {
  readonly kind: "inner-list";
  readonly items: readonly Item[];
  readonly parameters: Parameters;
}

export type Member = Item | InnerList;
export type Dictionary = ReadonlyMap<string, Member>;

export const noParameters: Parameters = new Map();

export const integerMax = 999_999_999_999_999;
