// For tests: promises leaves of every form there is, old ones that are only read included, and of each word of every closed vocabulary in them.
// Trusts the tables of the protocol for what there is, so that a form or word that comes later is among them.

import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import {
  endedMembers,
  formerMembers,
  issuedMembers,
  leafMembers,
  leafVersions,
  type Member,
  tokenMembers,
} from "@sallyport/protocol/audit/leaf-form.ts";
import { LeafRefused, printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";

type Fields = Readonly<Record<string, unknown>>;

const pseudonym = "2026:abcdefghijklmnopqrstuQ";
const hash = "ab".repeat(32);
const place = { at: 1_795_305_600_000, tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const decision = {
  ...{ kind: "api", caller: pseudonym, subject: pseudonym, proof: "dpop", operation: "billing:invoice.read" },
  ...{ integration: "orders-to-billing", mode: "enforce", verdict: "allow", code: null, stage: null, policies: ["a"] },
  ...{ policySet: hash, inputs: null, address: pseudonym, addressClass: "private" },
};
const outcome = {
  ...{ outcome: "success", status: 200, upstreamStatus: 200, bytesIn: 0, bytesOut: 1, totalUs: 2, upstreamUs: 1 },
};
const issued = {
  ...{ client: pseudonym, audience: "https://id.acme.example/main", verdict: "allow", code: null, token: pseudonym },
  ...{ proof: "mtls", expiresAt: 1 },
};
const issuer = { issuer: "keycloak" };
const token = { issuer: null, token: pseudonym };
const ended = { code: null, stage: null, messagesIn: 1, messagesOut: 2 };

/** One leaf of each form but those that only the log itself writes; `type/version`. */
const examples: Readonly<Record<string, Fields>> = {
  "crossing/1": { ...decision, ...outcome },
  "crossing/2": { ...decision, ...issuer, ...outcome },
  "crossing/3": { ...decision, ...token, ...outcome },
  "intent/1": decision,
  "intent/2": { ...decision, ...issuer },
  "intent/3": { ...decision, ...token },
  "progress/1": { bytesIn: 1, bytesOut: 2 },
  "outcome/1": outcome,
  "outcome/2": { ...outcome, ...ended },
  "denials/1": { code: "token-expired", prefix: pseudonym, count: 1, windowMs: 10_000 },
  "payload/1": {
    direction: "request",
    dataSubject: pseudonym,
    key: "0123456789abcdef",
    content: hash,
    bytes: 1,
    endsAt: 2,
  },
  "unkept/1": { direction: "response", reason: "empty", bytes: 0 },
  "buffered/1": { upTo: 1_024 },
  "settled/1": { early: 2 },
  "admin/1": { actor: pseudonym, action: "integration.suspend", object: "integration/a", facts: null },
  "issuance/1": issued,
  "issuance/2": {
    ...{ ...issued, grantType: null, subject: null, grants: ["grt_AAAA"], operations: ["a:b"], policies: ["a"] },
    inputs: null,
  },
};

type Table = Readonly<Record<string, readonly Member[]>>;
const tables: readonly (readonly [Table, (t: string) => number])[] = [
  // as: the names of the table are the types.
  [leafMembers, (t) => leafVersions[t as Leaf["t"]] ?? 1],
  [formerMembers as Table, () => 1],
  [issuedMembers, () => 2],
  [endedMembers, () => 2],
  [tokenMembers, () => 3],
];
const forms = tables.flatMap(([table, version]) =>
  Object.entries(table).map(([t, members]) => ({ t, name: `${t}/${version(t)}`, members })),
);
/** Every form there is. */
export const formNames: readonly string[] = forms.map(({ name }) => name).sort();

export interface FormLeaf {
  readonly t: Leaf["t"];
  readonly leaf: Uint8Array;
}

/** In an order in which a log may hold them; `nextId` gives an event id that was not given before. The tally of it is the caller's. */
export function everyForm(nextId: () => string, content: string): readonly FormLeaf[] {
  return forms.flatMap(({ t, name, members }) => {
    const example = examples[name];
    if (example === undefined) return [];
    return [example, ...variants(members, example)].flatMap((fields): readonly FormLeaf[] => {
      const id = nextId();
      const leaf = printed(t, id, t === "payload" ? { ...fields, content } : fields);
      return leaf === null ? [] : around(id, leaf);
    });
  });
}

/** What must stand before or behind a leaf, so that crossings are whole. */
function around(id: string, one: FormLeaf): readonly FormLeaf[] {
  const other = (t: Leaf["t"], fields: Fields) => printed(t, id, fields) ?? [];
  if (one.t === "progress" || one.t === "outcome") {
    const intent = other("intent", decision);
    return [intent, one, one.t === "progress" ? other("outcome", outcome) : []].flat();
  }
  return one.t === "intent" ? [one, other("outcome", outcome)].flat() : [one];
}

function printed(t: string, id: string, fields: Fields): FormLeaf | null {
  try {
    // as: the members are those of its table.
    const leaf = { t, id, ...place, ...fields } as unknown as Leaf;
    return { t: leaf.t, leaf: printLeaf(leaf) };
  } catch (error) {
    // Two words that contradict each other.
    if (error instanceof LeafRefused) return null;
    throw error;
  }
}

const vocabulary = /^(?:\(\?:null\|)?"\(\?:([a-z0-9_|-]+)\)"\)?$/;

function variants(members: readonly Member[], example: Fields): readonly Fields[] {
  return members.flatMap(({ name, value }) =>
    (vocabulary.exec(value)?.[1]?.split("|") ?? []).map((word) => ({ ...example, [name]: word })),
  );
}
