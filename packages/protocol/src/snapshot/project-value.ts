// Promises what a projection keeps of a JSON value, and nothing else: what it does not name is not in the result, whatever the value looks like.
// Pure. Trusts the value to have been read strictly, so that no name stands twice. Specified in docs/formats/snapshot.md "Payloads".
import { droppedNode, type Projection } from "./objects.ts";

/** As deep as JSON is read. */
const depthMax = 64;

/** A copy of what is kept; null: nothing is. Throws TypeError for a projection that names a place it does not have. */
export function projectValue(projection: Projection, value: unknown): unknown {
  return kept(projection, value, { index: 0, depth: 0 }) ?? null;
}

/** A number kept as it was written (JSON.rawJSON): no object that JSON.parse makes is without a prototype. */
const isRawNumber = (value: object): boolean => Object.getPrototypeOf(value) === null;

interface Here {
  readonly index: number;
  readonly depth: number;
}

/** Undefined: it is dropped. */
function kept(projection: Projection, value: unknown, { index, depth }: Here): unknown {
  const node = projection[index];
  if (node === undefined || depth > depthMax) throw new TypeError("a projection that does not lead anywhere");
  if (value === null) return null;
  if (typeof value !== "object" || isRawNumber(value)) return node.scalar === false ? undefined : value;
  const below = (at: number, inner: unknown) => kept(projection, inner, { index: at, depth: depth + 1 });
  if (Array.isArray(value)) {
    const { items = droppedNode } = node;
    return items === droppedNode ? [] : value.map((item) => below(items, item)).filter((item) => item !== undefined);
  }
  const { members = {}, rest = droppedNode } = node;
  const result: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    const at = Object.hasOwn(members, name) ? members[name] : rest;
    // `__proto__` as a name would set what it must only hold.
    if (at === undefined || at === droppedNode || name === "__proto__") continue;
    const found = below(at, inner);
    if (found !== undefined) result[name] = found;
  }
  return result;
}
