// Promises that a token of an issuer outside stands for one of our systems only where a rule names every value it was told to pin, byte by byte.
// Trusts that the token was verified. No prefix, no pattern, no case folding. docs/formats/outside-token.md §4; research: workload trust too loose.
import { isJsonObject } from "./json.ts";
import type { SignedOutsideToken } from "./outside-token.ts";

export const pinnedClaimsMax = 16;

/** What a token must carry. At least one of them is there. */
export interface OutsidePins {
  /** `sub`, whole. */
  readonly subject?: string;
  /** `azp`, else `client_id`, whole. */
  readonly party?: string;
  /** Name of a claim, or a JSON Pointer (RFC 6901) when it begins with `/`, to its exact value. Whole numbers, true and false are compared as their text. */
  readonly claims: Readonly<Record<string, string>>;
}

export type Mapped<T> =
  | { readonly kind: "mapped"; readonly to: T }
  /** No rule fits, or two do: nobody could say which one was meant. */
  | { readonly kind: "unmapped"; readonly why: "no-rule" | "two-rules" };

type Proven = Pick<SignedOutsideToken, "claims" | "members">;

/** The one rule whose pins all hold. */
export function mapOutsideToken<T extends OutsidePins>(signed: Proven, rules: readonly T[]): Mapped<T> {
  const [first, second] = rules.filter((rule) => holds(signed, rule));
  if (first === undefined) return { kind: "unmapped", why: "no-rule" };
  return second === undefined ? { kind: "mapped", to: first } : { kind: "unmapped", why: "two-rules" };
}

function holds({ claims, members }: Proven, { subject, party, claims: pinned }: OutsidePins): boolean {
  const names = Object.entries(pinned);
  // A rule without a pin would let everybody of that issuer in.
  if (subject === undefined && party === undefined && names.length === 0) return false;
  if (subject !== undefined && claims.sub !== subject) return false;
  if (party !== undefined && claims.party !== party) return false;
  return names.every(([name, value]) => textAt(members, name) === value);
}

function textAt(members: Readonly<Record<string, unknown>>, name: string): string | undefined {
  let value: unknown = members;
  for (const part of pathOf(name)) {
    if (!isJsonObject(value) || !Object.hasOwn(value, part)) return undefined;
    value = value[part];
  }
  if (typeof value === "string") return value;
  return typeof value === "boolean" || (typeof value === "number" && Number.isSafeInteger(value))
    ? String(value)
    : undefined;
}

function pathOf(name: string): readonly string[] {
  if (!name.startsWith("/")) return [name];
  return name
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}
