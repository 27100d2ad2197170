// Promises a SARIF 2.1.0 log of one run: every rule once, every finding at its place, waivers as suppressions. Pure.
// Trusts nothing but its input. Specified by OASIS SARIF 2.1.0 (§3.19 tool component, §3.27 result, §3.35 suppression).
import type { Rule } from "@sallyport/control/registry/lint/rule.ts";
import type { Located } from "./findings-report.ts";

const levels = { error: "error", warning: "warning", info: "note" } as const;
export const lintPageBase = "https://sallyport.dev/lint/";

export function sarifLog(
  findings: readonly Located[],
  from: { readonly rules: readonly Rule[]; readonly version: string },
): unknown {
  const indexes = new Map(from.rules.map(({ id }, index) => [id, index]));
  const seen = new Map<string, number>();
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "sallyport",
            version: from.version,
            informationUri: "https://sallyport.dev",
            rules: from.rules.map(ruleDescriptor),
          },
        },
        // Columns here count UTF-16 units, as the YAML parser's do.
        columnKind: "utf16CodeUnits",
        originalUriBaseIds: { ROOT: { description: { text: "The directory in which the check ran." } } },
        results: findings.map((finding) => resultOf(finding, indexes.get(finding.rule), seen)),
      },
    ],
  };
}

function ruleDescriptor(rule: Rule): unknown {
  return {
    id: rule.id,
    name: rule.id.replace(/(^|-)([a-z])/g, (_, __, letter: string) => letter.toUpperCase()),
    shortDescription: { text: `${rule.title}.` },
    fullDescription: { text: rule.why },
    help: { text: `${rule.why}\n\nFix: ${rule.fix}.` },
    helpUri: `${lintPageBase}${rule.id}`,
    defaultConfiguration: { level: levels[rule.severity] },
    properties: { tags: ["security", "configuration"] },
  };
}

function resultOf(finding: Located, ruleIndex: number | undefined, seen: Map<string, number>): unknown {
  const { rule, severity, message, fix, line, column, path, waived } = finding;
  // The key rather than the line: a finding stays the same one when lines above it come or go.
  const key = `${finding.inRepository} ${rule} ${path}`;
  const nth = (seen.get(key) ?? 0) + 1;
  seen.set(key, nth);
  return {
    ruleId: rule,
    ...(ruleIndex === undefined ? {} : { ruleIndex }),
    level: levels[severity],
    message: { text: `${message}. Fix: ${fix}` },
    locations: [
      {
        physicalLocation: {
          artifactLocation: { uri: uriOf(finding.inRepository), uriBaseId: "ROOT" },
          region: { startLine: line, startColumn: column },
        },
        logicalLocations: [{ fullyQualifiedName: path, kind: "member" }],
      },
    ],
    partialFingerprints: { "keyPath/v1": `${key} ${nth}` },
    ...(waived === undefined
      ? {}
      : {
          suppressions: [
            {
              kind: "inSource",
              status: "accepted",
              justification: `${waived.reason} (${waived.owner}, until ${waived.until})`,
              location: {
                physicalLocation: {
                  artifactLocation: {
                    uri: uriOf(finding.inRepository.slice(0, -finding.file.length) + waived.file),
                    uriBaseId: "ROOT",
                  },
                  region: { startLine: waived.line, startColumn: waived.column },
                },
              },
            },
          ],
        }),
  };
}

/** A relative reference (RFC 3986 §4.2); `:` in a first segment would read as a scheme. */
function uriOf(file: string): string {
  return file
    .split("/")
    .map((part) => encodeURIComponent(part))
    .join("/");
}
