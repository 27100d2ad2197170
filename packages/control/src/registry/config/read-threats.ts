// Promises what an operation's requests are held against: what the operation says, in place of what its system says; nothing where neither does.
// Trusts threats-schema.ts. Specified in docs/threats.md.
import { type ThreatRule, type ThreatsObject, threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { ThreatsSource } from "./threats-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

interface Reader {
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** What contradicts itself, at `at`. */
export function refuseThreats({ tree, findings }: Reader, at: readonly string[], source?: ThreatsSource): void {
  if (source === undefined) return;
  const { mode, reason, shadow, except } = source;
  const say = (key: string, message: string, fix: string): void => {
    findings.push(errorAt(spotOf(tree, [...at, "threats", key], "key"), message, fix));
  };
  if (mode === "none" && reason === undefined) say("mode", "`mode: none` needs `reason`", "say why nothing is judged");
  if (mode !== "none" && reason !== undefined)
    say("reason", "`reason` belongs to `mode: none`", "remove it, or give it to an exception");
  if (mode === "none" && except.length > 0) say("except", "nothing is judged, so nothing is excepted", "remove it");
  if (mode !== "block" && shadow !== undefined)
    say(
      "shadow",
      "`shadow` names rules beside `mode: block`",
      mode === "shadow" ? "remove it: all watch" : "remove it",
    );
  const excepted = new Set(except.flatMap(({ rules, at: places }) => (places === undefined ? rules : [])));
  const twice = shadow?.find((rule) => excepted.has(rule));
  if (twice !== undefined) say("shadow", `the rule ${twice} is excepted and in shadow`, "keep one");
}

/** Of one operation; the reasons are for reviewers, not for gateways. */
export function threatsOf(
  operation: ThreatsSource | undefined,
  system: ThreatsSource | undefined,
): { readonly threats?: ThreatsObject } {
  const said = operation ?? system;
  if (said === undefined || said.mode === "none") return {};
  const excepted = new Set(said.except.flatMap(({ rules, at }) => (at === undefined ? rules : [])));
  const asked = threatRules.filter((rule) => !excepted.has(rule));
  const watches = (rule: ThreatRule): boolean => said.mode === "shadow" || (said.shadow ?? []).includes(rule);
  const except = said.except.flatMap(({ rules, at = [] }) =>
    rules.filter((rule) => !excepted.has(rule)).flatMap((rule) => at.map((place) => ({ rule, at: place }))),
  );
  return {
    threats: { block: asked.filter((rule) => !watches(rule)), shadow: asked.filter(watches), except },
  };
}
