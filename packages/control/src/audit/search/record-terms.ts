// Promises what a record can be found by: its terms, the same when it is indexed and when a hit is judged. Trusts the origin, which a checkpoint
// proves, and no claim of a leaf about where it was written. Fields: docs/audit-search.md; leaves: docs/formats/leaf.md.
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { LeafRefused, leafBytesMax, parseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";

/** Everything that can be asked for by value. */
export const searchFields = [
  "kind",
  "id",
  "caller",
  "subject",
  "client",
  "actor",
  "token",
  "address",
  "operation",
  "system",
  "integration",
  "outcome",
  "verdict",
  "code",
  "stage",
  "mode",
  "proof",
  "issuer",
  "policy",
  "status",
  "action",
  "object",
  "grant",
  "node",
  "role",
  "environment",
  "odd",
] as const;
export type SearchField = (typeof searchFields)[number];

/** `odd`: bytes that are no leaf (they are in the tree all the same), or a leaf that claims to be of another place than its origin. */
export type Oddity = "unreadable" | "foreign-place";

export type OriginPlace = Pick<HeldOrigin, "origin" | "tenant" | "environment" | "node" | "role">;

/** A record as it is indexed: its leaf, and for the outcome of an effect the leaf of its intent, which says whose it was. */
export interface ReadRecord {
  readonly leaf: Leaf | null;
  readonly intent: Leaf | null;
}

/** Null: these bytes are no leaf of a version known here. */
export function readLeaf(bytes: Uint8Array): Leaf | null {
  try {
    return bytes.length > leafBytesMax ? null : parseLeafText(leafTextOf(bytes));
  } catch (error) {
    if (error instanceof LeafRefused) return null;
    throw error;
  }
}

/** A character per byte, as leaves are read. */
export const leafTextOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** Gateways record for their own environment alone; control for every one. */
function isForeign(leaf: Leaf, place: OriginPlace): boolean {
  return (
    leaf.node !== place.node ||
    leaf.tenant !== place.tenant ||
    (place.role === "gateway" && leaf.environment !== place.environment)
  );
}

export function oddityOf(leaf: Leaf | null, place: OriginPlace): Oddity | null {
  if (leaf === null) return "unreadable";
  return isForeign(leaf, place) ? "foreign-place" : null;
}

/** Calls `visit` with every term of a record. Values have the closed forms of leaves, or come from the origin. */
export function visitTerms(
  { leaf, intent }: ReadRecord,
  place: OriginPlace,
  visit: (field: SearchField, value: string) => void,
): void {
  visit("node", place.node);
  visit("role", place.role);
  const odd = oddityOf(leaf, place);
  visit(
    "environment",
    odd === null && leaf !== null && place.role !== "gateway" ? leaf.environment : place.environment,
  );
  if (odd !== null) visit("odd", odd);
  if (leaf === null) return;
  visit("kind", leaf.t);
  if ("id" in leaf) visit("id", leaf.id);
  visitLeaf(leaf, visit);
  if (intent !== null) visitLeaf(intent, visit);
}

/** Members that are terms under their own name where a leaf has them and they are not null. */
const plainMembers = [
  "caller",
  "subject",
  "client",
  "actor",
  "token",
  "address",
  "integration",
  "outcome",
  "verdict",
  "code",
  "stage",
  "mode",
  "proof",
  "issuer",
  "action",
  "object",
] as const satisfies readonly SearchField[];

function visitLeaf(leaf: Leaf, visit: (field: SearchField, value: string) => void): void {
  // A leaf is a flat record; members that a type lacks are undefined.
  const members = leaf as unknown as Readonly<Record<string, unknown>>;
  for (const name of plainMembers) {
    const value = members[name];
    if (typeof value === "string") visit(name, value);
  }
  if ("operation" in leaf && leaf.operation !== null) visitOperation(leaf.operation, visit);
  if ("status" in leaf) visit("status", String(leaf.status));
  if ("policies" in leaf) for (const policy of leaf.policies) visit("policy", policy);
  if ("grants" in leaf) for (const grant of leaf.grants) visit("grant", grant);
  if ("operations" in leaf) for (const operation of leaf.operations ?? []) visitOperation(operation, visit);
  // Strangers beyond the first eight: the address is known by its prefix alone.
  if (leaf.t === "denials") visit("address", leaf.prefix);
}

function visitOperation(operation: string, visit: (field: SearchField, value: string) => void): void {
  visit("operation", operation);
  visit("system", operation.slice(0, operation.indexOf(":")));
}
