// Promises what a slice holds of policies in shadow: each that can be used on its own, and why each other cannot. Nothing here can break or change
// what is enforced. Trusts the judge it is handed to be the one of enforced policies. Specified in docs/policy.md "Shadow policies".
import { mentionedActions } from "./applies.ts";
import type { AskCedar } from "./cedar.ts";
import { type Finding, finding, type ParsedPolicy } from "./policy-text.ts";
import type { ShadowSlice } from "./port.ts";
import { readsOf } from "./reads.ts";
import type { SliceDraft } from "./slice-draft.ts";
import { declaredNames, sliceSchema } from "./slice-schema.ts";

interface ShadowPorts {
  readonly ask: AskCedar;
  readonly findingsOf: (policies: readonly ParsedPolicy[]) => readonly Finding[];
}

/** An id that is wrong or another's names nothing: its place does. */
function nameOf({ id, fault, file }: ParsedPolicy, { line }: Finding): string {
  return fault === undefined ? id : `${file}:${line}`.replace(/[^A-Za-z0-9._:/@#-]/g, "_").slice(-128);
}

/** @param inShadow at least one */
export function compileShadow(
  draft: SliceDraft,
  inShadow: readonly ParsedPolicy[],
  { ask, findingsOf }: ShadowPorts,
): { readonly shadow: ShadowSlice; readonly findings: readonly Finding[] } {
  const broken: Record<string, string> = {};
  const whole: ParsedPolicy[] = [];
  const policies: Record<string, ShadowSlice["policies"][string]> = {};
  const findings: Finding[] = [];
  for (const policy of inShadow) {
    // Each by itself: one that is wrong takes none of the others with it.
    const found = findingsOf([policy]);
    const asPermit = found.length === 0 ? textAsPermit(ask, policy) : null;
    const own = found.length === 0 && asPermit === null ? [unreadable(draft, policy)] : found;
    findings.push(...own);
    const [first] = own;
    if (first === undefined && asPermit !== null) {
      whole.push(policy);
      policies[policy.id] = { effect: policy.json.effect, asPermit };
    } else if (first !== undefined)
      broken[nameOf(policy, first)] = `${first.file}:${first.line}:${first.column}: ${first.why}. Fix: ${first.fix}`;
  }
  const shapes = draft.shapesFor(whole);
  const jsons = whole.map(({ json }) => json);
  const mentioned = jsons.flatMap((json) => [...mentionedActions(json)]);
  const shadow = {
    schema: sliceSchema(draft.action, shapes, mentioned),
    policies,
    reads: readsOf(jsons, declaredNames(shapes)),
    broken,
  };
  return { shadow, findings };
}

/** Strings, comments and annotations are stepped over; the first word besides them is the effect. */
const effectWord = /"(?:[^"\\]|\\.)*"|\/\/[^\n]*|@\s*\w+|\b(permit|forbid)\b/gs;

/** The same policy as a permit, by Cedar's own reading of both; null where the two differ in more than their effect. */
function textAsPermit(ask: AskCedar, { text, json }: ParsedPolicy): string | null {
  const at = [...text.matchAll(effectWord)].find(([, word]) => word !== undefined);
  if (at === undefined) return null;
  const permit = `${text.slice(0, at.index)}permit${text.slice(at.index + at[0].length)}`;
  const read = ask((cedar) => cedar.policyToJson(permit));
  if (read?.type !== "success" || read.json.effect !== "permit") return null;
  return JSON.stringify({ ...read.json, effect: json.effect }) === JSON.stringify(json) ? permit : null;
}

function unreadable({ parsed }: SliceDraft, { file, offset }: ParsedPolicy): Finding {
  const why = "the effect of the policy could not be told from its text";
  return finding({ file, text: parsed.texts.get(file) ?? "" }, offset, why, "write it as Cedar formats it");
}
