// Promises one reading of an Idempotency-Key field, or none: whatever two readers could take for different keys is refused. Pure.
// Trusts nothing. Specified in docs/idempotency.md "The key"; draft-ietf-httpapi-idempotency-key-header §2.1, RFC 9651 §3.3.3.

/** Characters of a key. */
export const keyLengthMax = 255;
/** Octets of the field as it is sent: every character may be escaped. */
const fieldLengthMax = 2 * keyLengthMax + 2;

export type KeyReading =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "none" }
  | { readonly kind: "malformed"; readonly why: string };

const malformed = (why: string): KeyReading => ({ kind: "malformed", why });

/** Reads the values of all fields of that name: one structured-field String without parameters, 1 to 255 characters. */
export function readKeyField(values: readonly string[] | undefined): KeyReading {
  const [value] = values ?? [];
  if (value === undefined) return { kind: "none" };
  if (values?.length !== 1) return malformed("more than one Idempotency-Key field");
  if (value.length > fieldLengthMax) return malformed(`more than ${keyLengthMax} characters`);
  if (!value.startsWith('"')) return malformed('no String in double quotes: write Idempotency-Key: "…"');
  let key = "";
  for (let at = 1; at < value.length; at++) {
    const char = value.charAt(at);
    if (char === '"') return endOf(key, value.slice(at + 1));
    if (char < " " || char > "~") return malformed("characters outside printable ASCII");
    if (char !== "\\") {
      key += char;
      continue;
    }
    at += 1;
    const escaped = value.charAt(at);
    // RFC 9651 §4.2.5: nothing else is escaped, so that one key has one spelling.
    if (escaped !== '"' && escaped !== "\\") return malformed('a backslash before something else than `"` or `\\`');
    key += escaped;
  }
  return malformed("no closing double quote");
}

function endOf(key: string, rest: string): KeyReading {
  if (rest !== "") return malformed("something behind the String, as a list, parameters or white space");
  if (key === "") return malformed("an empty key");
  if (key.length > keyLengthMax) return malformed(`more than ${keyLengthMax} characters`);
  return { kind: "key", key };
}

/** A key as the field says it. `key`: printable ASCII. */
export function printKeyField(key: string): string {
  return `"${key.replaceAll(/["\\]/g, "\\$&")}"`;
}
