// Promises one integration, from its file or from a `uses` entry, as one environment sees it. Trusts the types (integration-schema.ts).
// Specified in docs/configuration.md "integrations/<id>.yaml".
import type { ProofKind } from "@sallyport/protocol/principal.ts";
import type { GrantedOperation } from "@sallyport/protocol/snapshot/objects.ts";
import { corsOf } from "./cors-schema.ts";
import { dataClasses } from "./data-classes.ts";
import type { IntegrationConfig } from "./estate.ts";
import { compareText, errorAt, type Finding, placeOf, warningAt } from "./finding.ts";
import { type IntegrationSource, integrationSchema } from "./integration-schema.ts";
import { nearest } from "./nearest.ts";
import { readExchange } from "./read-exchange.ts";
import { readLimits } from "./read-limits.ts";
import { readMode } from "./read-mode.ts";
import { shape } from "./shape.ts";
import { stepUpOf } from "./step-up-schema.ts";
import { type MapTree, spotOf, type Tree, textAt } from "./yaml-tree.ts";

/** What is known of an integration before its systems are looked at. */
export interface IntegrationDraft {
  readonly id: string;
  readonly tree: MapTree;
  /** Null owner: the owner of `from`. */
  readonly owner: string | null;
  /** Null: broken, `findings` says why. */
  readonly config: Omit<IntegrationConfig, "owner"> | null;
  readonly findings: readonly Finding[];
  /** The file named this environment itself; otherwise it holds wherever both systems are. */
  readonly explicit: boolean;
}

export interface IntegrationSourceTree {
  readonly id: string;
  readonly tree: MapTree;
  readonly explicit: boolean;
}

export function readIntegration({ id, tree, explicit }: IntegrationSourceTree, now: number): IntegrationDraft {
  const shaped = shape(integrationSchema, tree);
  if (shaped.value === null) return { id, tree, owner: null, config: null, findings: shaped.findings, explicit };
  const source = shaped.value;
  const findings: Finding[] = [];
  const operations = readGranted(tree, source, findings);
  const mode = readMode(tree, source, now);
  findings.push(...mode.findings);
  const config: Omit<IntegrationConfig, "owner"> = {
    id,
    from: source.from,
    to: source.to,
    purpose: source.purpose,
    ...readProof(tree, source, findings),
    ...readLimits(tree, { limits: source.limits, granted: operations.map(({ name }) => name) }, findings),
    operations,
    ...(source.data === undefined ? {} : { data: dataClasses.filter((one) => source.data?.includes(one)) }),
    ...corsOf(source.cors),
    ...(source.review === undefined ? {} : { reviewMs: source.review }),
    ...(source.expires === undefined ? {} : { expiresAtMs: source.expires }),
    onExpiry: source.onExpiry,
    ...readExchange(tree, { source, granted: operations.map(({ name }) => name) }, findings),
    ...(mode.mode === undefined ? {} : { mode: mode.mode }),
    declaredAt: placeOf(tree.entries.has("integration") ? spotOf(tree, ["integration"], "key") : tree.at),
  };
  if (source.from === source.to)
    findings.push(errorAt(spotOf(tree, ["to"]), "a system does not cross to itself", "remove the integration"));
  findings.push(...datesPassed(tree, config, now));
  const isBroken = findings.some((finding) => finding.severity === "error");
  return { id, tree, owner: source.owner ?? null, config: isBroken ? null : config, findings, explicit };
}

function readGranted(tree: MapTree, source: IntegrationSource, findings: Finding[]): GrantedOperation[] {
  if (!Array.isArray(source.operations)) {
    if (Object.keys(source.operations).length === 0)
      findings.push(errorAt(spotOf(tree, ["operations"]), "no operation is granted", "name at least one"));
    return Object.entries(source.operations)
      .map(([name, bounds]) => ({
        name,
        ...(bounds?.body === undefined ? {} : { bodyBytesMax: bounds.body }),
        ...(bounds?.timeout === undefined ? {} : { timeoutMs: bounds.timeout }),
        ...(bounds?.redact === undefined || bounds.redact.length === 0 ? {} : { redact: bounds.redact }),
        ...priorityOf(bounds?.priority ?? source.priority),
        ...stepUpOf(bounds ?? {}),
      }))
      .sort((a, b) => compareText(a.name, b.name));
  }
  const names = source.operations;
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index)
      findings.push(errorAt(spotOf(tree, ["operations", index]), "the operation is named twice", "keep one"));
  }
  return names.map((name) => ({ name, ...priorityOf(source.priority) })).sort((a, b) => compareText(a.name, b.name));
}

const priorityOf = (priority: GrantedOperation["priority"]): Pick<GrantedOperation, "priority"> =>
  priority === undefined || priority === "normal" ? {} : { priority };

type ProofFields = Pick<IntegrationConfig, "proof" | "bearerUntilMs" | "bearerReason">;

/** Whoever has a copy of what was presented has all there is. */
const looseProofs = [
  {
    kind: "bearer",
    rule: "bearer-accepted",
    message: "tokens without proof of possession are accepted: whoever steals one can use it",
    fix: "move the caller to DPoP or mTLS before `until`",
  },
  {
    kind: "api-key",
    rule: "api-key-accepted",
    message: "API keys are accepted: whoever sees one request, log or file can call until the key ends",
    fix: "move the caller to DPoP, mTLS or message signatures before `until`",
  },
] as const;

function readProof(tree: MapTree, source: IntegrationSource, findings: Finding[]): ProofFields {
  const { accept, reason, until } = source.proof;
  const order: readonly ProofKind[] = ["mtls", "dpop", "signature", "bearer", "api-key"];
  const proof = order.filter((kind) => accept.includes(kind));
  const loose = looseProofs.filter(({ kind }) => accept.includes(kind));
  if (loose.length === 0) {
    for (const key of ["reason", "until"] as const) {
      if (source.proof[key] !== undefined)
        findings.push(
          errorAt(
            spotOf(tree, ["proof", key], "key"),
            `\`${key}\` belongs to \`bearer\` or \`api-key\`, which are not accepted`,
            "remove it",
          ),
        );
    }
    return { proof };
  }
  if (reason === undefined || until === undefined) {
    const fix = "add `reason: …` and `until: <date>`, or accept dpop and mtls only";
    const message = `\`${loose[0]?.kind ?? ""}\` needs \`reason\` and \`until\``;
    findings.push(errorAt(spotOf(tree, ["proof", "accept"]), message, fix));
    return { proof };
  }
  for (const { kind: _kind, ...words } of loose) findings.push(warningAt(spotOf(tree, ["proof", "accept"]), words));
  return { proof, bearerUntilMs: until, bearerReason: reason };
}

function datesPassed(tree: MapTree, config: Omit<IntegrationConfig, "owner">, now: number): Finding[] {
  const findings: Finding[] = [];
  if (config.reviewMs !== undefined && config.reviewMs <= now) {
    findings.push(
      warningAt(spotOf(tree, ["review"]), {
        rule: "review-overdue",
        message: "the review is overdue",
        fix: "look at the integration, then write the day of the next review",
      }),
    );
  }
  if (config.expiresAtMs !== undefined && config.expiresAtMs <= now) {
    const message =
      config.onExpiry === "suspend" ? "the integration has expired and is not served" : "the integration has expired";
    const fix = "remove the file, or write a later day";
    findings.push(warningAt(spotOf(tree, ["expires"]), { rule: "integration-expired", message, fix }));
  }
  if (config.bearerUntilMs !== undefined && config.bearerUntilMs <= now) {
    findings.push(
      warningAt(spotOf(tree, ["proof", "until"]), {
        rule: "bearer-ended",
        message: `${config.proof.includes("bearer") ? "`bearer`" : "`api-key`"} is no longer accepted`,
        fix: "remove it, or write a later day",
      }),
    );
  }
  return findings;
}

/** What an entry of `uses` may say. */
const shortKeys: readonly string[] = ["to", "purpose", "operations"];

/** A `uses` entry as the integration `<from>-to-<to>`: the entry's own keys, plus `from` and the id, placed at the entry. */
export function integrationOfUse(from: string, entry: Tree): IntegrationSourceTree | { readonly finding: Finding } {
  if (entry.kind !== "map")
    return {
      finding: errorAt(
        entry.at,
        "expected a map with `to`, `purpose` and `operations`",
        "write `- to: <system>` and the rest below it",
      ),
    };
  const to = textAt(entry, ["to"]);
  if (to === null) return { finding: errorAt(spotOf(entry, ["to"]), "`to` is missing", "name the providing system") };
  for (const [key, { keyAt }] of entry.entries) {
    if (!shortKeys.includes(key)) {
      const meant = nearest(key, shortKeys);
      const slip = meant === null ? "" : `did you mean \`${meant}\`? Else `;
      const fix = `${slip}move the entry to integrations/${from}-to-${to.slice(0, 63)}.yaml, where every key may stand`;
      return { finding: errorAt(keyAt, `\`${key.slice(0, 64)}\` is not a key of the short form`, fix) };
    }
  }
  const id = `${from}-to-${to}`;
  const scalar = (value: string) => ({
    keyAt: entry.at,
    plainKey: false,
    value: { kind: "scalar" as const, at: entry.at, value, source: value, plain: false, comment: null },
  });
  const entries = new Map([...entry.entries, ["integration", scalar(id)], ["from", scalar(from)]] as const);
  return { id, tree: { ...entry, entries }, explicit: false };
}
