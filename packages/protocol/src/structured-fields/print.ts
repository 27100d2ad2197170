// Promises the one text of a structured value, or a refusal to print what has none. Trusts nothing. Specified by RFC 9651 §4.1.
import { printBase64 } from "../audit/base64.ts";
import { utf8 } from "../token/json.ts";
import { type BareItem, type Dictionary, type Item, integerMax, type Member, type Parameters } from "./values.ts";

const keyForm = /^[a-z*][a-z0-9_.*-]*$/;
const tokenForm = /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*$/;
const printable = /^[\x20-\x7e]*$/;

/** Null: some part of it has no text. */
export function printList(members: readonly Member[]): string | null {
  return joined(members.map(printMember), ", ");
}

export function printDictionary(dictionary: Dictionary): string | null {
  const printed = [...dictionary].map(([key, member]) => {
    if (!keyForm.test(key)) return null;
    if (member.kind === "item" && member.value.type === "boolean" && member.value.value)
      return followed(key, printParameters(member.parameters));
    return followed(`${key}=`, printMember(member));
  });
  return joined(printed, ", ");
}

/** An item or an inner list with its parameters. */
export function printMember(member: Member): string | null {
  const value = member.kind === "item" ? printBareItem(member.value) : followed("(", printItems(member.items));
  return value === null ? null : followed(value, printParameters(member.parameters));
}

function printItems(items: readonly Item[]): string | null {
  const inside = joined(items.map(printMember), " ");
  return inside === null ? null : `${inside})`;
}

function printParameters(parameters: Parameters): string | null {
  const printed = [...parameters].map(([key, value]) => {
    if (!keyForm.test(key)) return null;
    if (value.type === "boolean" && value.value) return `;${key}`;
    return followed(`;${key}=`, printBareItem(value));
  });
  return joined(printed, "");
}

function followed(before: string, text: string | null): string | null {
  return text === null ? null : before + text;
}

function joined(parts: readonly (string | null)[], between: string): string | null {
  return parts.includes(null) ? null : parts.join(between);
}

export function printBareItem(item: BareItem): string | null {
  switch (item.type) {
    case "integer":
      return printInteger(item.value);
    case "date":
      return followed("@", printInteger(item.value));
    case "decimal":
      return printDecimal(item.value);
    case "string":
      return printable.test(item.value) ? `"${item.value.replace(/["\\]/g, "\\$&")}"` : null;
    case "token":
      return tokenForm.test(item.value) ? item.value : null;
    case "binary":
      return `:${printBase64(item.value)}:`;
    case "boolean":
      return item.value ? "?1" : "?0";
    case "display":
      return printDisplay(item.value);
  }
}

function printInteger(value: number): string | null {
  return Number.isInteger(value) && Math.abs(value) <= integerMax ? String(value === 0 ? 0 : value) : null;
}

/** Rounded to three digits, halves to the even one (§4.1.5). */
function printDecimal(value: number): string | null {
  const thousandths = value * 1_000;
  const floor = Math.floor(thousandths);
  const isHalf = thousandths - floor === 0.5;
  const rounded = isHalf ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(thousandths);
  const whole = Math.trunc(Math.abs(rounded) / 1_000);
  if (!Number.isFinite(value) || whole > 999_999_999_999) return null;
  const fraction = String(Math.abs(rounded) % 1_000)
    .padStart(3, "0")
    .replace(/0{1,2}$/, "");
  return `${rounded < 0 ? "-" : ""}${whole}.${fraction}`;
}

function printDisplay(value: string): string | null {
  if (!value.isWellFormed()) return null;
  let text = '%"';
  for (const octet of utf8(value)) {
    const isPlain = octet >= 0x20 && octet <= 0x7e && octet !== 0x25 && octet !== 0x22;
    text += isPlain ? String.fromCharCode(octet) : `%${octet.toString(16).padStart(2, "0")}`;
  }
  return `${text}"`;
}
