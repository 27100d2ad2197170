// Promises requests that try what a set of policies tells apart: its own literals and their neighbours, and values that it does not name; the same for the
// same seed. Pure. Trusts shapes. Specified in docs/policy.md "Compiled policies".
import type { PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";
import { seededRandom } from "../log/seeded-random.ts";
import { parseIpRange } from "./cedar-ip.ts";
import type { Asked } from "./evaluator.ts";
import type { Projection } from "./fit-request.ts";
import type { Reads } from "./reads.ts";
import type { Shape, ShapeType } from "./slice-schema.ts";

export interface SampleForm extends Pick<Asked, "slice" | "shapes"> {
  readonly reads: Reads;
  /** The providing system. */
  readonly system: string;
}

interface Literals {
  readonly texts: readonly string[];
  readonly numbers: readonly number[];
  /** Of entities. */
  readonly ids: readonly string[];
  /** What an attribute is compared with, by its name: that is where a decision turns. */
  readonly near: ReadonlyMap<string, ReadonlySet<string | number>>;
}

type Pick1 = <One>(of: readonly One[]) => One | undefined;

/** Requests that fit the schema, as an engine would have projected them. */
export function sampleRequests(
  policies: readonly PolicyJson[],
  form: SampleForm,
  { count, seed }: { readonly count: number; readonly seed: number },
): readonly Asked[] {
  const literals = literalsOf(policies);
  const random = seededRandom(seed);
  const pick: Pick1 = (of) => of[Math.floor(random() * of.length)];
  const { shapes, reads, system, slice } = form;
  const area = (shape: Shape, names: readonly string[]) => sampleArea(shape, names, { literals, pick, random });
  return Array.from({ length: count }, () => {
    const projection: Projection = {
      principal: area(shapes.principal, reads.principal),
      resource: area(shapes.resource, reads.resource),
      context: area(shapes.context, reads.context),
    };
    const principal = { id: pick([...literals.ids, "someone"]) ?? "someone" };
    return { slice, shapes, projection, inputs: { principal, resource: { system } } };
  });
}

interface Sampling {
  readonly literals: Literals;
  readonly pick: Pick1;
  readonly random: () => number;
}

function sampleArea(shape: Shape, names: readonly string[], sampling: Sampling): Projection["context"] {
  const values: Record<string, Projection["context"][string]> = {};
  for (const name of names) {
    const declared = shape[name];
    if (declared === undefined || (!declared.required && sampling.random() < 0.3)) continue;
    values[name] = sampleValue(declared.type, [...(sampling.literals.near.get(name) ?? [])], sampling);
  }
  return values;
}

const odd = ["", "x", "*", "\u{1f600}"];
const addresses = ["10.1.2.3", "127.0.0.1", "192.0.2.1", "224.0.0.1", "::1", "2001:db8::1", "ff02::1"];

/** @param near what the attribute is compared with */
function sampleValue(
  type: ShapeType,
  near: readonly (string | number)[],
  { literals, pick, random }: Sampling,
): Projection["context"][string] {
  const of = <One extends string | number>(own: readonly One[], others: readonly One[]) =>
    pick(own.length > 0 && random() < 0.7 ? own : others);
  const text = () =>
    of(
      near.filter((one) => typeof one === "string"),
      [...literals.texts, ...literals.ids, ...odd],
    ) ?? "";
  switch (type) {
    case "boolean":
      return random() < 0.5;
    case "long": {
      const some = [...literals.numbers, 0, 1, -1, 1_000, Number.MAX_SAFE_INTEGER];
      const number =
        of(
          near.filter((one) => typeof one === "number"),
          some,
        ) ?? 0;
      const moved = number + (pick([-1, 0, 0, 1]) ?? 0);
      return Number.isSafeInteger(moved) ? moved : number;
    }
    case "string":
      return text();
    case "strings":
      return [...new Set(Array.from({ length: Math.floor(random() * 4) }, text))].sort();
    default:
      return addressNear(near, pick) ?? "::1";
  }
}

function addressNear(near: readonly (string | number)[], pick: Pick1): string | undefined {
  const hosts = near.flatMap((one) =>
    typeof one === "string" && parseIpRange(one) !== null ? [one.split("/", 1)[0] ?? one] : [],
  );
  return pick([...hosts, ...addresses]);
}

/** What the policies name, in scopes and conditions. */
function literalsOf(policies: readonly PolicyJson[]): Literals {
  const near = new Map<string, Set<string | number>>();
  const found = { texts: new Set<string>(), numbers: new Set<number>(), ids: new Set<string>() };
  for (const { principal, action, resource, conditions } of policies)
    gather([principal, action, resource, conditions], near, found);
  const { texts, numbers, ids } = found;
  return { texts: [...texts], numbers: [...numbers], ids: [...ids], near };
}

interface Found {
  readonly texts: Set<string>;
  readonly numbers: Set<number>;
  readonly ids: Set<string>;
}

/** Bounded by the size of the policies, which is bounded by the size of their files. */
function gather(root: unknown, near: Map<string, Set<string | number>>, { texts, numbers, ids }: Found): void {
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const node = pending.pop();
    if (typeof node !== "object" || node === null) continue;
    for (const literal of literalsAt(node)) {
      if (typeof literal === "number") numbers.add(literal);
      else texts.add(literal);
    }
    if ("id" in node && typeof node.id === "string") ids.add(node.id);
    const compared = Object.entries(node).flatMap(([operator, operand]) =>
      logical.has(operator) ? [] : sidesOf(operand),
    );
    for (const [one, other] of compared)
      for (const name of attributesIn(one)) {
        const known = near.get(name) ?? new Set();
        near.set(name, known);
        for (const literal of literalsIn(other)) known.add(literal);
      }
    pending.push(...Object.values(node));
  }
}

const logical: ReadonlySet<string> = new Set(["&&", "||"]);

/** What stands beside what in an operation, both ways. */
function sidesOf(node: unknown): readonly (readonly [unknown, unknown])[] {
  if (typeof node !== "object" || node === null || !("left" in node)) return [];
  const other = "right" in node ? node.right : "pattern" in node ? node : null;
  return other === null
    ? []
    : [
        [node.left, other],
        [other, node.left],
      ];
}

function literalsAt(node: object): readonly (string | number)[] {
  if ("pattern" in node && Array.isArray(node.pattern)) return [node.pattern.map(literalPart).join("")];
  if (!("Value" in node)) return [];
  const { Value: value } = node;
  return typeof value === "string" || (typeof value === "number" && Number.isSafeInteger(value)) ? [value] : [];
}

function literalPart(part: unknown): string {
  return typeof part === "object" && part !== null && "Literal" in part ? String(part.Literal) : "";
}

function literalsIn(root: unknown): readonly (string | number)[] {
  return nodesIn(root).flatMap(literalsAt);
}

function attributesIn(root: unknown): readonly string[] {
  return nodesIn(root).flatMap((node) => ("attr" in node && typeof node.attr === "string" ? [node.attr] : []));
}

const nodesMax = 1_000;

function nodesIn(root: unknown): readonly object[] {
  const found: object[] = [];
  const pending: unknown[] = [root];
  while (pending.length > 0 && found.length < nodesMax) {
    const node = pending.pop();
    if (typeof node !== "object" || node === null) continue;
    found.push(node);
    pending.push(...Object.values(node));
  }
  return found;
}
