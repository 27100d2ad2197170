// Promises a schema of a description as one that a gateway checks, with a note of whatever it does not; what cannot be checked at all is an error.
// Trusts translate-schema.ts. Specified in docs/openapi.md.
import { errorAt, type Spot } from "../config/finding.ts";
import type { Tree } from "../config/yaml-tree.ts";
import { referenceOf } from "../import/openapi/references.ts";
import type { Filling } from "./taken.ts";
import { treeOf } from "./tree-of.ts";

/** Bytes of JSON of all schemas that one system takes from its description. */
export const takenBytesMax = 8 * 1024 * 1024;

/** `what`: `its request body`. Null: it allows everything, or the findings say what is wrong. */
export function takeSchema(
  filling: Filling,
  written: Tree | undefined,
  at: { readonly of: "request" | "answer"; readonly what: string; readonly fix: string },
): Tree | null {
  if (written === undefined || allowsAll(written)) return null;
  const { schema, losses } = filling.description.translate(written, at.of);
  const [last] = losses.slice(-1);
  const spot = (place: Omit<Spot, "path">): Spot => ({ ...place, path: written.at.path });
  if (schema === null) {
    const why = last?.why ?? "it is not kept";
    filling.findings.push(
      errorAt(
        spot(last?.at ?? written.at),
        `\`${filling.name}\` cannot take the schema of ${at.what} from here: ${why}`,
        at.fix,
      ),
    );
    return null;
  }
  for (const { at: place, why } of losses)
    filling.notes.push({ at: spot(place), message: `${at.what} of \`${filling.name}\`: ${why}` });
  filling.room.bytes -= JSON.stringify(schema).length;
  if (filling.room.bytes < 0) {
    filling.findings.push(
      errorAt(
        written.at,
        `the schemas of the system are larger than ${takenBytesMax} bytes together`,
        "divide the system, or write `response: none` where answers need not be looked into",
      ),
    );
    return null;
  }
  return filling.isShown ? treeOf(placeText(written), written.at) : treeOf(schema, written.at);
}

function allowsAll(written: Tree): boolean {
  if (written.kind === "scalar") return written.value === true;
  return written.kind === "map" && written.entries.size === 0;
}

/** For people: the reference, or the line it stands at. */
function placeText(written: Tree): string {
  return referenceOf(written) ?? `${written.at.file}:${written.at.line}`;
}
