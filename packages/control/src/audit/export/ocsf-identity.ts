// Promises what an issuance is as Authentication (3002) or Authorize Session (3003), and an administrative act as Entity Management (3004).
// Pure. Trusts the record. Specified by OCSF 1.5 and docs/export.md "OCSF".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { NameOf } from "./exported-record.ts";
import type { OcsfPart } from "./ocsf.ts";

type Issuance = Extract<Leaf, { readonly t: "issuance" }>;
type Admin = Extract<Leaf, { readonly t: "admin" }>;

const oauth2 = 6;
/** Neither is a log-in: the session was there, and is given a token with these scopes. */
const ofSession = new Set(["refresh_token", "token-exchange"]);

export function authentication(leaf: Issuance, nameOf: NameOf): OcsfPart {
  const grantType = "grantType" in leaf ? leaf.grantType : null;
  const operations = "grantType" in leaf ? (leaf.operations ?? []) : [];
  const isSessions = grantType !== null && ofSession.has(grantType);
  if (isSessions && leaf.verdict === "allow" && operations.length > 0)
    return {
      classUid: 3003,
      activity: 1,
      attributes: { ...commonOf(leaf, nameOf), privileges: operations },
    };
  return {
    classUid: 3002,
    ...(isSessions ? { activity: 99, activityName: grantType } : { activity: 1 }),
    attributes: {
      ...commonOf(leaf, nameOf),
      auth_protocol_id: oauth2,
      is_remote: true,
      service: { name: "Sallyport issuer", ...(leaf.audience === null ? {} : { uid: leaf.audience }) },
    },
  };
}

function commonOf(leaf: Issuance, nameOf: NameOf) {
  const { client, verdict, code, token, proof, expiresAt } = leaf;
  const subject = "grantType" in leaf ? leaf.subject : null;
  const name = client === null ? undefined : nameOf(client);
  const grants = "grantType" in leaf ? leaf.grants : [];
  return {
    actor: { app_uid: client ?? "(unidentified)", ...(name === undefined ? {} : { app_name: name }) },
    // A client that acts for itself is the user of its own log-in (type 3, System).
    user: subject === null ? { uid: client ?? "(unidentified)", type_id: 3 } : { uid: subject, type_id: 1 },
    ...(token === null
      ? {}
      : {
          session: {
            uid: token,
            ...(expiresAt === 0 ? {} : { expiration_time: expiresAt }),
            ...(grants[0] === undefined ? {} : { uid_alt: grants[0] }),
            ...(proof === null ? {} : { credential_uid: proof }),
          },
        }),
    status_id: verdict === "allow" ? 1 : 2,
    ...(code === null ? {} : { status_code: code, status_detail: code }),
  };
}

/** The last word of an action, as an activity of the class; 99 says the word itself. */
const activities: Readonly<Record<string, number>> = {
  ...{ create: 1, token: 1, add: 1, import: 1, enrol: 6, enroll: 6 },
  ...{ read: 2, list: 2, plan: 2, explain: 2, show: 2 },
  ...{ update: 3, apply: 3, rotate: 3, set: 3, replay: 3, configure: 3 },
  ...{ delete: 4, remove: 4, retire: 4, revoke: 4, kill: 4, end: 4, erase: 4 },
  ...{ enable: 8, disable: 9, activate: 10, suspend: 12, pause: 12, resume: 13 },
};

export function entityManagement(leaf: Admin, nameOf: NameOf): OcsfPart {
  const { actor, action, object } = leaf;
  const word = action.split(".").at(-1) ?? "";
  const activity = Object.hasOwn(activities, word) ? activities[word] : undefined;
  const [type = "", ...rest] = object.split("/");
  const name = nameOf(actor);
  return {
    classUid: 3004,
    ...(activity === undefined ? { activity: 99, activityName: action } : { activity }),
    attributes: {
      actor: { user: { uid: actor, ...(name === undefined ? {} : { name }) } },
      entity: { uid: object, type, ...(rest.length === 0 ? {} : { name: rest.join("/") }) },
      status_id: 1,
      message: action,
    },
  };
}
