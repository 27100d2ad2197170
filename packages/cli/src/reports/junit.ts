// Promises JUnit XML that CI systems read: suites of cases, each passed, failed or skipped. Pure.
// Trusts nothing: every text is escaped, and what XML 1.0 cannot hold is replaced. Specified by the JUnit XML that Jenkins and GitLab read.

export interface JunitCase {
  readonly name: string;
  readonly classname: string;
  /** Absent: passed. */
  readonly failure?: { readonly type: string; readonly message: string; readonly text: string };
  readonly skipped?: string;
  readonly file?: string;
}

export interface JunitSuite {
  readonly name: string;
  readonly cases: readonly JunitCase[];
}

export function junitXml(suites: readonly JunitSuite[]): string {
  const body = suites.map((suite) => {
    const failures = suite.cases.filter(({ failure }) => failure !== undefined).length;
    const skipped = suite.cases.filter((one) => one.skipped !== undefined).length;
    const counts = `tests="${suite.cases.length}" failures="${failures}" errors="0" skipped="${skipped}"`;
    return [
      `  <testsuite name="${escaped(suite.name)}" ${counts}>`,
      ...suite.cases.map(caseXml),
      "  </testsuite>",
    ].join("\n");
  });
  return ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", ...body, "</testsuites>", ""].join("\n");
}

function caseXml(one: JunitCase): string {
  const file = one.file === undefined ? "" : ` file="${escaped(one.file)}"`;
  const open = `    <testcase name="${escaped(one.name)}" classname="${escaped(one.classname)}"${file}`;
  if (one.failure !== undefined) {
    const { type, message, text } = one.failure;
    return `${open}>\n      <failure type="${escaped(type)}" message="${escaped(message)}">${escaped(text)}</failure>\n    </testcase>`;
  }
  if (one.skipped !== undefined) return `${open}>\n      <skipped message="${escaped(one.skipped)}"/>\n    </testcase>`;
  return `${open}/>`;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  "\n": "&#10;",
  "\t": "&#9;",
};

function escaped(text: string): string {
  return (
    text
      .toWellFormed()
      // XML 1.0 §2.2: these may not stand in a document, not even as a reference.
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]/g, "\ufffd")
      .replace(/[&<>"'\n\t]/g, (character) => entities[character] ?? character)
  );
}
