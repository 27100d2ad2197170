// Promises what is to be done about revocation lists before callers are denied for them, and what is denied already. Pure.
// Trusts the estate in force. Specified in docs/cli/status.md "Notices".
import { X509Certificate } from "node:crypto";
import { readCertificate } from "@sallyport/kernel/x509/certificate.ts";
import { printName, readName } from "@sallyport/kernel/x509/distinguished-name.ts";
import { type RevocationList, readRevocationList } from "@sallyport/kernel/x509/revocation-list.ts";
import type { EnvironmentConfig, TrustConfig } from "../registry/config/estate.ts";
import type { Notice } from "./notices.ts";

const dayMs = 86_400_000;

export function revocationNotices({ name, trust }: EnvironmentConfig, now: number): readonly Notice[] {
  return trust.flatMap((bundle) => noticesOf(bundle, { environment: name, now }));
}

function noticesOf(
  { name, roots, revocation }: TrustConfig,
  { environment, now }: { readonly environment: string; readonly now: number },
): readonly Notice[] {
  if (revocation === undefined) return [];
  const { file, line } = revocation.declaredAt;
  const say = (urgency: Notice["urgency"], at: number, words: Pick<Notice, "text" | "fix">): Notice => ({
    ...words,
    urgency,
    object: `trust/${name}`,
    environment,
    at,
    file,
    line,
  });
  const consequence = revocation.required
    ? "every client certificate of that CA is denied"
    : "what was revoked since is not known";
  const lists = revocation.lists.map((list) => readRevocationList(new Uint8Array(Buffer.from(list, "base64"))));
  const fix = "put the CA's current list there; a CA publishes one before `nextUpdate` of the last";
  const dated = newest(lists).flatMap((list) => {
    const until = new Date(list.nextUpdateMs).toISOString().slice(0, 16);
    const whose = `the revocation list of ${nameOf(list.issuer)}`;
    if (now >= list.nextUpdateMs)
      return [say("over", list.nextUpdateMs, { text: `${whose} was over at ${until}Z: ${consequence}`, fix })];
    if (now < list.thisUpdateMs)
      return [say("over", list.thisUpdateMs, { text: `${whose} is not in force yet: ${consequence}`, fix })];
    return isNear(list, now)
      ? [say("7 days", list.nextUpdateMs, { text: `${whose} ends at ${until}Z: then ${consequence}`, fix })]
      : [];
  });
  return [
    ...dated,
    ...(revocation.required ? missing(roots, lists).map((text) => say("over", now, { text, fix })) : []),
  ];
}

/** Of lists of one issuer the newest counts. */
function newest(lists: readonly RevocationList[]): readonly RevocationList[] {
  const byIssuer = new Map<string, RevocationList>();
  for (const list of lists) {
    const issuer = Buffer.from(list.issuer).toString("hex");
    const held = byIssuer.get(issuer);
    if (held === undefined || held.thisUpdateMs < list.thisUpdateMs) byIssuer.set(issuer, list);
  }
  return [...byIssuer.values()];
}

/** Lists live for hours or for months: the last third of a life is near, and of a long one the last week. */
function isNear({ thisUpdateMs, nextUpdateMs }: RevocationList, now: number): boolean {
  return nextUpdateMs - now < Math.min(7 * dayMs, (nextUpdateMs - thisUpdateMs) / 3);
}

/** Of CAs below the roots nothing is known here: a client brings them along. */
function missing(roots: readonly string[], lists: readonly RevocationList[]): readonly string[] {
  return roots
    .map((pem) => readCertificate(new Uint8Array(new X509Certificate(pem).raw)))
    .filter(({ subject }) => !lists.some(({ issuer }) => Buffer.compare(issuer, subject) === 0))
    .map(({ subject }) => `no revocation list of ${nameOf(subject)}: whatever it issues is denied`);
}

function nameOf(name: Uint8Array): string {
  try {
    return printName(readName(name));
  } catch {
    // A name that two readers could print in two ways is shown as nobody's.
    return "a CA whose name is not plain";
  }
}
