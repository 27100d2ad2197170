// Promises the rules of this version: tokens presented where they are not for, callers that try what they were not granted, and proofs, assertions, codes and
// refresh tokens used again. Trusts the codes of records. Described in docs/findings.md "Rules".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { countDetector, type Match } from "./count-detector.ts";
import { type Rule, ruleOf, type Subject } from "./detector.ts";

const minuteMs = 60_000;

/** Whoever is known best: the proven caller or client, the token that was shown, the address, the environment as a whole. */
function subjectOf(leaf: Leaf): Subject {
  if (leaf.t === "denials") return { kind: "network", name: leaf.prefix };
  if (leaf.t === "issuance" && leaf.client !== null) return { kind: "client", name: leaf.client };
  if (leaf.t === "crossing" || leaf.t === "intent") {
    if (leaf.caller !== null) return { kind: "caller", name: leaf.caller };
    if (leaf.token !== undefined) return { kind: "token", name: leaf.token };
    if (leaf.address !== null) return { kind: "address", name: leaf.address };
  }
  return { kind: "environment", name: leaf.environment };
}

/** The code of a leaf that says no, and how often it says so; null: it does not. */
function denialOf(leaf: Leaf): { readonly code: string; readonly count: number; readonly isEnforced: boolean } | null {
  if (leaf.t === "denials") return { code: leaf.code, count: leaf.count, isEnforced: true };
  if (leaf.t !== "crossing" && leaf.t !== "intent" && leaf.t !== "issuance") return null;
  if (leaf.verdict !== "deny" || leaf.code === null) return null;
  return { code: leaf.code, count: 1, isEnforced: leaf.t === "issuance" || leaf.mode === "enforce" };
}

/** `enforced`: only where the denial was carried out; observe mode is where grants are still being found. */
function byCode(codes: readonly string[], enforced: "enforced" | "any"): (leaf: Leaf) => Match | null {
  const wanted = new Set(codes);
  return (leaf) => {
    const denial = denialOf(leaf);
    if (denial === null || !wanted.has(denial.code)) return null;
    if (enforced === "enforced" && !denial.isEnforced) return null;
    return { subject: subjectOf(leaf), code: denial.code, count: denial.count };
  };
}

export const rules: readonly Rule[] = [
  ruleOf(
    countDetector({
      id: "token-audience",
      version: 1,
      severity: "high",
      describe: "A token was presented to a system or exchange it was not issued for.",
      match: byCode(["token-audience", "subject-token-audience"], "any"),
      threshold: 1,
      windowMs: 10 * minuteMs,
    }),
  ),
  ruleOf(
    countDetector({
      id: "scope-escalation",
      version: 1,
      severity: "medium",
      describe: "Somebody was refused operations, scopes or tokens beyond their grants five times within ten minutes.",
      match: byCode(
        [
          ...["not-granted", "scope-missing", "scope-not-granted", "resource-not-granted"],
          ...["exchange-audience", "exchange-may-act", "exchange-not-granted", "exchange-scope"],
        ],
        "enforced",
      ),
      threshold: 5,
      windowMs: 10 * minuteMs,
    }),
  ),
  ruleOf(
    countDetector({
      id: "replay",
      version: 1,
      severity: "medium",
      describe: "A proof, assertion, code or refresh token was used a second time, and refused.",
      match: byCode(["dpop-replayed", "assertion-replayed", "code-reused", "device-reused", "refresh-reused"], "any"),
      threshold: 1,
      windowMs: 10 * minuteMs,
    }),
  ),
];

export function ruleById(id: string): Rule | undefined {
  return rules.find((rule) => rule.id === id);
}
