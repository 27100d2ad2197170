// Promises the printed text of one member of a leaf, or null when its value does not have its closed form: each value is held against
// the form once and, where values repeat, remembered. Trusts leaf-form.ts for the forms. Specified in docs/formats/leaf.md.
import { type Member, numberForm } from "./leaf-form.ts";

/** `,"name":value` as it stands in the leaf, or null. */
export type MemberPrinter = (value: unknown) => string | null;

/** The first number with more than the fifteen digits of `numberForm`. */
const plainNumberEnd = 1e15;

/** Values remembered per member; full, it begins anew. */
export const remembered = 2_048;

/** A bounded memory of printed texts that had their form. */
class Known {
  #texts = new Map<unknown, string>();

  find(value: unknown): string | undefined {
    return this.#texts.get(value);
  }

  keep(value: unknown, text: string): string {
    if (this.#texts.size >= remembered) this.#texts = new Map();
    this.#texts.set(value, text);
    return text;
  }
}

/**
 * No form admits an escape, so a text that has its form is printed as it is, between quotes. What is neither text nor a number is printed
 * as JSON first and judged then, as a reader would.
 */
export function createMemberPrinter({ name, value: form, unique }: Member): MemberPrinter {
  const pattern = new RegExp(`^${form}$`);
  const isPlainNumber = form === numberForm;
  const before = `,"${name}":`;
  // Apart, because a text that looks like the JSON of a list is not that list.
  const knownTexts = unique ? null : new Known();
  const knownJson = unique ? null : new Known();
  const knownLists = new WeakMap<object, string>();
  const judge = (printed: string): string | null => (pattern.test(printed) ? before + printed : null);
  const judgeOnce = (known: Known | null, { value, printed }: { value: unknown; printed: string }): string | null => {
    const found = known?.find(value);
    if (found !== undefined) return found;
    const text = judge(printed);
    return text === null || known === null ? text : known.keep(value, text);
  };
  return (value) => {
    if (isPlainNumber && isPlain(value)) return before + value;
    // As JSON has it: what is no finite number is null.
    if (typeof value === "number")
      return judgeOnce(isPlainNumber ? null : knownTexts, {
        value,
        printed: Number.isFinite(value) ? String(value) : "null",
      });
    if (value === null) return judgeOnce(knownTexts, { value, printed: "null" });
    if (typeof value === "string") return judgeOnce(knownTexts, { value, printed: `"${value}"` });
    const isFixed = Array.isArray(value) && Object.isFrozen(value);
    const known = isFixed ? knownLists.get(value) : undefined;
    if (known !== undefined) return known;
    const printed = JSON.stringify(value);
    const text = printed === undefined ? null : judgeOnce(knownJson, { value: printed, printed });
    // Its elements are texts where it has its form, so a frozen list never prints otherwise.
    if (isFixed && text !== null) knownLists.set(value, text);
    return text;
  };
}

/** A number that prints as one of the form: the same values that its pattern admits. */
function isPlain(value: unknown): value is number {
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value >= 0 &&
    value < plainNumberEnd &&
    !Object.is(value, -0)
  );
}
