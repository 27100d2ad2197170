// Promises whether an address may be dialled, from the address, the host it stands for and the rules alone. Trusts the rules.
// Specified in docs/dial.md; sources: IANA IPv4 and IPv6 special-purpose address registries, RFC 6890.
import { addressKey, contains, type Network, parseAddress, parseNetwork } from "./address.ts";
import type { DialRules } from "./port.ts";

export type AddressClass =
  | "public"
  | "loopback"
  | "private"
  | "link-local"
  | "metadata"
  | "transition"
  | "reserved"
  | "not-an-address";

const networks = (...texts: string[]): readonly Network[] => texts.map(parseNetwork);

/** First match decides; an address that no row names is public (IPv4, or IPv6 in 2000::/3) or reserved. */
const classes: readonly (readonly [AddressClass, readonly Network[]])[] = [
  [
    "metadata",
    networks(
      "169.254.169.254/32",
      "169.254.170.2/32",
      "169.254.170.23/32",
      "100.100.100.200/32",
      "168.63.129.16/32",
      "192.0.0.192/32",
      "fd00:ec2::254/128",
      "fd00:ec2::23/128",
      "fd20:ce::254/128",
    ),
  ],
  ["loopback", networks("127.0.0.0/8", "::1/128")],
  ["private", networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")],
  ["link-local", networks("169.254.0.0/16", "fe80::/10")],
  ["transition", networks("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")],
  [
    "reserved",
    networks(
      "0.0.0.0/8",
      "192.0.0.0/24",
      "192.0.2.0/24",
      "192.31.196.0/24",
      "192.52.193.0/24",
      "192.88.99.0/24",
      "192.175.48.0/24",
      "198.18.0.0/15",
      "198.51.100.0/24",
      "203.0.113.0/24",
      "224.0.0.0/4",
      "240.0.0.0/4",
      "2001::/23",
      "2001:db8::/32",
      "2620:4f:8000::/48",
      "3fff::/20",
    ),
  ],
];
const globalUnicast = parseNetwork("2000::/3");
// `::` is both all-zero and inside ::/96; nothing dials "no address".
const unspecified = parseNetwork("::/128");

/** What kind of address this literal is. */
export function classifyAddress(literal: string): AddressClass {
  const address = parseAddress(literal);
  if (address === null) return "not-an-address";
  if (contains(unspecified, address)) return "reserved";
  const row = classes.find(([, members]) => members.some((network) => contains(network, address)));
  if (row !== undefined) return row[0];
  return address.length === 4 || contains(globalUnicast, address) ? "public" : "reserved";
}

export interface DialQuestion {
  /** Host as in the URL, lower case, IPv6 without brackets. */
  readonly host: string;
  /** One address of the answer for that host. */
  readonly address: string;
  readonly port: number;
}

export type DialVerdict =
  | { readonly kind: "allow" }
  /** `reason` is for operators. */
  | { readonly kind: "deny"; readonly addressClass: AddressClass | "own"; readonly reason: string };

function isOwn(question: DialQuestion, rules: DialRules): boolean {
  const wanted = addressKey(question.address);
  for (const own of rules.ownAddresses) {
    const colon = own.lastIndexOf(":");
    const literal = own.slice(0, colon).replace(/^\[|\]$/g, "");
    if (Number(own.slice(colon + 1)) === question.port && addressKey(literal) === wanted) return true;
  }
  return false;
}

/** May this resolved address be dialled for this host? Pure. */
export function decideDial(question: DialQuestion, rules: DialRules): DialVerdict {
  const { host, address } = question;
  const addressClass = classifyAddress(address);
  const named = rules.allowPrivateHosts.has(host);
  const deny = (kind: AddressClass | "own", reason: string): DialVerdict => ({
    kind: "deny",
    addressClass: kind,
    reason,
  });
  const fix = `If that is meant, say allowPrivate for exactly the host ${host}`;
  switch (addressClass) {
    case "public":
    case "loopback":
    case "private":
    case "link-local":
      if (!named && isOwn(question, rules))
        return deny("own", `${address} port ${question.port} is this node's own listener. ${fix}`);
      if (addressClass === "public" || named) return { kind: "allow" };
      return deny(addressClass, `${host} is at ${address}, a ${addressClass} address. ${fix}`);
    case "metadata":
      // A name that may be private must still not become the cloud's credential service.
      if (named && addressKey(host) === addressKey(address)) return { kind: "allow" };
      return deny(addressClass, `${host} is at ${address}, a cloud metadata service, which no name may point at`);
    case "transition":
      return deny(
        addressClass,
        `${host} is at ${address}, which hides an IPv4 address in an IPv6 one. Use the IPv4 address`,
      );
    case "reserved":
      return deny(addressClass, `${host} is at ${address}, which the registries reserve for no host`);
    case "not-an-address":
      return deny(addressClass, `the answer for ${host} holds something that is not an address`);
    default: {
      const never: never = addressClass;
      return never;
    }
  }
}

export interface Origin {
  readonly secure: boolean;
  /** Lower case; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Reads `http(s)://host[:port]`. The text says what is wrong when it is anything more or else. */
export function parseOrigin(text: string): Origin | string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "it is not a URL";
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return "its scheme is not http or https";
  // The raw text too: an empty user, path or query leaves no trace in the parsed URL.
  if (url.username !== "" || url.password !== "" || text.includes("@")) return "it carries user information";
  if (url.pathname !== "/" || /[?#\\\s]/.test(text)) return "it is more than scheme, host and port";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (host === "" || host.endsWith(".")) return "its host is empty or ends with a dot";
  const secure = url.protocol === "https:";
  return { secure, host, port: url.port === "" ? (secure ? 443 : 80) : Number(url.port) };
}
