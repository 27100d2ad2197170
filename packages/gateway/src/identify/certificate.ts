// Promises which system a connection's client certificate proves under a snapshot, judged strictly once per connection and snapshot and against
// the clock every time. Trusts OpenSSL's path building and kernel/x509's judgement of it. Specified in DESIGN §12 Certificates, RFC 8705.
import { TLSSocket } from "node:tls";
import { describeNames, judgePeer, type Peer, type PeerReading, readPeer } from "@sallyport/kernel/x509/peer-policy.ts";
import type { ProblemCode } from "@sallyport/protocol/problem.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { CompiledSystem, Estate } from "../snapshot/estate.ts";

export type PeerJudgement =
  | { readonly kind: "proven"; readonly system: CompiledSystem; readonly x5t: string; readonly expiresAtMs: number }
  /** A certificate was presented and proves nobody. */
  | { readonly kind: "deny"; readonly verdict: Deny; readonly x5t: string };

const declaredShownMax = 3;

interface Judged {
  readonly estate: Estate;
  readonly judgement: PeerJudgement | null;
}

/** Remembers per connection what was read and judged. */
export function createPeerJudge(now: () => number): (socket: object, estate: Estate) => PeerJudgement | null {
  const readings = new WeakMap<object, PeerReading>();
  const judged = new WeakMap<object, Judged>();
  return (socket, estate) => {
    if (!(socket instanceof TLSSocket)) return null;
    const known = judged.get(socket);
    if (known !== undefined && known.estate === estate && isCurrent(known.judgement, now())) return known.judgement;
    const reading = readings.get(socket) ?? readPeer(socket);
    readings.set(socket, reading);
    const judgement = judge(reading, estate, now());
    judged.set(socket, { estate, judgement });
    return judgement;
  };
}

/** A proof holds until the first certificate or list behind it ends: then it is judged again, and says which. */
function isCurrent(judgement: PeerJudgement | null, nowMs: number): boolean {
  return judgement?.kind !== "proven" || nowMs < judgement.expiresAtMs;
}

function judge(reading: PeerReading, estate: Estate, nowMs: number): PeerJudgement | null {
  if (reading.kind === "none") return null;
  if (reading.kind === "refused") return no(reading.code, reading.reason, "");
  return judgeAgainst(reading.peer, { estate, nowMs });
}

/** Tries the identities whose name the certificate bears; names are unique over systems, so at most one can be proven. */
function judgeAgainst(peer: Peer, under: { estate: Estate; nowMs: number }): PeerJudgement {
  let refusal = no("certificate-unknown", "no system declares a name of this certificate", peer.x5t, {
    expected: nearestDeclared(peer, under.estate),
    sent: `${peer.chain[0] === undefined ? "no certificate" : describeNames(peer.chain[0])}, x5t ${peer.x5t}`,
  });
  for (const key of identityKeys(peer)) {
    const declared = under.estate.certificates.get(key);
    if (declared === undefined) continue;
    const trust = under.estate.bundles.get(declared.identity.trust);
    if (trust === undefined) continue;
    const verdict = judgePeer({ peer, identity: declared.identity, trust, nowMs: under.nowMs });
    if (verdict.kind === "allow")
      return { kind: "proven", system: declared.system, x5t: peer.x5t, expiresAtMs: verdict.notAfterMs };
    refusal = no(verdict.code, verdict.reason, peer.x5t, verdict.facts);
  }
  return refusal;
}

/** Key of a declared or presented name in `Estate.certificates`. */
export function identityKey(kind: string, value: string): string {
  return kind === "dns" ? `dns:${value.toLowerCase()}` : `${kind}:${value}`;
}

function identityKeys(peer: Peer): string[] {
  const names = peer.chain[0]?.names ?? [];
  return [identityKey("x5t", peer.x5t), ...names.map((name) => identityKey(name.kind, name.value))];
}

/** The declared names that begin most like those presented: one of them was probably meant. */
function nearestDeclared(peer: Peer, estate: Estate): string {
  const presented = identityKeys(peer);
  const alike = (declared: string): number => Math.max(...presented.map((name) => commonPrefix(name, declared)));
  const nearest = [...estate.certificates]
    .map(([name, { system }]) => ({ name, system: system.id, alike: alike(name) }))
    .sort((a, b) => b.alike - a.alike)
    .slice(0, declaredShownMax);
  return nearest.length === 0
    ? "a declared certificate, and no system of this environment declares one"
    : nearest.map(({ name, system }) => `${name} (${system})`).join(", ");
}

function commonPrefix(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at += 1;
  return at;
}

function no(code: ProblemCode, why: string, x5t: string, facts: Readonly<Record<string, string>> = {}): PeerJudgement {
  return { kind: "deny", verdict: deny("identify", code, { why, ...facts }), x5t };
}
