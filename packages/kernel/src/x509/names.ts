// Promises that only names of a safe form are ever issued: what policy says, with no room for a second reading. Trusts nothing.
// Sources: RFC 5280 §4.2.1.6, RFC 1123 §2.1, X.509-SVID §2.
import { isIPv4, isIPv6 } from "node:net";
import { der } from "./der.ts";

/** SANs of a certificate. At most one URI: an X.509-SVID has exactly one (X509-SVID §2). */
export interface CertificateNames {
  readonly dns?: readonly string[];
  readonly uri?: string;
  readonly ip?: readonly string[];
}

export const issuedNamesMax = 64;

const dnsForm = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const uriForm = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9][a-z0-9.-]*(\/[A-Za-z0-9._-]+)+$/;

function addressBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split(".").map(Number));
  if (!isIPv6(address) || address.includes("%") || address.includes("."))
    throw new TypeError("an IP name is a plain address");
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":")).map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The GeneralNames of a certificate. Throws TypeError for no name, too many, a wildcard or any name outside the plain forms. */
export function printNames(names: CertificateNames): Uint8Array {
  const { dns = [], ip = [], uri } = names;
  const count = dns.length + ip.length + (uri === undefined ? 0 : 1);
  if (count === 0) throw new TypeError("a certificate names at least one dns, uri or ip");
  if (count > issuedNamesMax) throw new TypeError(`a certificate names at most ${issuedNamesMax}`);
  if (dns.some((name) => !dnsForm.test(name))) {
    throw new TypeError("a dns name is lower-case letters, digits, hyphens and dots, without wildcard or trailing dot");
  }
  if (uri !== undefined && (!uriForm.test(uri) || uri.length > 2048 || /\/\.{1,2}(\/|$)/.test(uri))) {
    throw new TypeError(
      "a uri name is scheme://authority/path with a non-empty path and no query, fragment, port or user",
    );
  }
  const ascii = (text: string) => Buffer.from(text, "latin1");
  const entries = [
    ...(uri === undefined ? [] : [der(0x86, ascii(uri))]),
    ...dns.map((name) => der(0x82, ascii(name))),
    ...ip.map((address) => der(0x87, addressBytes(address))),
  ];
  return der(0x30, ...entries);
}
