import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Document, visit } from "yaml";
import { formatFinding } from "../config/finding.ts";
import type { FileKind } from "../config/reference.ts";
import { parseYaml, plainOf } from "../config/yaml-tree.ts";
import { formatYaml } from "./format-yaml.ts";

const marketplace = join(import.meta.dirname, "../../../../../examples/marketplace/estate");

function laidOut(text: string, kind: FileKind = "system"): string {
  const formatted = formatYaml({ file: "f.yaml", kind, text });
  assert.ok("text" in formatted, JSON.stringify(formatted));
  return formatted.text;
}

function plainValue(text: string): unknown {
  const { root, findings } = parseYaml("f.yaml", text);
  assert.ok(root !== null, findings.map(formatFinding).join("\n"));
  return plainOf(root);
}

test("keys come in the order of the reference, names keep the author's; every comment stays", () => {
  const written = `url:   'http://billing.internal:8080'   # inside


# who
system: billing
identity: {keys: [ a.jwks.json ],   client: billing}
uses: [{operations: [b, a], to: other, purpose: 'it''s "so"'}]
operations: {z.last: "GET /z/{id}", a.first: GET /a} # order matters to people
# the end
`;
  assert.equal(
    laidOut(written),
    `# who
system: billing
url: "http://billing.internal:8080" # inside
identity: { client: billing, keys: [a.jwks.json] }
operations:
  z.last: "GET /z/{id}"
  a.first: GET /a
  # order matters to people
uses:
  - { to: other, purpose: 'it''s "so"', operations: [b, a] }

# the end
`,
  );
});

test("a flow map that is long or has a comment inside gets a line for each member", () => {
  const long = `public: { host: ${"a".repeat(60)}.example, path: /${"b".repeat(60)}, strip: false }\n`;
  assert.equal(laidOut(`system: a\n${long}`).split("\n")[2], `  host: ${"a".repeat(60)}.example`);
  assert.equal(
    laidOut("system: a\npublic: {\n  path: /a, # why\n  strip: false }\n"),
    "system: a\npublic:\n  path: /a # why\n  strip: false\n",
  );
});

test("the estate of the demo has the layout already", () => {
  const kinds = { systems: "system", integrations: "integration", trust: "trust" } as const;
  for (const [folder, kind] of Object.entries(kinds))
    for (const name of readdirSync(join(marketplace, folder)).filter((file) => file.endsWith(".yaml"))) {
      const text = readFileSync(join(marketplace, folder, name), "utf8");
      assert.equal(laidOut(text, kind), text, name);
    }
  const estate = readFileSync(join(marketplace, "sallyport.yaml"), "utf8");
  assert.equal(laidOut(estate, "estate"), estate);
});

test("traps stay for check to say: what looks like a number or a boolean is neither quoted nor repaired", () => {
  for (const value of ["1.10", "no", "yes", '"1.10"', '"no"', "Charge #1 # cut", '"Charge #1"'])
    assert.match(laidOut(`description: ${value}\nsystem: a\n`), new RegExp(`description: ${value.slice(0, 4)}`));
  // The printer writes such a number in another way, and then check would have another thing to say.
  const hex = formatYaml({ file: "f.yaml", kind: "system", text: "description: 0x1F\nsystem: a\n" });
  assert.match(JSON.stringify(hex), /hide or make a YAML trap/);
});

test("attack: what is not plain YAML is refused with its place and never rewritten", () => {
  const refused: readonly [string, RegExp][] = [
    ["system: a\nurl: *x\n", /alias/],
    ["a: &a [1]\nsystem: b\n", /anchors/],
    ["system: a\nsystem: b\n", /twice/],
    ["system: a\n---\nsystem: b\n", /more than one YAML document/],
    ["%YAML 1.1\n---\nsystem: no\n", /directives/],
    [`system: a\nx: ${"[".repeat(5_000)}`, /nested|not valid/],
    ["- a\n- b\n", /not a map/],
    ["", /empty/],
  ];
  for (const [text, said] of refused) {
    const formatted = formatYaml({ file: "f.yaml", kind: "system", text });
    assert.ok("findings" in formatted, text);
    assert.match(formatted.findings.map(formatFinding).join("\n"), said);
  }
});

/** Texts that YAML could read otherwise, among harmless ones. */
const texts = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: "binary", maxLength: 12 }),
  fc.constantFrom("no", "1.10", "null", "~", "# c", "a: b", "a #b", "{x}", "- a", "it's", '"q"', "a\nb", " a ", "\\n"),
);
const values = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, texts, fc.integer(), fc.boolean(), fc.constant(null), tie("list"), tie("map")),
  list: fc.array(tie("value"), { maxLength: 4 }),
  map: fc.dictionary(
    texts.filter((key) => key !== "__proto__"),
    tie("value"),
    { maxKeys: 4 },
  ),
})).value;

/** A file as somebody could have written it: known keys in any order, each collection in either form, comments anywhere. */
const files = fc
  .record({
    members: fc.dictionary(
      fc.constantFrom(
        "system",
        "url",
        "public",
        "uses",
        "identity",
        "operations",
        "environments",
        "zzz",
        "description",
      ),
      values,
      { minKeys: 1 },
    ),
    choices: fc.array(fc.nat({ max: 11 }), { minLength: 12, maxLength: 12 }),
    indent: fc.constantFrom(2, 4, 3),
  })
  .map(({ members, choices, indent }) => {
    const document = new Document(members, { version: "1.2", schema: "core" });
    let at = 0;
    const choose = (): number => choices[at++ % choices.length] ?? 0;
    visit(document, {
      Collection: (_key, node) => {
        node.flow = choose() < 4;
      },
      Scalar: (_key, node) => {
        const choice = choose();
        if (choice === 1) node.comment = ` c${at}`;
        if (choice === 2) node.commentBefore = ` b${at}\n second`;
        if (choice === 3) node.spaceBefore = true;
        if (choice === 4 && typeof node.value === "string") node.type = "QUOTE_SINGLE";
      },
    });
    return document.toString({ lineWidth: 0, indent });
  });

test("whatever is laid out reads the same, and laid out again is the same text; the rest is left alone", () => {
  let done = 0;
  let refused = 0;
  fc.assert(
    fc.property(files, (text) => {
      if (parseYaml("f.yaml", text).root === null) return;
      const formatted = formatYaml({ file: "f.yaml", kind: "system", text });
      if ("findings" in formatted) {
        refused += 1;
        return;
      }
      done += 1;
      assert.ok(isDeepStrictEqual(plainValue(formatted.text), plainValue(text)));
      assert.equal(laidOut(formatted.text), formatted.text);
    }),
    { seed: 3, numRuns: 300 },
  );
  // A comment in a place where the printer has none is rare: most files must come through.
  assert.ok(done > 150 && refused < done / 10, `${done} laid out, ${refused} refused`);
});
