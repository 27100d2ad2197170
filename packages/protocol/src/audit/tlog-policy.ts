// Promises trust policies: which logs are known, which witnesses, and how many of them must have cosigned; parsed strictly, evaluated purely.
// Trusts the keys the policy names and nothing in the note that they did not sign. Specified by C2SP tlog-policy.

import { sameBytes } from "./base64.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { parseWitnessKey, verifyCosignatures, type WitnessKey } from "./cosignature.ts";
import type { Sha256 } from "./merkle.ts";
import { type NoteCrypto, type NoteVerifier, parseVerifierKey } from "./note.ts";

export const policyBytesMax = 65_536;
/** Logs, witnesses and groups, each. */
export const policyItemsMax = 256;

export interface PolicyWitness {
  readonly key: WitnessKey;
  readonly url: string | null;
}

export interface PolicyGroup {
  /** Members that must have witnessed: 1 to their number. */
  readonly threshold: number;
  readonly members: readonly string[];
}

export interface TlogPolicy {
  readonly logs: readonly { readonly key: NoteVerifier; readonly url: string | null }[];
  /** By name (octets, as Latin-1 text). */
  readonly witnesses: ReadonlyMap<string, PolicyWitness>;
  readonly groups: ReadonlyMap<string, PolicyGroup>;
  /** A witness, a group, or null: no cosignature is asked for. */
  readonly quorum: string | null;
}

export type ParsedPolicy =
  | { readonly kind: "ok"; readonly policy: TlogPolicy }
  /** `line` from 1. */
  | { readonly kind: "malformed"; readonly line: number; readonly why: string };

interface Draft {
  readonly logs: { key: NoteVerifier; url: string | null }[];
  readonly witnesses: Map<string, PolicyWitness>;
  readonly groups: Map<string, PolicyGroup>;
  readonly members: Set<string>;
  quorum: string | null | undefined;
}

/** Reads a policy; every line that is not exactly of the specification ends it. */
export function parsePolicy(sha256: Sha256, bytes: Uint8Array): ParsedPolicy {
  if (bytes.length > policyBytesMax) return { kind: "malformed", line: 1, why: `more than ${policyBytesMax} bytes` };
  // Octets, one character each: names are opaque, so that no two spellings of one become one.
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  const lines = text.split("\n");
  if (lines.pop() !== "") return { kind: "malformed", line: lines.length + 1, why: "the last line has no newline" };
  const draft: Draft = { logs: [], witnesses: new Map(), groups: new Map(), members: new Set(), quorum: undefined };
  for (const [at, line] of lines.entries()) {
    const why = takeLine(sha256, draft, line);
    if (why !== null) return { kind: "malformed", line: at + 1, why };
  }
  const { quorum, logs, witnesses, groups } = draft;
  if (quorum === undefined) return { kind: "malformed", line: lines.length, why: "no quorum line" };
  return { kind: "ok", policy: { logs, witnesses, groups, quorum } };
}

/** Null, or why the line is not one. */
function takeLine(sha256: Sha256, draft: Draft, line: string): string | null {
  if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) return "a control character other than tab";
  const items = line.split(/[ \t]+/).filter((item) => item !== "");
  const [word, ...rest] = items;
  if (word === undefined || word.startsWith("#")) return null;
  switch (word) {
    case "log":
      return takeLog(sha256, draft, rest);
    case "witness":
      return takeWitness(sha256, draft, rest);
    case "group":
      return takeGroup(draft, rest);
    case "quorum":
      return takeQuorum(draft, rest);
    default:
      return "not a log, witness, group or quorum line";
  }
}

/** Keys and URLs are UTF-8 inside the file. */
function utf8Of(octets: string): string {
  return new TextDecoder().decode(Uint8Array.from(octets, (char) => char.charCodeAt(0)));
}

function takeLog(sha256: Sha256, draft: Draft, [vkey, url, ...more]: readonly string[]): string | null {
  if (vkey === undefined || more.length > 0) return "log takes a verifier key and at most a URL";
  const key = parseVerifierKey(sha256, utf8Of(vkey));
  if (key === null) return "not a verifier key of a log (Ed25519, type 0x01)";
  if (draft.logs.length >= policyItemsMax) return `more than ${policyItemsMax} logs`;
  if (draft.logs.some((log) => sameBytes(log.key.publicKey, key.publicKey))) return "the same log key twice";
  draft.logs.push({ key, url: url === undefined ? null : utf8Of(url) });
  return null;
}

function takeWitness(sha256: Sha256, draft: Draft, [name, vkey, url, ...more]: readonly string[]): string | null {
  if (name === undefined || vkey === undefined || more.length > 0)
    return "witness takes a name, a verifier key and at most a URL";
  const key = parseWitnessKey(sha256, utf8Of(vkey));
  if (key === null) return "not a verifier key of a witness (Ed25519 cosignatures, type 0x04)";
  if (draft.witnesses.size >= policyItemsMax) return `more than ${policyItemsMax} witnesses`;
  for (const known of draft.witnesses.values())
    if (sameBytes(known.key.publicKey, key.publicKey)) return "the same witness key twice";
  if (isTaken(draft, name)) return "the name is taken";
  draft.witnesses.set(name, { key, url: url === undefined ? null : utf8Of(url) });
  return null;
}

const isTaken = (draft: Draft, name: string) => name === "none" || isDefined(draft, name);
const isDefined = (draft: Draft, name: string) => draft.witnesses.has(name) || draft.groups.has(name);

function takeGroup(draft: Draft, [name, asked, ...members]: readonly string[]): string | null {
  if (name === undefined || asked === undefined || members.length === 0)
    return "group takes a name, how many (a number, any, all), and its members";
  if (draft.groups.size >= policyItemsMax) return `more than ${policyItemsMax} groups`;
  if (isTaken(draft, name)) return "the name is taken";
  const threshold = asked === "any" ? 1 : asked === "all" ? members.length : parseThreshold(asked);
  if (threshold === null || threshold > members.length)
    return "not any, all, or a number from 1 to that of the members";
  for (const member of members) {
    if (!isDefined(draft, member)) return "a member that no line before this one defines";
    if (draft.members.has(member)) return "a member that is listed already";
    draft.members.add(member);
  }
  draft.groups.set(name, { threshold, members });
  return null;
}

const parseThreshold = (text: string) => (/^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : null);

function takeQuorum(draft: Draft, [name, ...more]: readonly string[]): string | null {
  if (name === undefined || more.length > 0) return "quorum takes one name";
  if (draft.quorum !== undefined) return "a second quorum line";
  if (name !== "none" && !isDefined(draft, name)) return "a name that no line before this one defines";
  draft.quorum = name === "none" ? null : name;
  return null;
}

/** Do the witnesses that cosigned (by name) meet the quorum? */
export function meetsQuorum(policy: TlogPolicy, cosigned: ReadonlySet<string>): boolean {
  // Members are defined before their group, so one pass in order of definition decides them all.
  const witnessed = new Set([...policy.witnesses.keys()].filter((name) => cosigned.has(name)));
  for (const [name, { threshold, members }] of policy.groups) {
    if (members.filter((member) => witnessed.has(member)).length >= threshold) witnessed.add(name);
  }
  return policy.quorum === null || witnessed.has(policy.quorum);
}

export type PolicyVerdict =
  | {
      readonly kind: "ok";
      readonly checkpoint: Checkpoint;
      /** Names in the policy of the witnesses that cosigned, with the POSIX seconds of their cosignature. */
      readonly cosigned: ReadonlyMap<string, number>;
    }
  | {
      readonly kind: "refused";
      readonly why: "malformed" | "unsigned" | "bad-signature" | "foreign-origin" | "no-quorum";
      readonly cosigned: ReadonlyMap<string, number>;
    };

/**
 * Seconds a cosignature may be dated ahead of the reader's clock. One from further ahead nobody can have made yet: its witness has no clock to speak of
 * (tlog-cosignature), or somebody who had its key for a moment made lines for years to come.
 */
export const clocksApartSecondsMax = 600;

/** What the reader knows beside the policy. */
export interface KnownBeside {
  /** Keys of logs, for a policy that names none; they are not added to those it names. */
  readonly logs?: readonly NoteVerifier[];
  /** Milliseconds since the epoch, by the reader's clock: a cosignature dated more than `clocksApartSecondsMax` later does not count. */
  readonly now: number;
}

/** Is the checkpoint signed by a known log under its own origin and cosigned as the policy asks? */
export function judgeByPolicy(
  crypto: NoteCrypto,
  policy: TlogPolicy,
  note: string,
  { logs = [], now }: KnownBeside,
): PolicyVerdict {
  const none: ReadonlyMap<string, number> = new Map();
  const keys = policy.logs.length > 0 ? policy.logs.map(({ key }) => key) : logs;
  const log = verifyCheckpoint(crypto, note, { origin: null, keys });
  if (log.kind === "refused") return { kind: "refused", why: log.why, cosigned: none };
  // A key speaks for the log that bears its name, not for whatever origin it signed.
  if (!log.signedBy.some(({ name }) => name === log.checkpoint.origin))
    return { kind: "refused", why: "foreign-origin", cosigned: none };
  const names = new Map([...policy.witnesses].map(([name, { key }]) => [key, name]));
  const verdict = verifyCosignatures(crypto, note, [...names.keys()]);
  if (verdict.kind === "refused") return { kind: "refused", why: verdict.why, cosigned: none };
  const dated = verdict.cosigned.filter(({ time }) => time <= now / 1_000 + clocksApartSecondsMax);
  const cosigned = new Map(dated.map(({ witness, time }) => [names.get(witness) ?? "", time]));
  return meetsQuorum(policy, new Set(cosigned.keys()))
    ? { kind: "ok", checkpoint: log.checkpoint, cosigned }
    : { kind: "refused", why: "no-quorum", cosigned };
}
