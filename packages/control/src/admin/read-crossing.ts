// Promises the full reason of a crossing to an operator, wherever its record lies. Trusts api.ts, which has recorded the look-up before this is asked,
// the node's answer for the leaf, which can be proven against its log, and the seal for the reference. DESIGN §12 (Log).
import { hash } from "node:crypto";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { payloadsLast } from "@sallyport/protocol/audit/payload.ts";
import { batchContext, findInReference, referenceContext } from "@sallyport/protocol/audit/reference.ts";
import { findArchived } from "../audit/archive/find-archived.ts";
import type { ControlParts } from "../control-parts.ts";
import { decidedBy } from "../explain/decided-by.ts";
import type { PolicyFile } from "../registry/config/estate.ts";
import { AdminFault, type CrossingReport } from "./actions.ts";

const answerTimeoutMs = 3_000;
const crossingForm = /^([a-z][a-z0-9-]{0,126})-([0-7][0-9A-HJKMNP-TV-Z]{25})$/;

/** Throws AdminFault `bad-request`, `not-found`, `unreachable` (the node is away or silent). */
export async function readCrossing(parts: ControlParts, id: string): Promise<CrossingReport> {
  const node = crossingForm.exec(id)?.[1];
  if (node === undefined)
    throw new AdminFault(
      "bad-request",
      `${id.slice(0, 80)} is not a crossing id`,
      "it is the correlationId of the answer: <node>-<26 letters and digits>",
    );
  if (node === parts.node) return readOwn(parts, { id, node });
  try {
    return await readFromNode(parts, { id, node });
  } catch (error) {
    // Gone, silent, or without the record it once signed: what it shipped is here.
    const archived = await readArchived(parts, { id, node });
    if (archived === null) throw error;
    return archived;
  }
}

/** The same, with where the policies that decided stand and what each of them read. Throws as readCrossing does. */
export async function explainedCrossing(parts: ControlParts, id: string): Promise<CrossingReport> {
  const report = await readCrossing(parts, id);
  const [leaf = "{}"] = report.leaves;
  // A leaf is a JSON object by its format; readCrossing has found it in a log.
  const { environment = null } = JSON.parse(leaf) as { readonly environment?: string };
  const rows = await parts.store.run("listObjects", { tenant: parts.tenant, environment, kind: "policy" });
  // Written by estate-rows from this shape; those of an environment are in ascending order of name.
  const files = rows.map(({ json }) => JSON.parse(json) as PolicyFile).sort((a, b) => (a.file < b.file ? -1 : 1));
  const decided = decidedBy(report.decision, { files, compiler: parts.compiler });
  return decided.length === 0 ? report : { ...report, decidedBy: decided };
}

async function readArchived(
  parts: ControlParts,
  { id, node }: { readonly id: string; readonly node: string },
): Promise<CrossingReport | null> {
  const textOf = ({ leaf }: FoundRecord) => Buffer.from(leaf).toString("latin1");
  const found = payloadsLast(await findArchived(parts.archive.directory, node, id), textOf);
  const [first] = found;
  if (first === undefined) return null;
  const leaves = found.map(textOf);
  const reference = first.reference === null ? null : Buffer.from(first.reference).toString("base64url");
  return { id, node, leaves, decision: openDecision(parts, leaves, reference), archived: true };
}

async function readFromNode(
  parts: ControlParts,
  { id, node }: { readonly id: string; readonly node: string },
): Promise<CrossingReport> {
  const known = (await parts.store.run("listNodes", { tenant: parts.tenant })).find((one) => one.node === node);
  if (known === undefined)
    throw new AdminFault(
      "not-found",
      `no gateway ${node} ever joined here`,
      "ask the control plane this gateway belongs to",
    );
  const answer = await parts.hub.ask(node, id, answerTimeoutMs);
  if (answer === null)
    throw new AdminFault(
      "unreachable",
      `gateway ${node} is away or did not answer within ${answerTimeoutMs / 1000} s, and the archive has no record ${id}`,
      `when it is back, ask again; on its host: sallyport audit show ${id} --log <data>/log`,
    );
  if (!answer.found) throw new AdminFault("not-found", `gateway ${node} has no record ${id}`);
  // A node may answer with another record of its log: what an operator reads under an id is of that id, or nothing.
  if (answer.leaves.length === 0 || !answer.leaves.every((leaf) => idOf(leaf) === id))
    throw new AdminFault(
      "not-found",
      `gateway ${node} answered with another record than ${id}: do not trust what it says`,
      `check its log: sallyport audit verify <data>/log; cut it off: sallyport gateway revoke ${node}`,
    );
  const leaves = payloadsLast(answer.leaves, (leaf) => leaf);
  return { id, node, leaves, decision: openDecision(parts, leaves, answer.reference) };
}

/** Control's own records: issuances, refusals, acts of operators. */
async function readOwn(
  parts: ControlParts,
  { id, node }: { readonly id: string; readonly node: string },
): Promise<CrossingReport> {
  const found = await parts.log.find(id);
  const [first] = found;
  if (first === undefined) throw new AdminFault("not-found", `control has no record ${id}`);
  const leaves = found.map(({ leaf }) => Buffer.from(leaf).toString("latin1"));
  return { id, node, leaves, decision: openOwn(parts, parseLeaf(first.leaf), first.reference) };
}

function openOwn(parts: ControlParts, leaf: Leaf, sealed: Uint8Array | null): CrossingReport["decision"] {
  if (sealed === null || !("id" in leaf)) return null;
  const named = "inputs" in leaf ? leaf.inputs : "facts" in leaf ? leaf.facts : null;
  if (named !== hash("sha256", sealed, "hex")) return null;
  const opened: unknown = JSON.parse(Buffer.from(parts.opener.open(referenceContext(leaf), sealed)).toString("utf8"));
  return typeof opened === "object" && opened !== null ? { ...opened } : null;
}

/** The id a leaf is about; null when it is no leaf, or about none. */
function idOf(leaf: string): string | null {
  try {
    const parsed = parseLeaf(Buffer.from(leaf, "latin1"));
    return "id" in parsed ? parsed.id : null;
  } catch {
    return null;
  }
}

function openDecision(
  parts: ControlParts,
  leaves: readonly string[],
  reference: string | null,
): Readonly<Record<string, unknown>> | null {
  const [first] = leaves;
  if (reference === null || first === undefined) return null;
  const leaf: Leaf = parseLeaf(Buffer.from(first, "latin1"));
  if (!("id" in leaf)) return null;
  const { tenant, environment, node, id } = leaf;
  const sealed = Buffer.from(reference, "base64url");
  if (!("inputs" in leaf) || leaf.inputs !== hash("sha256", sealed, "hex")) return null;
  const opened = parts.opener.open(batchContext({ tenant, environment, node }), sealed);
  // The node sends the reference of a whole batch: of the others in it nothing is shown.
  return findInReference(Buffer.from(opened).toString("utf8"), id);
}
