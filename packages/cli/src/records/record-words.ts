// Promises records as rows for people and for spreadsheets: names where they are known, else pseudonyms, and where to find the leaf.
// Trusts control's answer to be the leaf; `audit prove` shows whether it is. Specified in docs/cli/audit.md.
import type { RecordHit } from "@sallyport/control/audit/search/search-actions.ts";

type Names = Readonly<Record<string, string>>;

export const recordHeadings = ["AT", "NODE", "KIND", "WHO", "WHAT", "RESULT", "ID"] as const;

/** One line of a table. */
export function recordRow(hit: RecordHit, names: Names): readonly string[] {
  const leaf = membersOf(hit);
  const text = (name: string) => textOf(leaf[name], names);
  return [
    new Date(hit.at).toISOString(),
    hit.node,
    hit.odd ?? text("t"),
    whoOf(text),
    text("operation") ||
      [text("action"), text("object")].filter(Boolean).join(" ") ||
      text("audience") ||
      text("integration") ||
      text("direction") ||
      "-",
    resultOf(text, leaf),
    text("id") || `#${hit.index}`,
  ];
}

type Text = (name: string) => string;

function whoOf(text: Text): string {
  const who =
    text("caller") || text("client") || text("actor") || text("prefix") || text("address") || text("dataSubject");
  const subject = text("subject");
  return [who || "-", ...(subject === "" ? [] : [`for ${subject}`])].join(" ");
}

function resultOf(text: Text, leaf: Readonly<Record<string, unknown>>): string {
  const outcome = text("outcome") || text("verdict") || "-";
  const status = typeof leaf["status"] === "number" && leaf["status"] > 0 ? String(leaf["status"]) : "";
  const count = typeof leaf["count"] === "number" ? `×${leaf["count"]}` : "";
  return [outcome, status, text("code"), text("reason"), count].filter(Boolean).join(" ");
}

/** The leaf's members, over those of the intent it belongs to. */
function membersOf({ leaf, intent, odd }: RecordHit): Readonly<Record<string, unknown>> {
  if (odd === "unreadable") return {};
  // Control has parsed it: a leaf is a JSON object.
  const members = JSON.parse(leaf) as Record<string, unknown>;
  return intent === null ? members : { ...(JSON.parse(intent) as Record<string, unknown>), ...members };
}

const textOf = (value: unknown, names: Names): string => (typeof value === "string" ? (names[value] ?? value) : "");

const csvMembers = [
  "kind",
  "caller",
  "subject",
  "client",
  "actor",
  "token",
  "address",
  "operation",
  "integration",
  "verdict",
  "outcome",
  "code",
  "status",
  "action",
  "object",
] as const;

export const csvHeadings: readonly string[] = [
  "at",
  "origin",
  "index",
  "leafHash",
  "node",
  "environment",
  "id",
  ...csvMembers,
];

export function csvRow(hit: RecordHit, names: Names): readonly string[] {
  const leaf = membersOf(hit);
  const cells = csvMembers.map((name) => {
    const value = leaf[name === "kind" ? "t" : name];
    return typeof value === "number" ? String(value) : textOf(value, names);
  });
  const { at, origin, index, leafHash, node, environment } = hit;
  return [
    new Date(at).toISOString(),
    origin,
    String(index),
    leafHash,
    node,
    environment,
    textOf(leaf["id"], names),
    ...cells,
  ];
}

/** RFC 4180. A cell that a spreadsheet would take for a formula is said to be text. */
export function csvLine(cells: readonly string[]): string {
  const quoted = cells.map((cell) => {
    const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  });
  return quoted.join(",");
}

/** A hit as JSON: the leaf parsed, names in place beside the pseudonyms. */
export function printedHit(hit: RecordHit, names: Names): object {
  const { leaf, intent, ...where } = hit;
  const used = Object.entries(names).filter(([pseudonym]) => `${leaf}${intent ?? ""}`.includes(`"${pseudonym}"`));
  const read = hit.odd === "unreadable" ? leaf : JSON.parse(leaf);
  return { ...where, leaf: read, intent: intent === null ? null : JSON.parse(intent), names: Object.fromEntries(used) };
}
