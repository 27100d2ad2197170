// Promises the answers that a description declares, as `response` of an operation: schemas by status. Trusts take-schema.ts. Specified in docs/openapi.md.

import { errorAt } from "../config/finding.ts";
import type { MapTree, Tree } from "../config/yaml-tree.ts";
import { mapOf } from "../import/tree-members.ts";
import { bareType, jsonType, spotOfKey } from "./take-body.ts";
import { takeSchema } from "./take-schema.ts";
import type { Filling } from "./taken.ts";
import { entryOf, mapTree, treeOf } from "./tree-of.ts";

const statusName = /^(?:[2-5][0-9][0-9]|[2-5]XX|default)$/;

/** What stands for `response`; null: what is written holds, or the description says nothing that is looked into. */
export function takeResponse(filling: Filling, method: string, written: Tree | undefined): Tree | null {
  if (written?.kind === "scalar" || method === "HEAD") return null;
  const own = written?.kind === "map" ? written : undefined;
  if (own?.entries.has("schema") || own?.entries.has("statuses")) return null;
  const responses = filling.described.tree.entries.get("responses")?.value;
  const answers = responses?.kind === "map" ? answersOf(filling, responses) : [];
  const types = successTypes(answers);
  const [type = "application/json", ...more] = types;
  if (more.length > 0 || !jsonType.test(type)) {
    const message = `answers of \`${filling.name}\` are not looked into: they may be ${types.join(", ").slice(0, 120)}`;
    filling.notes.push({ at: filling.described.at, message });
    return null;
  }
  const statuses = withDefault(
    answers.flatMap((answer) => schemasOf(filling, answer)),
    answers,
  );
  if (statuses.length === 0) return null;
  const at = responses?.at ?? filling.described.at;
  const entries = new Map(own?.entries);
  if (type !== "application/json" && !entries.has("contentType")) entries.set("contentType", entryOf(treeOf(type, at)));
  entries.set("statuses", entryOf(mapTree(at, statuses)));
  return { kind: "map", at: own?.at ?? at, entries };
}

interface DescribedAnswer {
  readonly status: string;
  readonly content: MapTree | undefined;
}

function answersOf(filling: Filling, responses: MapTree): readonly DescribedAnswer[] {
  return [...responses.entries].flatMap(([status, entry]): DescribedAnswer[] => {
    if (!statusName.test(status)) return [];
    const answer = filling.description.references.map(entry.value);
    if (!("unresolved" in answer)) return [{ status, content: mapOf(answer, "content") }];
    filling.findings.push(
      errorAt(
        entry.keyAt,
        `the answer ${status} of \`${filling.name}\` is not known: ${answer.unresolved}`,
        "correct the reference, or write `response: none`",
      ),
    );
    return [];
  });
}

/** Media types that successful answers may have. */
function successTypes(answers: readonly DescribedAnswer[]): readonly string[] {
  const exact = answers.filter(({ status }) => status.startsWith("2"));
  const said = exact.length > 0 ? exact : answers.filter(({ status }) => status === "default");
  return [...new Set(said.flatMap(({ content }) => [...(content?.entries.keys() ?? [])].map(bareType)))];
}

function schemasOf(filling: Filling, { status, content }: DescribedAnswer): readonly (readonly [string, Tree])[] {
  const type = [...(content?.entries.keys() ?? [])].find((one) => jsonType.test(bareType(one)));
  if (content === undefined || type === undefined) return [];
  const schema = takeSchema(filling, mapOf(content, type)?.entries.get("schema")?.value, {
    of: "answer",
    what: `the answer ${status}`,
    fix: "write `response: none` for the operation, or `response` by hand, or correct the description",
  });
  return schema === null ? [] : [[status, { ...schema, at: spotOfKey(content, type) }]];
}

/** `default` there is what is not named there, also without a schema; here it would stand for everything that has none. */
function withDefault(
  schemas: readonly (readonly [string, Tree])[],
  answers: readonly DescribedAnswer[],
): readonly (readonly [string, Tree])[] {
  const [, fallback] = schemas.find(([status]) => status === "default") ?? [];
  const named = schemas.filter(([status]) => status !== "default");
  const bare = answers.filter(({ status }) => !schemas.some(([other]) => other === status));
  if (fallback === undefined || bare.length === 0) return schemas;
  const classes = ["2", "3", "4", "5"].filter(
    (first) =>
      !bare.some(({ status }) => status.startsWith(first)) && !schemas.some(([status]) => status === `${first}XX`),
  );
  return [...named, ...classes.map((first) => [`${first}XX`, fallback] as const)];
}
