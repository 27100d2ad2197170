// Promises a form (application/x-www-form-urlencoded) as the one set of values that every reader takes it for, or why two could differ.
// Trusts nothing of the bytes. Specified in docs/inspection.md "Forms"; WHATWG URL §5.1, read strictly.
import type { FormField } from "@sallyport/protocol/snapshot/body-rule.ts";
import { aliasesIn } from "../authorize/attributes.ts";
import { readText } from "./parameters.ts";

export const formPairsMax = 512;
const nameCharactersMax = 256;

export type FormReading = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly why: string };
type Value = string | number | boolean;

// Visible ASCII without `"<>;` and with `%` only before two digits: a `;` parts members for some readers.
const escaped = /^(?:[!#$'-:=?-~]|%[0-9A-Fa-f]{2})*$/;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads a form strictly. Never throws. */
export function readForm(bytes: Uint8Array, fields: readonly FormField[]): FormReading {
  const texts = readPairs(bytes);
  if (typeof texts === "string") return refused(texts);
  const value: Record<string, Value | readonly Value[]> = Object.create(null);
  const names = Object.keys(texts);
  for (const name of names) {
    const field = fields.find((one) => one.name === name);
    const all = texts[name] ?? [];
    if (field?.list !== true && all.length > 1) return refused("a member that is there more than once");
    const values = all.map((text) => readText(field?.type ?? "string", text));
    if (!values.every((one) => one !== undefined)) return refused(`a member that is no ${field?.type ?? "text"}`);
    const [only] = values;
    if (field?.list === true) value[name] = values;
    else if (only !== undefined) value[name] = only;
  }
  const hasAlias = aliasesIn(texts);
  if (fields.some(({ name }) => hasAlias(name)))
    return refused("a second name that some readers take for a declared one");
  return { ok: true, value };
}

const refused = (why: string): FormReading => ({ ok: false, why });

function readPairs(bytes: Uint8Array): Record<string, string[]> | string {
  const found: Record<string, string[]> = Object.create(null);
  if (bytes.length === 0) return found;
  const pairs = Buffer.from(bytes)
    .toString("latin1")
    .split("&", formPairsMax + 1);
  if (pairs.length > formPairsMax) return `more than ${formPairsMax} members`;
  for (const pair of pairs) {
    const at = pair.indexOf("=");
    if (at <= 0) return "a member without a name or without `=`";
    const [name, value] = [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
    if (name === null || value === null) return "characters that are not percent-encoded UTF-8";
    if (name === "__proto__" || name.length > nameCharactersMax || name.includes("\0"))
      return "a name that is not accepted";
    found[name] ??= [];
    found[name].push(value);
  }
  return found;
}

function decode(text: string): string | null {
  if (!escaped.test(text)) return null;
  if (!text.includes("%")) return text.replaceAll("+", " ");
  const octets = text
    .replaceAll("+", " ")
    .replaceAll(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
  try {
    return decoder.decode(Buffer.from(octets, "latin1"));
  } catch {
    return null;
  }
}
