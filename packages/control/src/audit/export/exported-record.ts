// Promises one record as every encoder sees it: its leaf, where it stands in its log, its hash, and the record that this sink was sent before it.
// Pure. Trusts the held records, which a signed checkpoint covers. Specified in docs/export.md.
import { hash } from "node:crypto";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { leafText, parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { type AdminLeaf, findingStepOf } from "../../watch/finding-leaf.ts";
import { ruleWords } from "../../watch/rule-words.ts";

/** How much a record should worry somebody; the words and numbers of OCSF's `severity_id`. */
export const severities = { informational: 1, low: 2, medium: 3, high: 4, critical: 5 } as const;
export type SeverityName = keyof typeof severities;
export type Severity = (typeof severities)[SeverityName];

export interface ExportedRecord {
  readonly origin: string;
  readonly index: number;
  /** Index of the record of this origin that the sink was given before this one; null: none, or it was sent again from here. */
  readonly previous: number | null;
  /** SHA-256(0x00 ‖ leaf), 64 hexadecimal digits. */
  readonly leafHash: string;
  readonly leaf: Leaf;
  /** The very bytes of the leaf, which are ASCII. */
  readonly text: string;
  readonly severity: Severity;
}

/** Declared name of a pseudonym, where the sink may say it and there is one. */
export type NameOf = (pseudonym: string) => string | undefined;
export const noNames: NameOf = () => undefined;

const leafMark = Buffer.of(0);

/** The leaf hash of RFC 6962 §2.1, in hexadecimal digits. */
export function leafHashOf(leaf: Uint8Array): string {
  return hash("sha256", Buffer.concat([leafMark, leaf]), "hex");
}

/** Throws LeafRefused where the leaf has no form this version knows. */
export function readRecord(origin: string, found: FoundRecord, previous: number | null): ExportedRecord {
  const leaf = parseLeaf(found.leaf);
  return {
    origin,
    index: found.index,
    previous,
    leafHash: leafHashOf(found.leaf),
    leaf,
    text: leafText(found.leaf),
    severity: severityOf(leaf),
  };
}

/** Acts that take something away, or let somebody in: worth a look wherever they come from. */
const gravity = /\.(?:kill|revoke|suspend|retire|restore|confirm|delete|remove|erase)$|^(?:gateway\.token|export\.)/;

/** Pure; a table in docs/export.md "Severity". */
export function severityOf(leaf: Leaf): Severity {
  switch (leaf.t) {
    case "crossing":
      if (leaf.verdict === "deny") return leaf.caller === null ? severities.low : severities.medium;
      return severityOfOutcome(leaf.outcome);
    case "intent":
      return leaf.verdict === "deny" ? severities.medium : severities.informational;
    case "outcome":
      return severityOfOutcome(leaf.outcome);
    case "denials":
      return severities.medium;
    case "issuance":
      return leaf.verdict === "deny" ? severities.medium : severities.informational;
    case "admin":
      return severityOfAct(leaf);
    case "start":
      return leaf.recovered > 0 ? severities.medium : severities.informational;
    default:
      return severities.informational;
  }
}

/** A finding weighs what its rule weighs. */
function severityOfAct(leaf: AdminLeaf): Severity {
  const finding = findingStepOf(leaf);
  if (finding?.step === "raised") return severities[ruleWords(finding.rule)?.severity ?? "medium"];
  return gravity.test(leaf.action) ? severities.medium : severities.informational;
}

function severityOfOutcome(outcome: string): Severity {
  if (outcome === "unknown") return severities.medium;
  return outcome === "system-error" ? severities.low : severities.informational;
}

/** What a sink is for. An absent list lets everything through. */
export interface ExportFilter {
  readonly environments: readonly string[] | null;
  /** Leaf types. */
  readonly kinds: readonly string[] | null;
  /** Records that have no verdict pass. */
  readonly verdicts: readonly ("allow" | "deny")[] | null;
  readonly severity: Severity;
}

export function passes(record: Pick<ExportedRecord, "leaf" | "severity">, filter: ExportFilter): boolean {
  const { leaf, severity } = record;
  if (severity < filter.severity) return false;
  if (filter.environments !== null && !filter.environments.includes(leaf.environment)) return false;
  if (filter.kinds !== null && !filter.kinds.includes(leaf.t)) return false;
  return filter.verdicts === null || !("verdict" in leaf) || filter.verdicts.includes(leaf.verdict);
}

/** What any format says of where a record stands, under these names: with it a copy can be held against the log. */
export function placeOf({ origin, index, previous, leafHash }: ExportedRecord) {
  return { origin, index, previous, leaf_hash: leafHash };
}

/** `<system>` and `<name>` of an operation; it is declared, or `<system>:(undeclared)`. */
export function splitOperation(operation: string): { readonly system: string; readonly name: string } {
  const at = operation.indexOf(":");
  return { system: operation.slice(0, at), name: operation.slice(at + 1) };
}
