// Promises the closed form of every field of leaf v1: what each may hold, as patterns. Trusts nothing.
// Specified in docs/formats/leaf.md "Forms" and "Members, in order".
import { problems } from "../problem.ts";
import { grantWords } from "../token/grant-type.ts";
import { type Leaf, unkeptReasons } from "./leaf.ts";

/** One member of a leaf: its name and the pattern of its printed JSON value. */
export interface Member {
  readonly name: string;
  /** Source of a regular expression without anchors or capture groups. */
  readonly value: string;
  /** Differs from leaf to leaf (ids, hashes): remembering its values would be waste. */
  readonly unique: boolean;
}

export type LeafType = Leaf["t"];

const text = (form: string) => `"${form}"`;
const oneOf = (words: readonly string[]) => `"(?:${words.join("|")})"`;
const orNull = (form: string) => `(?:null|${form})`;
const atMost = (length: number, form: string) => `(?=[^"]{0,${length}}")${form}`;

const ulid = "[0-7][0-9A-HJKMNP-TV-Z]{25}";
const word = "[a-z][a-z0-9-]{0,126}";

const id = text(word);
const eventId = text(`(?:${word}-)?${ulid}`);
const hash = text("[0-9a-f]{64}");
const pseudonym = text("[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{21}[AQgw]");
const operation = text(atMost(255, `${word}:(?:\\(undeclared\\)|[a-z][a-z0-9_-]*(?:\\.[a-z][a-z0-9_-]*)*)`));
const policyId = text("[A-Za-z0-9][A-Za-z0-9._:/@#-]{0,254}");
const policies = `\\[(?:${policyId}(?:,${policyId}){0,63})?\\]`;
const action = text(atMost(127, "[a-z][a-z0-9-]*(?:\\.[a-z][a-z0-9-]*)*"));
const object = text(atMost(255, "[a-z][a-z0-9-]*(?:/[A-Za-z0-9][A-Za-z0-9._:@-]*)*"));
const audience = text(atMost(512, "https?://[A-Za-z0-9.:[\\]-]+(?:/[A-Za-z0-9._~-]+)*"));
const version = text(atMost(64, "[0-9]+\\.[0-9]+\\.[0-9]+(?:-[0-9A-Za-z.-]+)?"));
const origin = text(atMost(512, "[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9-]*)+"));
const code = oneOf(Object.keys(problems));
const reason = text("[a-z][a-z0-9_-]{0,63}");
/** Whole numbers of up to fifteen digits. */
export const numberForm = "(?:0|[1-9][0-9]{0,14})";
const number = numberForm;
const status = "(?:0|[1-9][0-9]{2})";
const direction = oneOf(["request", "response"]);
const proof = oneOf(["mtls", "dpop", "bearer", "signature", "api-key"]);
const verdict = oneOf(["allow", "deny"]);
const stages = [
  "receive",
  "admit",
  "route",
  "identify",
  "bind",
  "limit",
  "authorize",
  "inspect",
  "idempotency",
  "record",
  "exchange",
  "forward",
];

const uniqueMembers: ReadonlySet<string> = new Set(["id", "inputs", "facts", "token", "previous", "key", "content"]);

/** Turns `{ name: pattern }` into members; the order of the keys is the order in the leaf. */
const members = (forms: Readonly<Record<string, string>>): readonly Member[] =>
  Object.entries(forms).map(([name, value]) => ({ name, value, unique: uniqueMembers.has(name) }));

const place = members({ at: number, tenant: id, environment: id, region: id, node: id });
const placeWithId = [...members({ id: eventId }), ...place];

const decision = members({
  kind: oneOf(["api"]),
  caller: orNull(pseudonym),
  subject: orNull(pseudonym),
  proof: orNull(proof),
  operation: orNull(operation),
  integration: orNull(id),
  mode: oneOf(["enforce", "observe", "passthrough"]),
  verdict,
  code: orNull(code),
  stage: orNull(oneOf(stages)),
  policies,
  policySet: orNull(hash),
  inputs: orNull(hash),
  address: orNull(pseudonym),
  addressClass: oneOf(["loopback", "private", "public-v4", "public-v6", "other"]),
});

/** Whose token it was stands behind the kind of proof. */
const issuedDecision = decision.flatMap((member) =>
  member.name === "proof" ? [member, ...members({ issuer: id })] : [member],
);

/** Also says which token: the same in every crossing with it, so it is remembered like a caller. */
const tokenDecision = decision.flatMap((member) =>
  member.name === "proof"
    ? [member, ...members({ issuer: orNull(id) }), { name: "token", value: pseudonym, unique: false }]
    : [member],
);

const outcome = members({
  outcome: oneOf(["success", "business-error", "system-error", "denied", "aborted", "unknown", "unobserved"]),
  status,
  upstreamStatus: status,
  bytesIn: number,
  bytesOut: number,
  totalUs: number,
  upstreamUs: number,
});

const list = (form: string, most: number) => `\\[(?:${form}(?:,${form}){0,${most - 1}})?\\]`;

const formerIssuance = members({
  client: orNull(pseudonym),
  audience: orNull(audience),
  verdict,
  code: orNull(reason),
  token: orNull(pseudonym),
  proof: orNull(proof),
  expiresAt: number,
});

/** Types whose form is of a later version than 1. */
export const leafVersions: Readonly<Partial<Record<LeafType, number>>> = { issuance: 2 };

/** Of those types, the members that version 1 had: read for ever, and not written any more. */
export const formerMembers: Readonly<Partial<Record<LeafType, readonly Member[]>>> = {
  issuance: [...placeWithId, ...formerIssuance],
};

/** Members of version 2 of those types that have a second form beside the first: what an issuer outside proved says which one. */
export const issuedMembers: Readonly<Record<"crossing" | "intent", readonly Member[]>> = {
  crossing: [...placeWithId, ...issuedDecision, ...outcome],
  intent: [...placeWithId, ...issuedDecision],
};

/** Members of version 2 of an outcome: why it ended, and what it carried beside octets. */
export const endedMembers: Readonly<Record<"outcome", readonly Member[]>> = {
  outcome: [
    ...placeWithId,
    ...outcome,
    ...members({ code: orNull(code), stage: orNull(oneOf(stages)), messagesIn: number, messagesOut: number }),
  ],
};

/** Members of version 3 of those types: which token was presented. */
export const tokenMembers: Readonly<Record<"crossing" | "intent", readonly Member[]>> = {
  crossing: [...placeWithId, ...tokenDecision, ...outcome],
  intent: [...placeWithId, ...tokenDecision],
};

/** Members after `v` and `t`, in order, of every leaf type. */
export const leafMembers: Readonly<Record<LeafType, readonly Member[]>> = {
  crossing: [...placeWithId, ...decision, ...outcome],
  intent: [...placeWithId, ...decision],
  progress: [...placeWithId, ...members({ bytesIn: number, bytesOut: number })],
  outcome: [...placeWithId, ...outcome],
  denials: [...placeWithId, ...members({ code, prefix: pseudonym, count: number, windowMs: number })],
  tally: [
    ...placeWithId,
    ...members({
      from: number,
      to: number,
      seen: number,
      crossings: number,
      intents: number,
      counted: number,
      refused: number,
      unread: number,
      closed: oneOf(["time", "stop"]),
    }),
  ],
  payload: [
    ...placeWithId,
    ...members({ direction }),
    // Hardly two leaves have the same one.
    { name: "dataSubject", value: pseudonym, unique: true },
    ...members({ key: text("[0-9a-f]{16}"), content: hash, bytes: number, endsAt: number }),
  ],
  unkept: [...placeWithId, ...members({ direction, reason: oneOf(unkeptReasons), bytes: number })],
  buffered: [...placeWithId, ...members({ upTo: number })],
  settled: [...placeWithId, ...members({ early: number })],
  origin: [
    ...place,
    ...members({ origin, previous: orNull(hash), previousOrigin: orNull(origin), previousSize: number }),
  ],
  start: [...place, ...members({ role: oneOf(["all", "control", "gateway"]), version, recovered: number })],
  admin: [...placeWithId, ...members({ actor: pseudonym, action, object, facts: orNull(hash) })],
  issuance: [
    ...placeWithId,
    ...formerIssuance,
    ...members({
      grantType: orNull(oneOf(grantWords)),
      subject: orNull(pseudonym),
      grants: list(text("[a-z]{3}_[A-Za-z0-9_-]{1,64}"), 16),
      operations: orNull(list(operation, 128)),
      policies,
      inputs: orNull(hash),
    }),
  ],
};
