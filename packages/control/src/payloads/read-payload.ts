// Promises an operator what was kept of a crossing while its key exists, and in words what became of it otherwise. Trusts api.ts, which has recorded the
// look-up before this is asked, and the archive, which holds only what its node signed. Specified in docs/payloads.md "Reading".
import { hash } from "node:crypto";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { SealFault } from "@sallyport/kernel/seal/seal-fault.ts";
import type { Leaf, PayloadDirection, UnkeptReason } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { payloadContext } from "@sallyport/protocol/audit/payload.ts";
import { AdminFault } from "../admin/actions.ts";
import { findArchived } from "../audit/archive/find-archived.ts";
import type { ControlParts } from "../control-parts.ts";

type PayloadLeaf = Extract<Leaf, { readonly t: "payload" }>;

/**
 * `kept`: `content` is JSON. `erased`, `expired`: its key was destroyed. `locked`: its key came back with a restore. `gone`: there is no such key, and
 * this store does not know why. `damaged`: what the archive holds is not what the leaf names.
 */
export type PayloadPart =
  | { readonly direction: PayloadDirection; readonly state: "kept"; readonly content: string; readonly endsAt: number }
  | { readonly direction: PayloadDirection; readonly state: "erased"; readonly at: number }
  | { readonly direction: PayloadDirection; readonly state: "expired"; readonly at: number }
  | { readonly direction: PayloadDirection; readonly state: "locked" | "gone" | "damaged" }
  | { readonly direction: PayloadDirection; readonly state: "unkept"; readonly reason: UnkeptReason };

export interface PayloadReport {
  readonly id: string;
  readonly payloads: readonly PayloadPart[];
}

/** Throws AdminFault `not-found` where the archive has no word about a payload of this crossing. */
export async function readPayload(
  parts: Pick<ControlParts, "archive" | "payloadKeys" | "clock">,
  id: string,
): Promise<PayloadReport> {
  const node = /^(.+)-[0-7][0-9A-HJKMNP-TV-Z]{25}$/.exec(id)?.[1];
  const found = node === undefined ? [] : await findArchived(parts.archive.directory, node, id);
  const payloads: PayloadPart[] = [];
  for (const record of found) {
    const part = await partOf(parts, record);
    if (part !== null) payloads.push(part);
  }
  if (payloads.length > 0) return { id, payloads };
  throw new AdminFault(
    "not-found",
    `the archive has no payload of ${id}`,
    "a gateway ships its records within seconds: ask again; an operation keeps payloads only where its `payload` says so",
  );
}

async function partOf(
  parts: Pick<ControlParts, "payloadKeys" | "clock">,
  { leaf: bytes, reference }: FoundRecord,
): Promise<PayloadPart | null> {
  const leaf = parseLeaf(bytes);
  if (leaf.t === "unkept") return { direction: leaf.direction, state: "unkept", reason: leaf.reason };
  if (leaf.t !== "payload") return null;
  const { direction, dataSubject: subject, endsAt } = leaf;
  if (reference === null || hash("sha256", reference, "hex") !== leaf.content) return { direction, state: "damaged" };
  try {
    const { tenant, environment } = leaf;
    const key = await parts.payloadKeys.opener({ tenant, environment, subject }, leaf.key);
    if (key.kind === "locked") return { direction, state: "locked" };
    if (key.kind === "gone") return goneOf(leaf, key.erasedAt, parts.clock.now());
    const content = Buffer.from(key.opener.open(payloadContext(leaf), reference)).toString("utf8");
    return { direction, state: "kept", content, endsAt };
  } catch (fault) {
    // Another key than it is sealed to, another data subject's, another crossing's, or changed bytes.
    if (fault instanceof SealFault) return { direction, state: "damaged" };
    throw fault;
  }
}

/** A later erasure says nothing of a key that had ended before it, and an earlier one nothing of one that was made after it. */
function goneOf({ direction, at, endsAt }: PayloadLeaf, erasedAt: number | null, now: number): PayloadPart {
  if (erasedAt !== null && erasedAt >= at - staleMs && erasedAt < endsAt)
    return { direction, state: "erased", at: erasedAt };
  return endsAt <= now ? { direction, state: "expired", at: endsAt } : { direction, state: "gone" };
}

/** A gateway may have sealed to a key that was destroyed meanwhile (payload-keys.ts), by a clock that is not control's. */
const staleMs = 120_000;
