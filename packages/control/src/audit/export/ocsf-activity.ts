// Promises what a crossing, or a part of one, is as API Activity (6003) with the verdict as a security control. Pure. Trusts the record.
// Specified by OCSF 1.5 class api_activity, profile security_control, and docs/export.md "OCSF".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type NameOf, splitOperation } from "./exported-record.ts";
import type { OcsfPart } from "./ocsf.ts";

type Of<T extends Leaf["t"]> = Extract<Leaf, { readonly t: T }>;
type CrossingPart = Of<"crossing" | "intent" | "outcome" | "progress">;
type Decision = Of<"crossing" | "intent">;

const classUid = 6003;
/** Where a leaf does not say it: the event of its intent does, under the same `correlation_uid`. */
const inIntent = "(intent)";
const unidentified = "(unidentified)";

const crud: Readonly<Record<string, number>> = {
  ...{ create: 1, add: 1, insert: 1, post: 1, submit: 1 },
  ...{ read: 2, get: 2, list: 2, search: 2, query: 2, find: 2 },
  ...{ update: 3, change: 3, replace: 3, patch: 3, put: 3, set: 3 },
  ...{ delete: 4, remove: 4, cancel: 4, erase: 4 },
};

/** The last word of an operation says what it does; a word that is not known is its own name. */
function activityOf(operation: string | null): Pick<OcsfPart, "activity" | "activityName"> {
  if (operation === null) return { activity: 0 };
  const word = operation.split(/[:.]/).at(-1) ?? "";
  const activity = Object.hasOwn(crud, word) ? crud[word] : undefined;
  return activity === undefined ? { activity: 99, activityName: word } : { activity };
}

export function apiActivity(leaf: CrossingPart, nameOf: NameOf): OcsfPart {
  if (leaf.t === "outcome" || leaf.t === "progress") return laterPart(leaf);
  const { operation, verdict, mode, policies, integration } = leaf;
  const passed = verdict === "allow" || mode !== "enforce";
  return {
    classUid,
    ...activityOf(operation),
    profiles: ["security_control"],
    attributes: {
      actor: actorOf(leaf, nameOf),
      api: apiOf(leaf),
      src_endpoint: sourceOf(leaf),
      ...(operation === null ? {} : { dst_endpoint: { svc_name: splitOperation(operation).system } }),
      action_id: passed ? 1 : 2,
      // 15, Detected: a violation that nothing was done about.
      disposition_id: verdict === "allow" ? 1 : passed ? 15 : 2,
      ...(policies.length === 0
        ? {}
        : { authorizations: policies.map((uid) => ({ decision: decisionOf(leaf), policy: policyOf(uid, leaf) })) }),
      ...(integration === null ? {} : { resources: [{ uid: integration, type: "integration" }] }),
      ...(leaf.t === "crossing" ? outcomeOf(leaf) : { status_id: 0 }),
      ...(leaf.code === null
        ? {}
        : { status_code: leaf.code, status_detail: `${leaf.stage ?? "record"}: ${leaf.code}` }),
    },
  };
}

const decisionOf = ({ verdict }: Decision) => (verdict === "allow" ? "allowed" : "denied");

function policyOf(uid: string, { policySet }: Decision) {
  return { uid, ...(policySet === null ? {} : { version: policySet }) };
}

function actorOf(leaf: Decision, nameOf: NameOf) {
  const { caller, subject } = leaf;
  const session = sessionOf(leaf);
  if (caller === null) return { app_uid: unidentified, ...session };
  const name = nameOf(caller);
  return {
    app_uid: caller,
    ...(name === undefined ? {} : { app_name: name }),
    ...(subject === null ? {} : { user: { uid: subject, type_id: 1 } }),
    ...session,
  };
}

/** The token, by its pseudonym: the `session.uid` of its issuance. */
function sessionOf({ proof, token, issuer }: Decision) {
  const session = {
    ...(token === undefined ? {} : { uid: token }),
    ...(issuer == null ? {} : { issuer }),
    ...(proof === null ? {} : { credential_uid: proof }),
  };
  return Object.keys(session).length === 0 ? {} : { session };
}

function apiOf(leaf: Decision) {
  const { operation, id } = leaf;
  return {
    operation: operation ?? "(none)",
    ...(operation === null ? {} : { service: { name: splitOperation(operation).system } }),
    request: { uid: id },
    ...(leaf.t === "crossing"
      ? { response: { code: leaf.status, ...(leaf.code === null ? {} : { error: leaf.code }) } }
      : {}),
  };
}

/** The address is a pseudonym: equal addresses meet, and none can be read. */
function sourceOf({ address, addressClass }: Decision) {
  return { uid: address ?? "(unknown)", zone: addressClass };
}

const statusOf: Readonly<Record<string, number>> = { success: 1, unknown: 0, unobserved: 0 };

function outcomeOf(leaf: Of<"crossing" | "outcome">) {
  const { outcome, totalUs } = leaf;
  return {
    status_id: statusOf[outcome] ?? 2,
    status: outcome,
    duration: Math.round(totalUs / 1_000),
    message: `${outcome}: status ${leaf.status}, provider ${leaf.upstreamStatus}, ${leaf.bytesIn} bytes in, ${leaf.bytesOut} out`,
  };
}

/** `outcome` and `progress` name their crossing only. */
function laterPart(leaf: Of<"outcome" | "progress">): OcsfPart {
  const said =
    leaf.t === "outcome"
      ? outcomeOf(leaf)
      : { status_id: 0, message: `${leaf.bytesIn} bytes in, ${leaf.bytesOut} out so far` };
  return {
    classUid,
    activity: 99,
    activityName: leaf.t,
    attributes: {
      actor: { app_uid: inIntent },
      api: {
        operation: inIntent,
        request: { uid: leaf.id },
        ...(leaf.t === "outcome" ? { response: { code: leaf.status } } : {}),
      },
      src_endpoint: { uid: inIntent },
      ...said,
    },
  };
}

/** Denials of nobody in particular that were counted instead of recorded one by one. */
export function deniedCount(leaf: Of<"denials">): OcsfPart {
  return {
    classUid,
    activity: 0,
    profiles: ["security_control"],
    attributes: {
      actor: { app_uid: unidentified },
      api: { operation: "(none)", request: { uid: leaf.id } },
      src_endpoint: { uid: leaf.prefix },
      action_id: 2,
      disposition_id: 2,
      count: leaf.count,
      start_time: leaf.at - leaf.windowMs,
      end_time: leaf.at,
      duration: leaf.windowMs,
      status_id: 2,
      status_code: leaf.code,
      message: `${leaf.count} more denials of one source prefix: ${leaf.code}`,
    },
  };
}
