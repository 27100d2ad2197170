import assert from "node:assert/strict";
import { test } from "node:test";
import { filesOf, integration } from "@sallyport/control/registry/lint/example.ts";
import { lintFiles } from "@sallyport/control/registry/lint/lint.test-support.ts";
import { rules } from "@sallyport/control/registry/lint/rules.ts";
import { checkWords } from "./check-words.ts";
import { type CheckedDirectory, located } from "./findings-report.ts";
import { githubLines } from "./github.ts";
import { junitXml } from "./junit.ts";
import { sarifLog } from "./sarif.ts";

const waivers =
  "limits: []\nwaivers:\n  - rule: review-missing\n    reason: The partner audits it\n    owner: team:default\n    until: 2027-01-31";
const checked: CheckedDirectory = {
  directory: "estate",
  prefix: "a b/estate",
  environments: [{ name: "production", systems: 2, integrations: 1 }],
  findings: lintFiles(filesOf(integration(waivers))),
};

interface Sarif {
  $schema: string;
  version: string;
  runs: {
    tool: {
      driver: {
        name: string;
        version: string;
        rules: {
          id: string;
          name: string;
          helpUri: string;
          shortDescription: { text: string };
          fullDescription: { text: string };
          help: { text: string };
          defaultConfiguration: { level: string };
        }[];
      };
    };
    columnKind: string;
    results: {
      ruleId: string;
      ruleIndex: number;
      level: string;
      message: { text: string };
      locations: {
        physicalLocation: {
          artifactLocation: { uri: string; uriBaseId: string };
          region: { startLine: number; startColumn: number };
        };
      }[];
      partialFingerprints: Record<string, string>;
      suppressions?: { kind: string; status: string; justification: string; location: unknown }[];
    }[];
  }[];
}

test("SARIF 2.1.0: every field a code scanner reads, with a region in the file, the rule's index and its page", () => {
  const log = sarifLog(located([checked]), { rules, version: "1.2.3" }) as Sarif; // the shape asserted below, field by field
  assert.equal(log.version, "2.1.0");
  assert.equal(new URL(log.$schema).pathname, "/sarif-2.1.0.json");
  assert.equal(log.runs.length, 1);
  const [run] = log.runs;
  assert.ok(run !== undefined);
  const { driver } = run.tool;
  assert.deepEqual([driver.name, driver.version, run.columnKind], ["sallyport", "1.2.3", "utf16CodeUnits"]);
  assert.deepEqual(
    driver.rules.map(({ id }) => id),
    rules.map(({ id }) => id),
  );
  for (const rule of driver.rules) {
    assert.equal(new URL(rule.helpUri).href, `https://sallyport.dev/lint/${rule.id}`);
    assert.match(rule.name, /^([A-Z][a-z]+)+$/);
    assert.ok(["error", "warning", "note"].includes(rule.defaultConfiguration.level));
    for (const { text } of [rule.shortDescription, rule.fullDescription, rule.help]) assert.ok(text.length > 10);
  }
  assert.equal(run.results.length, checked.findings.length);
  for (const [index, result] of run.results.entries()) {
    const finding = checked.findings[index];
    assert.ok(finding !== undefined);
    assert.equal(driver.rules[result.ruleIndex]?.id, result.ruleId);
    assert.equal(result.ruleId, finding.rule);
    assert.equal(result.level, finding.severity === "info" ? "note" : finding.severity);
    assert.ok(result.message.text.includes(finding.message));
    const [location] = result.locations;
    assert.deepEqual(location?.physicalLocation, {
      artifactLocation: { uri: `a%20b/estate/${finding.file}`, uriBaseId: "ROOT" },
      region: { startLine: finding.line, startColumn: finding.column },
    });
  }
  const prints = run.results.map(({ partialFingerprints }) => JSON.stringify(partialFingerprints));
  assert.equal(new Set(prints).size, prints.length, "no two findings are taken for one");
});

test("SARIF: a waived finding is a result with an accepted suppression in the source, an open one has none", () => {
  const log = sarifLog(located([checked]), { rules, version: "1.2.3" }) as Sarif; // as above
  const results = log.runs[0]?.results ?? [];
  const waived = results.filter(({ suppressions }) => suppressions !== undefined);
  assert.deepEqual(
    waived.map(({ ruleId }) => ruleId),
    ["review-missing"],
  );
  const [suppression] = waived[0]?.suppressions ?? [];
  assert.deepEqual([suppression?.kind, suppression?.status], ["inSource", "accepted"]);
  assert.match(suppression?.justification ?? "", /The partner audits it \(team:default, until 2027-01-31\)/);
  assert.deepEqual(suppression?.location, {
    physicalLocation: {
      artifactLocation: { uri: "a%20b/estate/integrations/orders-to-billing.yaml", uriBaseId: "ROOT" },
      region: { startLine: 7, startColumn: 11 },
    },
  });
});

test("SARIF: a finding keeps its fingerprint when lines above it come", () => {
  const prints = (text: string) => {
    const findings = lintFiles(filesOf(text));
    const log = sarifLog(located([{ ...checked, findings }]), { rules, version: "1" }) as Sarif; // as above
    return log.runs[0]?.results.map((result) => result.partialFingerprints);
  };
  const text = integration("limits: []");
  assert.deepEqual(prints(text.replace("from:", "# a comment\n\nfrom:")), prints(text));
});

test("GitHub: errors, warnings and notices beside their lines; a waived finding is a notice", () => {
  const lines = githubLines(located([checked]));
  assert.ok(
    lines.some((line) =>
      line.startsWith(
        "::warning file=a b/estate/integrations/orders-to-billing.yaml,line=5,col=9,title=rate-unlimited::",
      ),
    ),
    lines.join("\n"),
  );
  assert.ok(lines.some((line) => line.startsWith("::notice ") && line.includes("Waived by team:default")));
});

test("attack: a text from a file cannot become a workflow command of its own, nor break out of XML", () => {
  const evil = 'x\n::error::owned\r%0A::add-mask::y," <&>\u0000]]>';
  const finding = { ...checked.findings[0], message: evil, file: "a,b:c.yaml" };
  const lines = githubLines(located([{ ...checked, findings: [finding as (typeof checked.findings)[number]] }])); // changed in two texts only
  assert.equal(lines.length, 1);
  assert.doesNotMatch(lines[0] ?? "", /[\r\n]/);
  assert.ok(lines[0]?.includes("file=a b/estate/a%2Cb%3Ac.yaml,line="));
  assert.ok(lines[0]?.includes("%250A"), "what looks encoded already stays text");
  const xml = junitXml([
    { name: evil, cases: [{ name: evil, classname: "c", failure: { type: "t", message: evil, text: evil } }] },
  ]);
  assert.doesNotMatch(xml, /\u0000|<&|]]>/);
  assert.equal(xml.match(/<[a-z/?]/g)?.length, 9, "no element but ours");
});

test("JUnit: counts, passed, failed and skipped cases", () => {
  const xml = junitXml([
    {
      name: "s",
      cases: [
        { name: "a", classname: "c" },
        { name: "b", classname: "c", failure: { type: "t", message: "m", text: "x" } },
        { name: "d", classname: "c", skipped: "waived" },
      ],
    },
  ]);
  assert.match(
    xml,
    /^<\?xml version="1\.0" encoding="UTF-8"\?>\n<testsuites>\n {2}<testsuite name="s" tests="3" failures="1" errors="0" skipped="1">/,
  );
  assert.match(xml, /<testcase name="b" classname="c">\s*<failure type="t" message="m">x<\/failure>/);
  assert.match(xml, /<skipped message="waived"\/>/);
});

test("text: errors and warnings each on a line, many infos of one rule on one, and a last line that sums up", () => {
  const info = (n: number) => ({
    rule: "review-missing",
    severity: "info" as const,
    file: `integrations/i${n}.yaml`,
    line: 1,
    column: 1,
    path: "$",
    message: "nobody has to look at it again",
    fix: "add it",
  });
  const words = (count: number) =>
    checkWords([{ ...checked, findings: Array.from({ length: count }, (_, n) => info(n)) }]);
  assert.equal(words(3).length, 3 + 2);
  assert.equal(words(40).length, 1 + 2);
  assert.match(words(40)[0] ?? "", /\[review-missing\] and 39 more: .*`--rule review-missing` lists them/);
  assert.equal(words(40).at(-1), "no errors, 40 infos");
});
