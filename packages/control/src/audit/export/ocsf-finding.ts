// Promises what the life of a finding is as Detection Finding (2004): raised, looked at, over. Pure. Trusts the record, which names rule and finding; the
// words about a rule are those of this version. Specified by OCSF 1.5 class detection_finding and docs/export.md "OCSF".
import { type AdminLeaf, type FindingStep, findingStepOf } from "../../watch/finding-leaf.ts";
import { ruleWords } from "../../watch/rule-words.ts";
import type { OcsfPart } from "./ocsf.ts";

const activities: Readonly<Record<FindingStep["step"], number>> = { raised: 1, acknowledged: 2, resolved: 3 };
/** New, in progress, resolved. */
const statuses: Readonly<Record<FindingStep["step"], number>> = { raised: 1, acknowledged: 2, resolved: 4 };
const ruleAnalytic = 1;

/** Null: the record is of another act. */
export function detectionFinding(leaf: AdminLeaf): OcsfPart | null {
  const finding = findingStepOf(leaf);
  if (finding === null) return null;
  const { step, rule, id } = finding;
  const describe = ruleWords(rule)?.describe;
  return {
    classUid: 2004,
    activity: activities[step],
    attributes: {
      finding_info: {
        uid: id,
        title: rule,
        types: [rule],
        ...(describe === undefined ? {} : { desc: describe }),
        analytic: { uid: rule, name: rule, type_id: ruleAnalytic },
        ...(step === "raised" ? { created_time: leaf.at } : { modified_time: leaf.at }),
      },
      is_alert: step === "raised",
      status_id: statuses[step],
      message: leaf.action,
    },
  };
}
