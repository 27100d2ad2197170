// Attacks that take a `forbid` away without a word: whatever stands below `policies/` is a policy, or denies and says so.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { entriesMax } from "./bounds.ts";
import { loadEstate } from "./load.ts";
import { load, soundEstate } from "./sound-estate.ts";

const forbid = "forbid(principal, action, resource);\n";
const made: string[] = [];
after(() => {
  for (const dir of made) rmSync(dir, { recursive: true });
});

function estateOf(fill: (dir: string, outside: string) => void) {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-lost-"));
  const outside = mkdtempSync(join(tmpdir(), "sallyport-lost-outside-"));
  made.push(dir, outside);
  mkdirSync(join(dir, "systems"));
  writeFileSync(join(dir, "sallyport.yaml"), "environments: [production, staging]\n");
  writeFileSync(join(dir, "systems/healthy.yaml"), "system: healthy\nenvironments: [production, staging]\n");
  writeFileSync(join(outside, "deny.cedar"), forbid);
  fill(dir, outside);
  return loadEstate(dir, { now: () => 0 });
}

const inPolicies = (fill: (policies: string, outside: string) => void) => (dir: string, outside: string) => {
  mkdirSync(join(dir, "policies"));
  fill(join(dir, "policies"), outside);
};

const attacks: readonly [string, (dir: string, outside: string) => void, readonly string[]][] = [
  [
    "`policies` links out of the estate",
    (dir, out) => symlinkSync(out, join(dir, "policies")),
    ["production", "staging"],
  ],
  [
    "`policies` links nowhere",
    (dir, out) => symlinkSync(join(out, "none"), join(dir, "policies")),
    ["production", "staging"],
  ],
  ["`policies` is a file", (dir) => writeFileSync(join(dir, "policies"), forbid), ["production", "staging"]],
  [
    "`policies/production` links out",
    inPolicies((dir, out) => symlinkSync(out, join(dir, "production"))),
    ["production"],
  ],
  [
    "`policies/production` is a file",
    inPolicies((dir) => writeFileSync(join(dir, "production"), forbid)),
    ["production", "staging"],
  ],
  ["`deny.CEDAR`", inPolicies((dir) => writeFileSync(join(dir, "deny.CEDAR"), forbid)), ["production", "staging"]],
  [
    "`production/sub/deny.cedar`",
    inPolicies((dir) => {
      mkdirSync(join(dir, "production/sub"), { recursive: true });
      writeFileSync(join(dir, "production/sub/deny.cedar"), forbid);
    }),
    ["production"],
  ],
  [
    "a folder of no environment",
    inPolicies((dir) => {
      mkdirSync(join(dir, "producton"));
      writeFileSync(join(dir, "producton/deny.cedar"), forbid);
    }),
    ["production", "staging"],
  ],
];

for (const [name, fill, denied] of attacks) {
  test(`lost forbid: ${name} is an error and denies in ${denied.join(" and ")}`, () => {
    const { estate, findings } = estateOf(fill);
    assert.ok(findings.some(({ severity, file }) => severity === "error" && file.startsWith("policies")));
    assert.deepEqual(
      estate.environments
        .filter(({ policies }) => policies.some(({ text }) => text === "unreadable policy file"))
        .map((environment) => environment.name),
      denied,
    );
  });
}

test("lost forbid: one entry more than the bound denies everything, from memory too", () => {
  const many = Object.fromEntries(
    Array.from({ length: entriesMax }, (_, i) => [
      `policies/a${i}.cedar`,
      "permit(principal, action, resource) when { false };",
    ]),
  );
  const { estate, findings } = load({ ...soundEstate(), ...many, "policies/zz-deny.cedar": forbid });
  assert.ok(findings.some(({ severity, file }) => severity === "error" && file === "policies"));
  assert.ok(estate.environments[0]?.policies.some(({ text }) => text === "unreadable policy file"));
});

test("a Kubernetes volume of policies, which consists of links inside, is read without a finding", () => {
  const { estate, findings } = estateOf(
    inPolicies((dir) => {
      mkdirSync(join(dir, "..2026_11_22_07_31_48.123456789"));
      writeFileSync(join(dir, "..2026_11_22_07_31_48.123456789/deny.cedar"), forbid);
      symlinkSync("..2026_11_22_07_31_48.123456789", join(dir, "..data"));
      symlinkSync("..data/deny.cedar", join(dir, "deny.cedar"));
    }),
  );
  assert.deepEqual(findings, []);
  assert.deepEqual(estate.environments[0]?.policies, [{ file: "policies/deny.cedar", text: forbid }]);
});

for (const folder of ["systems", "integrations", "trust"]) {
  test(`lost objects: ${folder} that links out of the estate or is a file is an error`, () => {
    for (const fill of [
      (dir: string, outside: string) => symlinkSync(outside, join(dir, folder)),
      (dir: string) => writeFileSync(join(dir, folder), ""),
    ]) {
      const { findings } = estateOf((dir, outside) => {
        rmSync(join(dir, folder), { recursive: true, force: true });
        fill(dir, outside);
      });
      assert.ok(findings.some(({ severity, file }) => severity === "error" && file === folder));
    }
  });
}

test("lost objects: a system one folder too deep and a hidden one are errors; a schema there is none", () => {
  const { findings } = load({
    ...soundEstate(),
    "systems/eu/deep.yaml": "system: deep\n",
    "systems/eu/schema.yaml": "type: object\n",
    "systems/.hidden.yaml": "system: hidden\n",
  });
  assert.deepEqual(
    findings.map(({ severity, file }) => [severity, file]),
    [
      ["error", "systems/.hidden.yaml"],
      ["error", "systems/eu/deep.yaml"],
    ],
  );
});
