// Promises that the house rules hold in every tracked and new file, and that it saw the files. Trusts git's list of them.
// The rules are specified in CONTRIBUTING.md; each is a pure function in tools/tidy, proved by rules.test.ts on planted violations.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { problems } from "../packages/protocol/src/problem.ts";
import { badComments, bannedCode, bannedImports, machinePaths, weakenedTls } from "./tidy/bans.ts";
import {
  decisionNumbers,
  looseVersions,
  type PipelineRow,
  pipelineInReadme,
  problemPages,
  undecidedDependencies,
  untestedCodes,
} from "./tidy/docs-in-step.ts";
import { importCycles, impureProtocol, undeclaredDependencies, wrongDirection } from "./tidy/imports.ts";
import { badNames, unintroducedCapabilities } from "./tidy/names.ts";
import { oversized, type Ratchet } from "./tidy/sizes.ts";
import { listFiles, type Violation } from "./tidy/source-text.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const files = listFiles(root);
// The shape of ratchet.json is checked by every use below.
const ratchet = JSON.parse(readFileSync(join(root, "tools/tidy/ratchet.json"), "utf8")) as Ratchet;

function none(violations: readonly Violation[]): void {
  const lines = violations.map(({ path, line, message }) => `${path}:${line}: ${message}`);
  assert.equal(lines.length, 0, `\n${lines.join("\n")}\n`);
}

test("tidy sees the files: all packages and at least 200 sources", () => {
  const sources = files.filter(({ path }) => /^(packages|tools|examples|bench)\/.*\.ts$/.test(path));
  assert.ok(sources.length >= 200, `only ${sources.length}`);
  for (const name of ["protocol", "kernel", "gateway", "control", "sdk", "cli"]) {
    assert.ok(
      sources.some(({ path }) => path.startsWith(`packages/${name}/src/`)),
      name,
    );
  }
});

test("imports go one way between packages", () => none(wrongDirection(files)));
test("no file imports itself over others", () => none(importCycles(files)));
test("protocol is pure", () => none(impureProtocol(files)));
test("packages declare what they import", () => none(undeclaredDependencies(files)));
test("no connection is opened outside kernel/dial, no secret revealed, no barrel, no default export", () =>
  none([...bannedCode(files), ...bannedImports(files)]));
test("nothing switches off the verification of the other side", () => none(weakenedTls(files)));
test("comments hold no dead code and no orphaned TODO", () => none(badComments(files)));
test("no path of one machine is in sources or documents", () => none(machinePaths(files)));
test("files and folders are named after things, in kebab-case", () => none(badNames(files)));
test("each capability says what it promises, what it trusts and where that is specified", () =>
  none(unintroducedCapabilities(files)));
test("files and functions stay small", () => none(oversized(files, ratchet)));
test("each problem code has its page, and each page its code", () => none(problemPages(files, problems)));
test("each problem code is named by a test", () =>
  none(untestedCodes(files, Object.keys(problems), ratchet.codesWithoutTest)));
test("each runtime dependency has a decision", () => none(undecidedDependencies(files)));
test("each decision has a number of its own", () => none(decisionNumbers(files)));
test("each dependency is pinned to one version", () => none(looseVersions(files)));

const pipeline = join(root, "packages/gateway/src/pipeline.ts");
test("the README's path of a crossing equals pipeline.ts", {
  skip: existsSync(pipeline) ? false : "pipeline.ts does not exist yet",
}, async () => {
  const loaded: { readonly pipelineTable?: readonly PipelineRow[] } = await import(pipeline);
  assert.ok(loaded.pipelineTable, "pipeline.ts must export pipelineTable: { stage, promise }[]");
  none(pipelineInReadme(readFileSync(join(root, "README.md"), "utf8"), loaded.pipelineTable));
});
