// Promises a text as the careless reader behind the gateway takes it: one width and case of letters, nothing invisible, one layer of escapes taken off.
// Trusts nothing. Each pass is linear in the text, and none makes it longer. Pure. Specified in docs/threats.md "What a rule reads".

/** Layers of escapes that are taken off a text, beyond what its transport has. */
export const layersMax = 3;

const notAscii = /[^\x00-\x7f]/;
/** Zero width, soft hyphen, direction marks, byte order mark, variation selectors. */
const invisible = /\u00ad|\u034f|\u061c|\u180e|[\u200b-\u200f]|[\u202a-\u202e]|[\u2060-\u2064]|[\ufe00-\ufe0f]|\ufeff/g;
const fullWidth = /[\uff01-\uff5e]+/g;
const likeness = /[\u017f\u0131\u2018\u2019\u02b9\u02bc\u2032\u201c\u201d\u2215\u2044\u2024\ufe64\ufe65\u00b4]+/g;
/** What databases and shells are known to take for the ASCII sign on their way. */
const signs: Readonly<Record<string, string>> = {
  "\u017f": "s",
  "\u0131": "i",
  "\u2018": "'",
  "\u2019": "'",
  "\u02b9": "'",
  "\u02bc": "'",
  "\u2032": "'",
  "\u00b4": "'",
  "\u201c": '"',
  "\u201d": '"',
  "\u2215": "/",
  "\u2044": "/",
  "\u2024": ".",
  "\ufe64": "<",
  "\ufe65": ">",
};

/** Lower case, ASCII for its full-width and look-alike forms, without what cannot be seen. */
export function fold(text: string): string {
  if (!notAscii.test(text)) return text.toLowerCase();
  return text
    .replace(invisible, "")
    .replace(fullWidth, narrow)
    .replace(likeness, (run) => Array.from(run, (sign) => signs[sign] ?? sign).join(""))
    .toLowerCase();
}

const narrow = (run: string): string => {
  const codes = new Uint16Array(run.length);
  for (let i = 0; i < run.length; i++) codes[i] = run.charCodeAt(i) - 0xfee0;
  return Buffer.from(codes.buffer).toString("utf16le");
};

const escapes =
  /((?:%[0-9a-f]{2})+)|%u([0-9a-f]{4})|\\u\{?0{0,4}([0-9a-f]{4})\}?|\\x([0-9a-f]{2})|&#(?:x0{0,6}([0-9a-f]{2,4})|0{0,6}([0-9]{2,5}));?|&(lt|gt|quot|apos|amp);/gi;
const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
const mayEscape = /[%\\&]/;

/** One layer of percent, backslash and HTML escapes taken off; the same text where there is none. */
export function unwrap(text: string): string {
  if (!mayEscape.test(text)) return text;
  return text.replace(escapes, (_, octets?: string, ...rest: (string | undefined)[]) => {
    if (octets !== undefined) return Buffer.from(octets.replaceAll("%", ""), "hex").toString("utf8");
    const [wide, unit, byte, hex, decimal, name] = rest;
    if (name !== undefined) return named[name.toLowerCase()] ?? "";
    const digits = wide ?? unit ?? byte ?? hex;
    return String.fromCharCode(digits === undefined ? Number(decimal) & 0xffff : Number.parseInt(digits, 16));
  });
}

/** Escapes of UTF-8 in more octets than the character has (RFC 3629 §3): some readers take them for it. */
export const overlong = /%c[01]%[89ab][0-9a-f]|%e0%[89][0-9a-f]%|%f0%8[0-9a-f]%/i;
