// Promises that a waived finding is marked and never hidden, and that a waiver which is none is a finding itself. Pure.
// Trusts nothing in a waiver: without reason, owner and date it waives nothing. Specified in docs/lint/README.md "Waivers".
import type { Estate, EstateSources } from "../config/estate.ts";
import { errorAt, type Spot } from "../config/finding.ts";
import { suggest } from "../config/nearest.ts";
import { type Shaped, shape } from "../config/shape.ts";
import { estateWaiversSchema, type WaiverSource, waiversSchema } from "../config/waiver-schema.ts";
import { spotOf, type Tree } from "../config/yaml-tree.ts";
import type { LintFinding } from "./lint-finding.ts";
import { dayMs, dayOf } from "./rule.ts";
import { ruleById, rules } from "./rules.ts";

const waiverMaxDays = 366;

interface Waiver extends WaiverSource {
  /** The file whose findings it is for. */
  readonly covers: string;
  readonly spot: Spot;
}

interface Judged {
  readonly waivers: readonly Waiver[];
  readonly findings: readonly LintFinding[];
}

/** The findings with those marked that a waiver covers, and what is wrong with the waivers. */
export function applyWaivers(
  findings: readonly LintFinding[],
  from: { readonly sources: EstateSources; readonly estate: Estate; readonly now: number },
): readonly LintFinding[] {
  const teams = new Set(from.estate.teams.map(({ id }) => id));
  const judged = from.sources.waivers.map(({ file, tree }) => judge(file, tree, { teams, now: from.now }));
  const waivers = judged.flatMap((one) => one.waivers);
  const used = new Set<Waiver>();
  const marked = findings.map((finding) => {
    const covering = waivers.filter((waiver) => coversFinding(waiver, finding));
    for (const waiver of covering) used.add(waiver);
    const valid = covering.find(({ until }) => until > from.now);
    if (valid === undefined) return finding;
    const { reason, owner, until, spot } = valid;
    const { file, line, column } = spot;
    return { ...finding, waived: { reason, owner, until: dayOf(until), file, line, column } };
  });
  const about = waivers.flatMap((waiver) => aboutWaiver(waiver, used.has(waiver), from.now));
  return [...marked, ...judged.flatMap((one) => one.findings), ...about];
}

function judge(file: string, tree: Tree, known: { readonly teams: ReadonlySet<string>; readonly now: number }): Judged {
  const shaped: Shaped<readonly WaiverSource[]> =
    file === "sallyport.yaml" ? shape(estateWaiversSchema, tree) : shape(waiversSchema, tree);
  if (shaped.value === null)
    return {
      waivers: [],
      findings: shaped.findings.map(({ severity: _, ...finding }) => said("waiver-invalid", finding)),
    };
  const waivers: Waiver[] = [];
  const findings: LintFinding[] = [];
  for (const [index, source] of shaped.value.entries()) {
    const at = (key: string) => spotOf(tree, [index, key]);
    const rule = ruleById(source.rule);
    const team = source.owner.slice("team:".length);
    const problem =
      rule === undefined
        ? saidAt("waiver-unknown-rule", at("rule"), {
            message: "there is no such rule",
            fix: suggest(
              source.rule,
              rules.map(({ id }) => id),
            ),
          })
        : !rule.waivable
          ? saidAt("waiver-not-allowed", at("rule"), {
              message: `\`${rule.id}\` cannot be waived`,
              fix: "remove the waiver",
            })
          : known.teams.has(team)
            ? null
            : saidAt("waiver-invalid", at("owner"), {
                message: `there is no team \`${team}\``,
                fix: suggest(team, known.teams),
              });
    if (problem === null) waivers.push({ ...source, covers: source.file ?? file, spot: at("rule") });
    else findings.push(problem);
  }
  return { waivers, findings };
}

function coversFinding(waiver: Waiver, { rule, file, path }: LintFinding): boolean {
  if (waiver.rule !== rule || waiver.covers !== file) return false;
  const { at } = waiver;
  // A key covers what is below it, and `$.a` does not cover `$.ab`.
  return at === undefined || at === "$" || path === at || path.startsWith(`${at}.`) || path.startsWith(`${at}[`);
}

function aboutWaiver(waiver: Waiver, isUsed: boolean, now: number): readonly LintFinding[] {
  const { rule, spot, until } = waiver;
  if (!isUsed)
    return [
      saidAt("waiver-unused", spot, { message: `nothing here is \`${rule}\` any more`, fix: "remove the waiver" }),
    ];
  if (until <= now) {
    const message = `the waiver of \`${rule}\` ended on ${dayOf(until)}`;
    return [saidAt("waiver-expired", spot, { message, fix: "do what the finding says, or write a later day" })];
  }
  if (until > now + waiverMaxDays * dayMs)
    return [
      saidAt("waiver-too-long", spot, { message: `it holds until ${dayOf(until)}`, fix: "write a day within a year" }),
    ];
  return [];
}

function saidAt(rule: string, spot: Spot, words: { readonly message: string; readonly fix: string }): LintFinding {
  const { severity: _, ...finding } = errorAt(spot, words.message, words.fix);
  return said(rule, finding);
}

function said(rule: string, finding: Omit<LintFinding, "rule" | "severity">): LintFinding {
  return { ...finding, rule, severity: ruleById(rule)?.severity ?? "error" };
}
