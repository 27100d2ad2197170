// Promises the octet classes of HTTP/1.1, one look-up each. Trusts nothing. Specified in RFC 9110 §5.5 and §5.6.2, RFC 9112 §7.1.

export const tab = 0x09;
export const lf = 0x0a;
export const cr = 0x0d;
export const space = 0x20;
export const colon = 0x3a;

/** 1 for `tchar`: what names of methods and fields are made of. */
export const tokenOctets: Uint8Array = classOf(
  "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
);

/** 1 for what may stand in a field value: visible characters, space, tab and obs-text (whether obs-text is served is the caller's to judge). */
export const valueOctets: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet === tab || (octet >= space && octet !== 0x7f) ? 1 : 0,
);

/** 1 for a visible ASCII character: what a request target is made of. */
export const targetOctets: Uint8Array = Uint8Array.from({ length: 256 }, (_, octet) =>
  octet > space && octet < 0x7f ? 1 : 0,
);

function classOf(members: string): Uint8Array {
  const table = new Uint8Array(256);
  for (const member of members) table[member.charCodeAt(0)] = 1;
  return table;
}
