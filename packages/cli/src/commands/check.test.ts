import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runBinary } from "../program.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-check-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const bounded = { timeout: 120_000 };

/** An estate of one system whose upstream is in clear, with more lines in its file. */
function estate(name: string, more = ""): string {
  const directory = join(folder, name);
  mkdirSync(join(directory, "systems"), { recursive: true });
  writeFileSync(
    join(directory, "systems/billing.yaml"),
    `system: billing\nurl: http://billing.internal:8080\noperations:\n  invoice.read: GET /v1/invoices/{id}\n${more}`,
  );
  return directory;
}

const waiver =
  "waivers:\n  - rule: upstream-cleartext\n    reason: The mesh encrypts everything between hosts\n    owner: team:default\n    until: 2199-12-31\n";

test(
  "--fail-on decides the exit code, --rule what is looked for, and a waived finding is shown and decides nothing",
  bounded,
  async () => {
    const open = estate("open");
    const waived = estate("waived", waiver);
    const rule = ["--rule", "upstream-cleartext"];
    const [byError, byWarning] = await Promise.all([
      runBinary(["check", open, ...rule]),
      runBinary(["check", open, ...rule, "--fail-on", "warning", "--json"]),
    ]);
    assert.equal(byError.exit, 0);
    assert.match(byError.out, /systems\/billing\.yaml:2:6 warning \[upstream-cleartext\] \$\.url: .* Fix: /);
    assert.equal(byWarning.exit, 1);
    const report = JSON.parse(byWarning.out);
    assert.deepEqual([report.errors, report.warnings, report.infos, report.findings.length], [0, 1, 0, 1]);
    const accepted = await runBinary(["check", waived, ...rule, "--fail-on", "info"]);
    assert.equal(accepted.exit, 0);
    assert.match(
      accepted.out,
      /waived \[upstream-cleartext\].*Waived by team:default until 2199-12-31: The mesh encrypts/,
    );
  },
);

test(
  "several directories are one report; in SARIF and for GitHub files are named from where the command runs",
  bounded,
  async () => {
    const both = [estate("one"), estate("two")];
    const [github, sarif] = await Promise.all([
      runBinary(["check", ...both, "--format", "github"]),
      runBinary(["check", ...both, "--format", "sarif"]),
    ]);
    for (const name of ["one", "two"])
      assert.match(github.out, new RegExp(`^::warning file=[^\\n]*/${name}/systems/billing\\.yaml,line=2,col=6,`, "m"));
    const log = JSON.parse(sarif.out);
    assert.equal(log.version, "2.1.0");
    const uris: string[] = log.runs[0].results.map(
      (result: { locations: { physicalLocation: { artifactLocation: { uri: string } } }[] }) =>
        result.locations[0]?.physicalLocation.artifactLocation.uri,
    );
    assert.ok(uris.some((uri) => uri.endsWith("/one/systems/billing.yaml")));
    assert.ok(uris.some((uri) => uri.endsWith("/two/systems/billing.yaml")));
  },
);

test(
  "--list-rules and --explain teach without a directory; an unknown rule, no directory and two formats are bad use",
  bounded,
  async () => {
    const [listed, explained] = await Promise.all([
      runBinary(["check", "--list-rules", "--json"]),
      runBinary(["check", "--explain", "upstream-cleartext"]),
    ]);
    const rows = JSON.parse(listed.out);
    assert.ok(rows.length > 80);
    assert.deepEqual(Object.keys(rows[0]), ["id", "severity", "title", "waivable"]);
    assert.match(
      explained.out,
      /Fix: [\s\S]*Found in:[\s\S]*http:\/\/billing[\s\S]*Not found in:[\s\S]*docs\/lint\/upstream-cleartext\.md/,
    );
    const [unknown, nothing] = await Promise.all([
      runBinary(["check", "--explain", "upstream-cleartxt"]),
      runBinary(["check"]),
    ]);
    const twice = await runBinary(["check", folder, "--json", "--format", "sarif"]);
    assert.deepEqual([unknown.exit, nothing.exit, twice.exit], [2, 2, 2]);
    assert.match(unknown.err, /did you mean `upstream-cleartext`\?/);
  },
);

test("a fresh estate of `init` has no errors and no warnings: only what is worth knowing", bounded, async () => {
  const fresh = join(folder, "fresh");
  assert.equal((await runBinary(["init", fresh])).exit, 0);
  const checked = await runBinary(["check", fresh, "--json", "--fail-on", "warning"]);
  assert.equal(checked.exit, 0, checked.out);
  assert.ok(JSON.parse(checked.out).infos > 0);
});
