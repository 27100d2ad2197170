import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { filesOf, integration, orders } from "./example.ts";
import { lintFiles, lintNow } from "./lint.test-support.ts";
import { fails } from "./lint-finding.ts";
import { ruleById } from "./rules.ts";

interface Written {
  readonly rule?: string;
  readonly reason?: string | null;
  readonly owner?: string | null;
  readonly until?: string | null;
  readonly more?: readonly string[];
}

/** A waiver with some keys changed, or left out by null. */
function waiver({ rule = "review-missing", more = [], ...changes }: Written = {}): string {
  const keys = {
    reason: "The partner audits it every quarter",
    owner: "team:default",
    until: "2027-01-31",
    ...changes,
  };
  const lines = Object.entries(keys).flatMap(([key, value]) => (value === null ? [] : [`${key}: ${value}`]));
  return ["waivers:", `  - rule: ${rule}`, ...[...lines, ...more].map((line) => `    ${line}`)].join("\n");
}

const of = (rule: string, files: Readonly<Record<string, string>>, now = lintNow) =>
  lintFiles(files, now).filter((finding) => finding.rule === rule);

test("a waived finding is shown as waived, with reason, owner and date, and no longer decides the answer", () => {
  const [plain] = of("review-missing", filesOf(integration("")));
  const [waived] = of("review-missing", filesOf(integration(waiver())));
  assert.ok(plain !== undefined && waived !== undefined);
  assert.equal(plain.waived, undefined);
  assert.equal(fails(plain, "info"), true);
  assert.deepEqual(waived.waived, {
    reason: "The partner audits it every quarter",
    owner: "team:default",
    until: "2027-01-31",
    file: "integrations/orders-to-billing.yaml",
    line: 6,
    column: 11,
  });
  assert.equal(fails(waived, "info"), false);
});

test("a waiver holds on its last day and no longer: then the finding counts again and the waiver is one more", () => {
  const files = filesOf(integration(waiver({ until: "2026-11-30" })));
  const lastMoment = Date.parse("2026-11-30T23:59:59Z");
  assert.notEqual(of("review-missing", files, lastMoment)[0]?.waived, undefined);
  assert.deepEqual(of("waiver-expired", files, lastMoment), []);
  const after = Date.parse("2026-12-01T00:00:00Z");
  assert.equal(of("review-missing", files, after)[0]?.waived, undefined);
  assert.equal(of("waiver-expired", files, after).length, 1);
});

for (const key of ["reason", "owner", "until"] as const)
  test(`a waiver without \`${key}\` waives nothing and is an error`, () => {
    const files = filesOf(integration(waiver({ [key]: null })));
    assert.equal(of("review-missing", files)[0]?.waived, undefined);
    const [said] = of("waiver-invalid", files);
    assert.equal(said?.severity, "error");
    assert.match(said?.message ?? "", new RegExp(`\`${key}\` is missing`));
  });

test("a mistaken waiver changes nothing about the object: it is served as before", () => {
  const files = filesOf(integration(waiver({ owner: "somebody", more: ["nonsense: 1"] })));
  assert.equal(of("waiver-invalid", files).length, 2);
  assert.deepEqual(of("load-error", files), []);
});

test("an owner who is no team of the estate owns nothing", () => {
  const files = filesOf(integration(waiver({ owner: "team:nobody" })));
  assert.match(of("waiver-invalid", files)[0]?.message ?? "", /no team `nobody`/);
  assert.equal(of("review-missing", files)[0]?.waived, undefined);
});

test("a waiver is for one rule, one file and, with `at`, one key and what is below it", () => {
  const two = "limits:\n  - { per: client, rate: 50000/s }\n  - { per: integration, rate: 60000/s }\n";
  const both = of("rate-too-high", filesOf(integration(`${two}${waiver({ rule: "rate-too-high" })}`)));
  assert.deepEqual(
    both.map(({ waived }) => waived !== undefined),
    [true, true],
  );
  const one = of(
    "rate-too-high",
    filesOf(integration(`${two}${waiver({ rule: "rate-too-high", more: ["at: $.limits[1]"] })}`)),
  );
  assert.deepEqual(
    one.map(({ path, waived }) => [path, waived !== undefined]),
    [
      ["$.limits[0]", false],
      ["$.limits[1]", true],
    ],
  );
  const prefix = filesOf(integration(`${two}${waiver({ rule: "rate-too-high", more: ["at: $.lim"] })}`));
  assert.ok(
    of("rate-too-high", prefix).every(({ waived }) => waived === undefined),
    "a key is not a prefix of a name",
  );
  const elsewhere = filesOf(orders(`identity: { client: orders, keys: [orders.jwks.json] }\n${waiver()}`));
  assert.equal(of("waiver-unused", elsewhere).length, 1);
});

test("attack: nothing that is not served can be waived away, and no waiver waives a waiver", () => {
  for (const rule of ["load-error", "policy-invalid", "waiver-expired", "waiver-not-allowed"]) {
    const files = filesOf(integration(waiver({ rule })));
    assert.equal(of("waiver-not-allowed", files)[0]?.severity, "error", rule);
  }
});

test("what is found in a policy file is waived in sallyport.yaml, by its name", () => {
  const policy = '// policies/rules.cedar\nforbid (principal, action == Action::"billing:invoice.read", resource);\n';
  const estate = `# sallyport.yaml\n${waiver({ rule: "policy-without-id", more: ["file: policies/rules.cedar"] })}\n`;
  assert.equal(of("policy-without-id", filesOf(policy))[0]?.waived, undefined);
  assert.notEqual(of("policy-without-id", filesOf(estate + policy))[0]?.waived, undefined);
  // Anywhere else `file` would let one team accept the risks of another.
  const foreign = filesOf(integration(waiver({ rule: "policy-without-id", more: ["file: policies/rules.cedar"] })));
  assert.equal(of("waiver-invalid", foreign).length, 1);
});

test("a waiver in one environment's overrides is none: it is refused as a key", () => {
  const files = filesOf(integration(`environments:\n  production:\n    waivers: []`));
  assert.equal(of("load-error", files).length, 1);
});

test("every rule that the loader names is in the table", () => {
  const folder = join(import.meta.dirname, "../config");
  const named = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => [...readFileSync(join(folder, file), "utf8").matchAll(/\brule: "([a-z-]+)"/g)])
    .map(([, id = ""]) => id);
  assert.ok(new Set(named).size >= 9);
  for (const id of named) assert.notEqual(ruleById(id), undefined, id);
});

test("where something is broken, nothing is called unused: nobody knows what the broken part uses", () => {
  const broken = filesOf(integration("nonsense: 1"));
  assert.equal(of("load-error", broken).length, 1);
  for (const rule of ["system-unused", "operation-unused"]) assert.deepEqual(of(rule, broken), []);
});
