// Promises that a word which lets a body pass unseen is not said where rules about the content hold. Trusts read-body.ts.
// Specified in docs/authorizer.md.
import { errorAt, type Finding } from "./finding.ts";
import type { OperationConfig } from "./operation-config.ts";
import type { OperationSource } from "./system-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** What somebody wrote about the content must not be let go of by another word. */
export function checkUnseenBody(
  { tree, findings }: Reader,
  at: readonly string[],
  { source, body }: { readonly source: OperationSource; readonly body: OperationConfig["body"] },
): void {
  if (source.unseenBody !== "allow") return;
  const what =
    body === undefined ? "takes no body" : body.schema === undefined ? null : "checks its body against a schema";
  if (what === null) return;
  const spot = spotOf(tree, [...at, "unseenBody"]);
  findings.push(errorAt(spot, `the operation ${what}`, "remove `unseenBody: allow`"));
}
