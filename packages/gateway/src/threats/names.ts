// Promises whether the name of a member or a parameter means more to a database or to JavaScript than a name. Trusts the name to be folded. Pure.
// Specified in docs/threats.md "nosql-operator", "prototype-pollution".
import type { ThreatRule } from "@sallyport/protocol/snapshot/threat-rule.ts";

/** Of JSON Schema and of references between documents. */
const harmless: ReadonlySet<string> = new Set(
  ["ref", "schema", "id", "defs", "comment", "anchor", "vocabulary", "dynamicref", "dynamicanchor", "recursiveref"].map(
    (word) => `$${word}`,
  ),
);

export const nameRules: readonly (readonly [ThreatRule, (folded: string) => boolean])[] = [
  ["nosql-operator", (name) => /(?:^|[.[])\$[a-z]/.test(name) && !harmless.has(name)],
  ["prototype-pollution", (name) => name.includes("__proto__") || /constructor(?:\.|\]?\[)prototype/.test(name)],
];

/** `{ "constructor": { "prototype": … } }` */
export function isPrototypePath(name: string, value: unknown): boolean {
  return name === "constructor" && typeof value === "object" && value !== null && Object.hasOwn(value, "prototype");
}
