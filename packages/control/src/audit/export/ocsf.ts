// Promises one OCSF event for every record, valid against the schema of its version, with the leaf and its place in it, so that the copy stays verifiable.
// Pure. Trusts the record. Specified by OCSF (schema.ocsf.io) and docs/export.md "OCSF".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { version as productVersion } from "../../version.ts";
import { type ExportedRecord, type NameOf, noNames, placeOf } from "./exported-record.ts";
import { apiActivity, deniedCount } from "./ocsf-activity.ts";
import { detectionFinding } from "./ocsf-finding.ts";
import { authentication, entityManagement } from "./ocsf-identity.ts";

/** Later minor versions only add: an event of the first is one of all of them. */
export const ocsfVersions = ["1.5.0", "1.6.0", "1.7.0"] as const;
export type OcsfVersion = (typeof ocsfVersions)[number];

/** What a class adds to the base event. */
export interface OcsfPart {
  readonly classUid: number;
  readonly activity: number;
  /** Said where the number alone does not say it. */
  readonly activityName?: string;
  readonly profiles?: readonly string[];
  readonly attributes: Readonly<Record<string, unknown>>;
}

export type OcsfEvent = Readonly<Record<string, unknown>>;

export interface OcsfOptions {
  readonly version?: OcsfVersion;
  readonly nameOf?: NameOf;
}

const product = { name: "Sallyport", vendor_name: "Sallyport", version: productVersion };

export function ocsfEvent(
  record: ExportedRecord,
  { version = "1.5.0", nameOf = noNames }: OcsfOptions = {},
): OcsfEvent {
  const { leaf, origin, index, severity, text } = record;
  const { classUid, activity, activityName, profiles = [], attributes } = partOf(leaf, nameOf);
  return {
    activity_id: activity,
    ...(activityName === undefined ? {} : { activity_name: activityName }),
    category_uid: Math.trunc(classUid / 1_000),
    class_uid: classUid,
    type_uid: classUid * 100 + activity,
    severity_id: severity,
    time: leaf.at,
    metadata: {
      version,
      product,
      uid: `${origin}:${index}`,
      sequence: index,
      log_name: origin,
      log_provider: leaf.node,
      event_code: leaf.t,
      tenant_uid: leaf.tenant,
      labels: [`environment:${leaf.environment}`, `region:${leaf.region}`],
      ...("id" in leaf ? { correlation_uid: leaf.id } : {}),
      ...(profiles.length === 0 ? {} : { profiles }),
    },
    ...attributes,
    raw_data: text,
    unmapped: { sallyport: placeOf(record) },
  };
}

function partOf(leaf: Leaf, nameOf: NameOf): OcsfPart {
  switch (leaf.t) {
    case "crossing":
    case "intent":
    case "outcome":
    case "progress":
      return apiActivity(leaf, nameOf);
    case "denials":
      return deniedCount(leaf);
    case "issuance":
      return authentication(leaf, nameOf);
    case "admin":
      return detectionFinding(leaf) ?? entityManagement(leaf, nameOf);
    case "start":
      return lifecycle(3, undefined, `started as ${leaf.role}; ${leaf.recovered} crossings found without an outcome`, {
        version: leaf.version,
      });
    case "origin":
      return lifecycle(99, "Log begun", `the log ${leaf.origin} begins`, {});
    case "tally":
      return lifecycle(
        99,
        "Requests counted",
        `${leaf.seen} requests: ${leaf.crossings} crossings and ${leaf.intents} intents recorded, ${leaf.counted} denials counted, ${leaf.refused} not recorded`,
        {},
      );
    case "buffered":
      return lifecycle(99, "Records buffered", `up to ${leaf.upTo} crossings may be answered before their records`, {});
    case "settled":
      return lifecycle(99, "Records settled", `${leaf.early} crossings were answered early, all are recorded`, {});
    default:
      return otherRecord(leaf);
  }
}

/** A leaf type that has no class of its own here: nothing is left out of a copy because it is new. */
function otherRecord(leaf: { readonly t: string }): OcsfPart {
  return lifecycle(99, leaf.t, `a record of type ${leaf.t}`, {});
}

/** Application Lifecycle (6002). */
function lifecycle(
  activity: number,
  activityName: string | undefined,
  message: string,
  app: { readonly version?: string },
): OcsfPart {
  return {
    classUid: 6002,
    activity,
    ...(activityName === undefined ? {} : { activityName }),
    attributes: { app: { ...product, ...app }, message, status_id: 1 },
  };
}
