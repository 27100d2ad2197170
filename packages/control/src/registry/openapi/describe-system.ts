// Promises a system's file with whatever its operations leave to an OpenAPI description filled in, each value at the place it came from, so that the
// rest of the loader reads one estate. What is written in the estate holds. Trusts description.ts. Specified in docs/openapi.md.
import type { EstateIo } from "../config/estate-io.ts";
import { errorAt, type Finding, type Spot } from "../config/finding.ts";
import { suggest } from "../config/nearest.ts";
import { type MapTree, spotOf, type Tree, textAt, treeAt } from "../config/yaml-tree.ts";
import { operationPath, requestShape } from "../import/openapi/operation-path.ts";
import { sentenceOf } from "../import/tree-members.ts";
import { type DescribedOperation, type Description, readDescription } from "./description.ts";
import { takeBody } from "./take-body.ts";
import { takeParameters } from "./take-parameters.ts";
import { takeResponse } from "./take-response.ts";
import { takenBytesMax } from "./take-schema.ts";
import type { Filling, Note } from "./taken.ts";
import { entryOf, treeOf } from "./tree-of.ts";

export interface DescriptionNotes {
  /** Where the system names it. */
  readonly at: Spot;
  /** What is described and no operation of the system serves. */
  readonly uncovered: readonly Note[];
  /** What is described of its operations and no gateway checks. */
  readonly unchecked: readonly Note[];
}

export interface DescribedSystem {
  readonly tree: MapTree;
  readonly findings: readonly Finding[];
  /** Null: it names no description, or one that cannot be read. */
  readonly notes: DescriptionNotes | null;
}

/** `isShown`: for people, who want the place of a schema and not the schema. */
export function describeSystem(io: EstateIo, tree: MapTree, isShown = false): DescribedSystem {
  const named = tree.entries.get("openapi");
  const operations = tree.entries.get("operations");
  if (named === undefined) return { tree, findings: withoutDescription(operations?.value), notes: null };
  const file = named.value.kind === "scalar" && typeof named.value.value === "string" ? named.value.value : null;
  // Of another form it is refused by its type.
  if (file === null) return { tree, findings: [], notes: null };
  const reading = readDescription(io, named.value.at, file);
  if ("finding" in reading) return { tree, findings: [reading.finding], notes: null };
  const described = new Describing(reading.description, isShown);
  if (operations?.value.kind !== "map") return { tree, findings: [], notes: described.notes(named.value.at) };
  const filled = [...operations.value.entries].map(
    ([name, entry]) => [name, { ...entry, value: described.fill(name, entry.value) }] as const,
  );
  const entries = new Map(tree.entries).set("operations", {
    ...operations,
    value: { ...operations.value, entries: new Map(filled) },
  });
  return { tree: { ...tree, entries }, findings: described.findings, notes: described.notes(named.value.at) };
}

function withoutDescription(operations: Tree | undefined): readonly Finding[] {
  if (operations?.kind !== "map") return [];
  return [...operations.entries].flatMap(([, { value }]) => {
    const entry = value.kind === "map" ? value.entries.get("operationId") : undefined;
    return entry === undefined
      ? []
      : [
          errorAt(
            entry.keyAt,
            "`operationId`, but the system names no description",
            "add `openapi: <file>`, or write `match: METHOD /path`",
          ),
        ];
  });
}

class Describing {
  readonly findings: Finding[] = [];
  readonly #notes: Note[] = [];
  readonly #description: Description;
  readonly #isShown: boolean;
  readonly #covered = new Set<DescribedOperation>();
  readonly #room = { bytes: takenBytesMax };

  constructor(description: Description, isShown: boolean) {
    this.#description = description;
    this.#isShown = isShown;
  }

  fill(name: string, written: Tree): Tree {
    if (written.kind !== "map") return written;
    const id = textAt(written, ["operationId"]);
    if (id === null) {
      this.#cover(textAt(written, ["match"]));
      return written;
    }
    const described = this.#find(id, spotOf(written, ["operationId"]));
    if (described === null) return written;
    this.#covered.add(described);
    const filling: Filling = {
      ...{ description: this.#description, described, name, isShown: this.#isShown },
      ...{ findings: this.findings, notes: this.#notes, room: this.#room },
    };
    const match = this.#matchOf(written, described);
    return match === null ? written : fillOperation(filling, written, match);
  }

  notes(at: Spot): DescriptionNotes {
    const uncovered = this.#description.operations.filter((one) => !this.#covered.has(one));
    const nameOf = ({ id, method, path }: DescribedOperation): string =>
      id === undefined ? `${method} ${path}` : `\`${id}\` (${method} ${path})`;
    return {
      at,
      uncovered: uncovered.map((one) => ({ at: one.at, message: nameOf(one).slice(0, 200) })),
      unchecked: this.#notes,
    };
  }

  #cover(match: string | null): void {
    if (match === null) return;
    for (const one of this.#description.operations)
      if (match.startsWith(`${one.method} `) && endsAs(match, one)) this.#covered.add(one);
  }

  #find(id: string, spot: Spot): DescribedOperation | null {
    const found = this.#description.operations.filter((one) => one.id === id);
    const [only, second] = found;
    if (only !== undefined && second === undefined) return only;
    const { file, operations } = this.#description;
    const finding =
      second === undefined
        ? errorAt(
            spot,
            `no such operation in ${file}`,
            suggest(
              id,
              operations.flatMap((one) => one.id ?? []),
            ),
          )
        : errorAt(second.at, `two operations have the operationId \`${id.slice(0, 80)}\``, "give each its own");
    this.findings.push(finding);
    return null;
  }

  /** `METHOD /path`; null: the findings say why. */
  #matchOf(written: MapTree, described: DescribedOperation): Tree | null {
    const own = treeAt(written, ["match"]);
    const { method, path, at } = described;
    if (own !== undefined) {
      const text = textAt(written, ["match"]);
      // In another form it is refused by its type.
      if (text === null || (text.startsWith(`${method} `) && endsAs(text, described))) return own;
      this.findings.push(
        errorAt(
          own.at,
          `\`${described.id}\` is ${method} ${path} in ${this.#description.file}`,
          "remove `match`, or correct it: only a base path may stand before",
        ),
      );
      return null;
    }
    const read = operationPath(path);
    if ("path" in read && read.changed === null) return treeOf(`${method} ${read.path}`, at);
    const [message, fix] =
      "path" in read ? [read.changed ?? "", "write `match` if that is meant"] : [read.refused, read.fix];
    this.findings.push(errorAt(at, `\`${described.id}\` cannot be matched as it is described: ${message}`, fix));
    return null;
  }
}

/** Does a match take the requests of the described path, whatever stands before it? */
function endsAs(match: string, { path }: DescribedOperation): boolean {
  const read = operationPath(path);
  if (!("path" in read)) return false;
  const [, own = ""] = requestShape("", match.split(" ")[1] ?? "").split(" ");
  const [, theirs = ""] = requestShape("", read.path).split(" ");
  return own.endsWith(theirs);
}

/** The operation with what it does not say; what it says stays. */
function fillOperation(filling: Filling, written: MapTree, match: Tree): MapTree {
  const { described } = filling;
  const entries = new Map(written.entries);
  const put = (key: string, value: Tree | null): void => {
    if (value !== null) entries.set(key, entryOf(value));
  };
  if (!entries.has("match")) put("match", match);
  const [method = "", path = ""] = (match.kind === "scalar" ? String(match.value) : "").split(" ");
  const description = sentenceOf(described.tree, "summary") ?? sentenceOf(described.tree, "description");
  if (description !== undefined && !entries.has("description")) put("description", treeOf(description, described.at));
  const classes = described.tree.entries.get("x-data-class")?.value;
  if (classes !== undefined && !entries.has("data"))
    put("data", classes.kind === "list" ? classes : { kind: "list", at: classes.at, items: [classes] });
  put("parameters", takeParameters(filling, path, entries.get("parameters")?.value));
  put("body", takeBody(filling, method, entries.get("body")?.value));
  if (!entries.has("websocket")) put("response", takeResponse(filling, method, entries.get("response")?.value));
  return { ...written, entries };
}
