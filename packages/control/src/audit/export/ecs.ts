// Promises one Elastic Common Schema document for every record, with the leaf and its place in it. Pure. Trusts the record.
// Specified by ECS 8.17 and docs/export.md "ECS".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { version as productVersion } from "../../version.ts";
import { findingStepOf } from "../../watch/finding-leaf.ts";
import { type ExportedRecord, type NameOf, noNames, placeOf, splitOperation } from "./exported-record.ts";

const ecsVersion = "8.17.0";

export function ecsDocument(record: ExportedRecord, nameOf: NameOf = noNames): Readonly<Record<string, unknown>> {
  const { leaf, origin, index, leafHash, text, severity } = record;
  const { event, ...rest } = partOf(leaf, nameOf);
  return {
    "@timestamp": new Date(leaf.at).toISOString(),
    ecs: { version: ecsVersion },
    event: {
      kind: "event",
      ...event,
      module: "sallyport",
      dataset: "sallyport.audit",
      provider: leaf.node,
      id: `${origin}:${index}`,
      sequence: index,
      hash: leafHash,
      severity,
      original: text,
    },
    ...rest,
    observer: { name: leaf.node, vendor: "Sallyport", product: "Sallyport", version: productVersion },
    organization: { id: leaf.tenant },
    labels: { environment: leaf.environment, region: leaf.region },
    ...("id" in leaf ? { transaction: { id: leaf.id } } : {}),
    sallyport: placeOf(record),
  };
}

interface EcsPart {
  readonly event: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

function partOf(leaf: Leaf, nameOf: NameOf): EcsPart {
  switch (leaf.t) {
    case "crossing":
    case "intent":
      return crossingPart(leaf, nameOf);
    case "outcome":
      return {
        event: { category: ["api"], type: ["access", "end"], action: "outcome", ...endOf(leaf) },
        ...statusOf(leaf),
      };
    case "progress":
      return { event: { category: ["api"], type: ["access", "info"], action: "progress" } };
    case "denials":
      return {
        event: { category: ["api"], type: ["denied"], action: "denials", outcome: "failure", reason: leaf.code },
        source: { address: leaf.prefix },
      };
    case "issuance":
      return issuancePart(leaf, nameOf);
    case "admin":
      return actPart(leaf, nameOf);
    case "start":
      return { event: { category: ["process"], type: ["start"], action: "start", outcome: "success" } };
    default:
      return otherPart(leaf);
  }
}

const otherPart = (leaf: { readonly t: string }): EcsPart => ({
  event: { category: ["process"], type: ["info"], action: leaf.t },
});

type Of<T extends Leaf["t"]> = Extract<Leaf, { readonly t: T }>;

function crossingPart(leaf: Of<"crossing" | "intent">, nameOf: NameOf): EcsPart {
  const { operation, verdict, code, caller, subject, address, integration, policies, mode } = leaf;
  return {
    event: {
      category: ["api"],
      type: ["access", verdict === "allow" || mode !== "enforce" ? "allowed" : "denied"],
      ...(operation === null ? {} : { action: operation }),
      ...(leaf.t === "crossing" ? endOf(leaf) : { outcome: "unknown" }),
      ...(code === null ? {} : { reason: code }),
    },
    ...(leaf.t === "crossing" ? statusOf(leaf) : {}),
    ...(operation === null ? {} : { service: { name: splitOperation(operation).system } }),
    ...(address === null ? {} : { source: { address } }),
    ...(policies[0] === undefined
      ? {}
      : { rule: { id: policies[0], ...(integration === null ? {} : { ruleset: integration }) } }),
    ...usersOf([caller, subject], nameOf),
  };
}

function actPart(leaf: Of<"admin">, nameOf: NameOf): EcsPart {
  const finding = findingStepOf(leaf);
  if (finding?.step === "raised")
    return {
      event: { kind: "alert", category: ["intrusion_detection"], type: ["info"], action: leaf.action },
      rule: { id: finding.rule },
    };
  return {
    event: {
      category: ["configuration"],
      type: [/(?:list|read|plan|explain|show)$/.test(leaf.action) ? "access" : "change"],
      action: leaf.action,
      outcome: "success",
    },
    ...usersOf([leaf.actor], nameOf),
  };
}

/** A business error is a failure with its reason. */
const outcomes: Readonly<Record<string, string>> = { success: "success", unknown: "unknown", unobserved: "unknown" };

function endOf({ outcome, totalUs }: Of<"crossing" | "outcome">) {
  const said = outcomes[outcome] ?? "failure";
  return { outcome: said, duration: totalUs * 1_000, ...(said === "failure" ? { reason: outcome } : {}) };
}

function statusOf({ status, bytesIn, bytesOut }: Of<"crossing" | "outcome">) {
  return {
    http: { response: { status_code: status, body: { bytes: bytesOut } }, request: { body: { bytes: bytesIn } } },
  };
}

function issuancePart(leaf: Of<"issuance">, nameOf: NameOf): EcsPart {
  const subject = "grantType" in leaf ? leaf.subject : null;
  return {
    event: {
      category: ["authentication"],
      type: [leaf.verdict === "allow" ? "start" : "denied"],
      action: "grantType" in leaf && leaf.grantType !== null ? leaf.grantType : "issuance",
      outcome: leaf.verdict === "allow" ? "success" : "failure",
      ...(leaf.code === null ? {} : { reason: leaf.code }),
    },
    ...usersOf([leaf.client, subject], nameOf),
  };
}

/** The last of those given acts; all of them are related. */
function usersOf(given: readonly (string | null)[], nameOf: NameOf) {
  const ids = given.filter((id) => id !== null);
  const id = ids.at(-1);
  if (id === undefined) return {};
  const name = nameOf(id);
  return {
    user: { id, ...(name === undefined ? {} : { name }) },
    related: { user: [...new Set(ids.flatMap((one) => [one, nameOf(one) ?? one]))] },
  };
}
