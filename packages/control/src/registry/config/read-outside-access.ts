// Promises rules for access tokens presented at gateways that name one client each, and no user of it for a workload.
// Trusts the types (issuer-schema.ts). docs/identity/outside-access-tokens.md "The rule".
import { type OutsideAccessRule, outsideAccessKinds } from "@sallyport/protocol/token/outside-access-token.ts";
import type { OutsideKind } from "@sallyport/protocol/token/outside-token.ts";
import type { IssuerConfig } from "./estate.ts";
import { errorAt, type Finding } from "./finding.ts";
import type { IssuerSource } from "./issuer-schema.ts";
import { acrOf } from "./step-up-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** Nothing where no token may be presented, so that such an issuer does not travel to gateways. */
export function accessRules({ gateways }: IssuerSource): Pick<IssuerConfig, "gateways"> {
  if (gateways.length === 0) return {};
  return {
    gateways: gateways.map(
      ({ system, party, subject, claims, speaksFor, audiences, carries, acr }): OutsideAccessRule => {
        const levels = Object.entries(acr ?? {}).map(([said, level]) => [said, acrOf(level)] as const);
        return {
          system,
          party,
          ...(subject === undefined ? {} : { subject }),
          claims,
          speaksFor,
          audiences,
          ...(carries === undefined ? {} : { carries }),
          ...(levels.length === 0 ? {} : { acr: Object.fromEntries(levels) }),
        };
      },
    ),
  };
}

export function refuseLooseAccess(tree: MapTree, { gateways, preset }: IssuerSource, kind: OutsideKind): Finding[] {
  if (gateways.length === 0) return [];
  if (!outsideAccessKinds.includes(kind))
    return [
      errorAt(
        spotOf(tree, ["gateways"], "key"),
        `tokens of the preset \`${preset}\` are not access tokens`,
        "let them be traded for one of ours (`systems`), or use `preset: keycloak` or `preset: access-token`",
      ),
    ];
  return gateways.flatMap((rule, index) => [
    ...refuseUserAsWorkload(tree, index, rule),
    ...refuseSamePins(tree, index, gateways),
  ]);
}

type Rule = IssuerSource["gateways"][number];

function refuseUserAsWorkload(tree: MapTree, index: number, { speaksFor, subject, acr }: Rule): Finding[] {
  if (speaksFor !== "workload") return [];
  const findings: Finding[] = [];
  if (subject === undefined)
    findings.push(
      errorAt(
        spotOf(tree, ["gateways", index]),
        "every user of this client would count as the workload itself",
        "add `subject`: the whole `sub` of the client's own tokens (Keycloak: the id of its service account)",
      ),
    );
  if (acr !== undefined)
    findings.push(
      errorAt(spotOf(tree, ["gateways", index, "acr"], "key"), "a workload does not log in", "remove `acr`"),
    );
  return findings;
}

/** A token that two rules fit is refused, so one of them would never be used, nor the other. */
function refuseSamePins(tree: MapTree, index: number, rules: readonly Rule[]): Finding[] {
  const pins = ({ party, subject, claims, speaksFor }: Rule) =>
    JSON.stringify([party, subject ?? null, speaksFor, Object.entries(claims).sort()]);
  const rule = rules[index];
  const first = rules.findIndex((other) => rule !== undefined && pins(other) === pins(rule));
  if (first === index) return [];
  return [
    errorAt(
      spotOf(tree, ["gateways", index]),
      `the same tokens as rule ${first + 1}: a token that two rules fit is refused`,
      "keep one of them, or pin what tells them apart under `claims`",
    ),
  ];
}
