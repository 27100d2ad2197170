// Promises that no certificate of a path is revoked, or says that nobody can tell. On top of the path that PeerPolicy judged, never instead of it.
// OpenSSL is not given the lists (docs/gateway.md "Revocation lists"). Trusts revocation-list.ts. Specified in RFC 5280 §6.3.
import type { RevocationObject } from "@sallyport/protocol/snapshot/revocation-object.ts";
import { compared, instant } from "@sallyport/protocol/verdict.ts";
import type { Certificate } from "./certificate.ts";
import { type RevocationList, readRevocationList } from "./revocation-list.ts";

export interface Revocation {
  /** The newest first. */
  readonly lists: readonly RevocationList[];
  /** Without a list in force of each issuer nobody passes. */
  readonly required: boolean;
}

export type RevocationVerdict =
  /** Milliseconds since the epoch until which this holds; infinite where lists are not required. */
  | { readonly kind: "good"; readonly untilMs: number }
  | {
      readonly kind: "deny";
      readonly code: "certificate-revoked" | "revocation-unknown";
      readonly reason: string;
      readonly facts: { readonly expected: string; readonly sent: string };
    };

/** Throws DerFault for a list that cannot be read strictly: control signs no such snapshot. */
export function compileRevocation({ lists, required }: RevocationObject): Revocation {
  const read = lists.map(readOnce).sort((a, b) => b.thisUpdateMs - a.thisUpdateMs);
  return { lists: read, required };
}

/** Lists read before, by their text: a list of a megabyte takes tens of milliseconds, and most snapshots bring the same ones. */
const known = new Map<string, RevocationList>();
const knownMax = 16;

function readOnce(base64: string): RevocationList {
  const held = known.get(base64);
  if (held !== undefined) return held;
  const list = readRevocationList(new Uint8Array(Buffer.from(base64, "base64")));
  const [oldest] = known.keys();
  if (known.size >= knownMax && oldest !== undefined) known.delete(oldest);
  known.set(base64, list);
  return list;
}

/** `path`: leaf first, the root last. The root itself is believed because it is declared: no list of its own can take that back. Pure. */
export function judgeRevocation(
  path: readonly Certificate[],
  { lists, required }: Revocation,
  nowMs: number,
): RevocationVerdict {
  let untilMs = Number.POSITIVE_INFINITY;
  for (const [i, certificate] of path.slice(0, -1).entries()) {
    const issuer = path[i + 1];
    const list = issuer === undefined ? undefined : lists.find((one) => speaksFor(one, issuer));
    // What a list once named stays revoked, however old the list is.
    if (list?.revokes(certificate.serial) === true) return revoked(certificate, list);
    if (list !== undefined && nowMs >= list.thisUpdateMs && nowMs < list.nextUpdateMs)
      untilMs = Math.min(untilMs, list.nextUpdateMs);
    else if (required) return unknown(list, i, nowMs);
  }
  return { kind: "good", untilMs: required ? untilMs : Number.POSITIVE_INFINITY };
}

function speaksFor(list: RevocationList, issuer: Certificate): boolean {
  return Buffer.compare(list.issuer, issuer.subject) === 0 && list.isSignedBy(issuer);
}

function revoked({ serial }: Certificate, { thisUpdateMs }: RevocationList): RevocationVerdict {
  return {
    kind: "deny",
    code: "certificate-revoked",
    reason: "a certificate of the chain is on its issuer's revocation list",
    facts: compared(
      `a serial number that the list of ${instant(thisUpdateMs)} does not name`,
      `serial number ${serial}`,
    ),
  };
}

function unknown(list: RevocationList | undefined, level: number, nowMs: number): RevocationVerdict {
  const whose = level === 0 ? "the client's certificate" : `the CA certificate ${level} above the client's`;
  const sent =
    list === undefined
      ? "no list of that issuer"
      : `its list, in force from ${instant(list.thisUpdateMs)} until ${instant(list.nextUpdateMs)}`;
  return {
    kind: "deny",
    code: "revocation-unknown",
    reason:
      list === undefined
        ? `the bundle has no revocation list by the issuer of ${whose}`
        : `the revocation list by the issuer of ${whose} is not in force`,
    facts: compared(`a revocation list by the issuer of ${whose}, in force at ${instant(nowMs)}`, sent),
  };
}
