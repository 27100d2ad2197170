// Promises workflow commands that GitHub shows beside the lines of a pull request. Pure.
// Trusts nothing: a text from a file must not become a command of its own. Specified by GitHub's workflow commands (`::error file=…::`).
import type { Located } from "./findings-report.ts";

const commands = { error: "error", warning: "warning", info: "notice" } as const;

export function githubLines(findings: readonly Located[]): readonly string[] {
  return findings.map(({ severity, inRepository, line, column, rule, message, fix, waived }) => {
    const command = waived === undefined ? commands[severity] : "notice";
    const title = waived === undefined ? rule : `${rule} (waived until ${waived.until})`;
    const said =
      waived === undefined ? `${message}. Fix: ${fix}` : `${message}. Waived by ${waived.owner}: ${waived.reason}`;
    return `::${command} file=${property(inRepository)},line=${line},col=${column},title=${property(title)}::${data(said)}`;
  });
}

function data(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
