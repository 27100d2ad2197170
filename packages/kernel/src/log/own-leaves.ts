// Promises the leaves that only the log itself writes: how an origin begins, and the end of what was open when a process died. Trusts the identity given.
// Specified in docs/formats/leaf.md "Origins" and "Crossings and completeness".
import { createHash } from "node:crypto";
import { printHex } from "@sallyport/protocol/audit/base64.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseNote } from "@sallyport/protocol/audit/note.ts";
import type { KeptCheckpoint } from "./checkpoint-files.ts";
import type { LogIdentity } from "./origin.ts";
import type { Seam } from "./seam.ts";

/** Where and when a leaf of the log's own is made; `now` in milliseconds since the epoch. */
export function placeOf({ tenant, environment, region, node }: LogIdentity, now: number) {
  return { at: Math.max(0, Math.trunc(now)), tenant, environment, region, node };
}

type Place = ReturnType<typeof placeOf>;

export function unknownOutcome(id: string, place: Place): Leaf {
  const nothing = { status: 0, upstreamStatus: 0, bytesIn: 0, bytesOut: 0, totalUs: 0, upstreamUs: 0 };
  return { t: "outcome", id, ...place, outcome: "unknown", ...nothing };
}

type End = Pick<Seam, "origin" | "size" | "previous">;

/** The first leaf of an origin; `before`: the end of the one it goes on from. */
export function originLeaf(origin: string, before: End | null, place: Place): Leaf {
  return {
    t: "origin",
    ...place,
    origin,
    previous: before === null ? null : printHex(before.previous),
    previousOrigin: before?.origin ?? null,
    previousSize: before?.size ?? 0,
  };
}

export function seamOf({ origin, size, note }: KeptCheckpoint): End {
  const body = parseNote(note)?.text ?? "";
  return { origin, size, previous: createHash("sha256").update(body).digest() };
}
