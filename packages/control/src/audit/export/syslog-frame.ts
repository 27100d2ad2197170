// Promises one record as an RFC 5424 message in an RFC 6587/5425 frame that counts its octets: nothing in a record can end it or begin another.
// Pure. Trusts nothing in the record's texts. Specified by RFC 5424, RFC 5425 and docs/export.md "Syslog".
import { version as productVersion } from "../../version.ts";
import type { EncodedRecord } from "./encode.ts";
import type { Severity } from "./exported-record.ts";

export interface SyslogOptions {
  /** Private enterprise number behind the name of our structured data. */
  readonly enterprise: number;
  readonly facility: number;
  /** The message is the leaf itself, and nothing around it. */
  readonly bare: boolean;
}

/** RFC 5424 §6.1: receivers SHOULD take 8,192 octets; of what is longer only the structured data is sent, which names the leaf. */
export const messageBytesMax = 8_192;
/** §7.3.1. */
const sequenceIdMax = 2_147_483_647;

/** Informational, notice, warning, error, critical: by our severity. */
const priorities: Readonly<Record<Severity, number>> = { 1: 6, 2: 5, 3: 4, 4: 3, 5: 2 };

export function syslogFrame(encoded: EncodedRecord, options: SyslogOptions): string {
  const { record, json } = encoded;
  const { leaf, severity } = record;
  const head = [
    `<${options.facility * 8 + priorities[severity]}>1`,
    new Date(leaf.at).toISOString(),
    headerWord(leaf.node, 255),
    "sallyport",
    "-",
    headerWord(leaf.t, 32),
  ].join(" ");
  const isLong = head.length + json.length + 1_024 > messageBytesMax;
  const message = `${head} ${structuredData(encoded, options, isLong)}${isLong ? "" : ` ${json}`}`;
  // Everything is ASCII: a character is an octet.
  return `${message.length} ${message}`;
}

function structuredData({ record }: EncodedRecord, { enterprise }: SyslogOptions, isLong: boolean): string {
  const { leaf, origin, index, previous, leafHash } = record;
  const parameters: (readonly [string, string | number | null | undefined])[] = [
    ["origin", origin],
    ["idx", index],
    ["prev", previous],
    ["leaf", leafHash],
    ["cid", "id" in leaf ? leaf.id : null],
    ["env", leaf.environment],
    ["prin", principalOf(leaf)],
    ["op", "operation" in leaf ? leaf.operation : "action" in leaf ? leaf.action : null],
    ["dec", "verdict" in leaf ? leaf.verdict : null],
    ["out", "outcome" in leaf ? leaf.outcome : null],
    ["code", "code" in leaf ? leaf.code : null],
    ["rule", "policies" in leaf ? leaf.policies[0] : null],
    ["omitted", isLong ? "message" : null],
  ];
  const audit = parameters
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}="${escapeValue(String(value))}"`);
  return (
    `[audit@${enterprise} ${audit.join(" ")}]` +
    `[meta sequenceId="${(index % sequenceIdMax) + 1}"]` +
    `[origin software="Sallyport" swVersion="${productVersion}"]`
  );
}

function principalOf(leaf: EncodedRecord["record"]["leaf"]): string | null {
  if ("caller" in leaf) return leaf.caller;
  if ("client" in leaf) return leaf.client;
  return "actor" in leaf ? leaf.actor : null;
}

/** §6.3.3: these three, and nothing else, are escaped; control characters have no business here and are left out. */
export function escapeValue(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, "").replace(/["\\\]]/g, (character) => `\\${character}`);
}

/** PRINTUSASCII (§6); what is not is left out, and nothing at all is the nil value. */
function headerWord(text: string, max: number): string {
  return text.replace(/[^\x21-\x7e]/g, "").slice(0, max) || "-";
}
