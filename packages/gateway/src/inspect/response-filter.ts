// Promises what one consumer must not get of an operation's answers, ready to be walked: labels that its integration is not classified for, and
// JSONPaths, its own and the operation's. Trusts the snapshot for labels and classes. Specified in docs/inspection.md "What is taken out".
import { foldCase } from "@sallyport/protocol/snapshot/fold-case.ts";
import { type JsonPath, readJsonPath } from "@sallyport/protocol/snapshot/json-path.ts";
import type { DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import type { LabelNode, ResponseRule } from "@sallyport/protocol/snapshot/response-rule.ts";

/** Everybody who may call may read these. */
const free: ReadonlySet<DataClass> = new Set<DataClass>(["public", "internal"]);
/** What an integration is classified for only where it says so; an answer that holds such a field all the same is not released. */
const guarded: ReadonlySet<DataClass> = new Set<DataClass>(["restricted", "secret"]);

/** What happens to whatever stands in a place, and because of which classes. */
export interface Action {
  /** `withhold`: none of the answer is released. */
  readonly does: "keep" | "drop" | "withhold";
  readonly classes: readonly DataClass[];
}

export const keepIt: Action = Object.freeze({ does: "keep", classes: Object.freeze([]) });
/** Because nothing declares it. */
export const dropIt: Action = Object.freeze({ does: "drop", classes: Object.freeze([]) });

export interface FilterNode {
  readonly own: Action;
  /** The strictest of this place and all below it. */
  readonly hidden: Action;
  /** By folded name. */
  readonly members: ReadonlyMap<string, number> | null;
  /** -1: such members are not declared. */
  readonly rest: number;
  /** -1: items are not declared. */
  readonly items: number;
  /** A text, a number or a truth value may stand here. */
  readonly takesScalar: boolean;
}

export interface ResponseFilter {
  /** Empty: nothing is labelled. */
  readonly nodes: readonly FilterNode[];
  /** Names are folded. */
  readonly paths: readonly JsonPath[];
  readonly dropsUndeclared: boolean;
}

export interface FilterInputs {
  readonly rule: Pick<ResponseRule, "labels" | "undeclared" | "redact">;
  /** Of the grant. */
  readonly redact: readonly string[];
  /** What the integration says; undefined: nothing. */
  readonly data: readonly DataClass[] | undefined;
}

/** Null: nothing of any answer is to be taken out. Throws where a path is none: control never signs one. */
export function compileFilter({ rule, redact, data }: FilterInputs): ResponseFilter | null {
  const paths = [...rule.redact, ...redact].map(pathOf);
  const mayRead = (one: DataClass): boolean =>
    free.has(one) || (data === undefined ? !guarded.has(one) : data.includes(one));
  const nodes = hiddenBelow((rule.labels ?? []).map((node) => filterNode(node, mayRead)));
  const dropsUndeclared = rule.undeclared === "drop";
  const acts = nodes.some(({ own }) => own.does !== "keep");
  return paths.length === 0 && !acts && !dropsUndeclared ? null : { nodes, paths, dropsUndeclared };
}

function pathOf(text: string): JsonPath {
  const read = readJsonPath(text);
  if ("refused" in read) throw new Error(`a path of the snapshot is none: ${read.refused}`);
  return read.map(({ select, descendant }) => ({
    select: typeof select === "string" ? foldCase(select) : select,
    descendant,
  }));
}

type Mutable = { -readonly [K in keyof FilterNode]: FilterNode[K] };

function filterNode(node: LabelNode, mayRead: (one: DataClass) => boolean): Mutable {
  const own = actionOf((node.classes ?? []).filter((one) => !mayRead(one)));
  return {
    own,
    hidden: own,
    members: node.members === undefined ? null : new Map(Object.entries(node.members)),
    rest: node.rest ?? -1,
    items: node.items ?? -1,
    takesScalar: node.scalar !== false,
  };
}

/** What classes that may not be read do to the place that bears them. */
function actionOf(classes: readonly DataClass[]): Action {
  if (classes.length === 0) return keepIt;
  const withheld = classes.filter((one) => guarded.has(one));
  return withheld.length > 0 ? { does: "withhold", classes: withheld } : { does: "drop", classes };
}

/** Fills in `hidden`: places lead to each other in rings, so it is repeated until nothing changes, at most once per place. */
function hiddenBelow(nodes: readonly Mutable[]): readonly FilterNode[] {
  for (let round = 0; round <= nodes.length; round++) {
    let changed = false;
    for (const node of nodes) {
      const below = [...(node.members?.values() ?? []), node.rest, node.items].map((at) => nodes[at]?.hidden ?? keepIt);
      const classes = new Set([node.hidden, ...below].flatMap((action) => action.classes));
      const hidden = actionOf([...classes]);
      if (hidden.does === node.hidden.does && hidden.classes.length === node.hidden.classes.length) continue;
      node.hidden = hidden;
      changed = true;
    }
    if (!changed) break;
  }
  return nodes;
}
