// Promises the words with which a gateway ships its audit log to control's archive. Trusts the mTLS connection they travel on.
// Specified in docs/formats/join.md "Archive".

/** A shipment has about so many bytes of entries, or one entry that is larger. */
export const shipmentBytes = 262_144;
/** Its largest: one entry more than that. */
export const shipmentBytesMax = shipmentBytes + 6 + 65_535 + 1_048_576;
export const shipmentEntriesMax = 2_048;

/** Why control takes nothing more of a log. What it holds stays. */
export type ArchiveRefusalCode =
  /** Not an origin of the node that ships. */
  | "foreign-origin"
  | "bad-signature"
  /** Another log key than the node's first. */
  | "key-changed"
  /** The node's checkpoint is shorter than what it signed before. */
  | "rolled-back"
  /** What was shipped does not give the root that the node signed. */
  | "forked"
  /** The first leaf does not name the end of the origin before. */
  | "broken-chain"
  /** Not entries of this node's log in their one form. */
  | "bad-records"
  | "too-many-origins";

/** What control says to a checkpoint and to a shipment. */
export type ArchiveAnswer =
  /** Leaves that control holds durably, and the leaves of the newest checkpoint that it found to be right over them. */
  | { readonly t: "held"; readonly size: number; readonly signed: number }
  | { readonly t: "refused"; readonly code: ArchiveRefusalCode }
  /** Not now: control is busy, its disk is full, or its archive cannot be read; `code` for operators. */
  | { readonly t: "later"; readonly code: "busy" | "disk-full" | "archive-fault"; readonly afterMs: number };

/** Path of a shipment: entries `from` to `from + count - 1` of an origin in their stored encoding (docs/formats/leaf.md "On disk") are the body. */
export function shipmentPath(origin: string, from: number, count: number): string {
  return `/channel/v1/archive/${from}/${count}?origin=${encodeURIComponent(origin)}`;
}

/** Reads such a path and query; null for anything else. */
export function parseShipmentPath(
  path: string,
  query: string,
): { readonly origin: string; readonly from: number; readonly count: number } | null {
  const [, from = "", count = ""] =
    /^\/channel\/v1\/archive\/(0|[1-9][0-9]{0,14})\/([1-9][0-9]{0,3})$/.exec(path) ?? [];
  const origin = new URLSearchParams(query).get("origin") ?? "";
  if (from === "" || Number(count) > shipmentEntriesMax || !/^[\x21-\x7e]{1,512}$/.test(origin)) return null;
  return { origin, from: Number(from), count: Number(count) };
}
