import assert from "node:assert/strict";
import { test } from "node:test";
import { contentFaults, type StagedPackage } from "./contents.ts";
import { compiledExports, packedManifest } from "./manifest.ts";
import { leadToCompiled } from "./stage.ts";

const workspace = {
  name: "@sallyport/sdk",
  version: "0.1.0",
  description: "d",
  license: "Apache-2.0",
  exports: { ".": "./src/sdk.ts", "./*.ts": "./src/*.ts" },
  dependencies: { "@sallyport/protocol": "0.1.0" },
};
const protocol: StagedPackage = {
  manifest: packedManifest({ ...workspace, name: "@sallyport/protocol", exports: {}, dependencies: {} }, ["dist"]),
  files: new Map([
    ["README.md", ""],
    ["LICENSE", ""],
    ["package.json", ""],
    ["dist/token/jwk.js", ""],
    ["dist/token/jwk.d.ts", ""],
  ]),
};
const sdk = (
  files: Readonly<Record<string, string>>,
  manifest = packedManifest(workspace, ["dist"]),
): StagedPackage => ({
  manifest,
  files: new Map(
    Object.entries({
      "README.md": "",
      LICENSE: "",
      "package.json": "",
      "dist/sdk.js": "",
      "dist/sdk.d.ts": "",
      ...files,
    }),
  ),
});
const faults = (one: StagedPackage) => contentFaults([protocol, one]);
const good = {
  "dist/sdk.js": 'import "./a.js";\nimport "node:http";\nimport "@sallyport/protocol/token/jwk.js";',
  "dist/a.js": "",
};

test("a package whose imports all lead somewhere is fit", () => assert.deepEqual(faults(sdk(good)), []));

for (const [name, files, expected] of [
  ["a relative import of a file that is not packed", { "dist/sdk.js": 'import "./gone.js";' }, /no such file/],
  [
    "a deep import that the other package does not pack",
    { "dist/sdk.js": 'import "@sallyport/protocol/gone.js";' },
    /no such file/,
  ],
  ["types that name a source", { "dist/sdk.d.ts": 'export { a } from "./a.ts";', "dist/a.d.ts": "" }, /a source/],
  [
    "types without the types they name",
    { "dist/sdk.d.ts": 'export { a } from "./a.js";', "dist/a.js": "" },
    /no such file/,
  ],
  ["a package nobody declared", { "dist/sdk.js": 'import "left-pad";' }, /not a dependency/],
  ["a test's module", { "dist/sdk.js": 'import "node:test";' }, /a test's module/],
  ["a test", { "dist/a.test.js": "" }, /belongs to the tests/],
  ["testing support", { "dist/testing/start.js": "" }, /belongs to the tests/],
  ["a map of sources that are not there", { "dist/sdk.js": "//# sourceMappingURL=sdk.js.map" }, /source map/],
  ["a private key", { "dist/key.pem": "" }, /no place/],
] as const)
  test(`refuses to publish ${name}`, () => {
    // The rows are of different shapes.
    const found = faults(sdk({ ...good, ...(files as Record<string, string>) }));
    assert.ok(found.length > 0 && found.every((line) => expected.test(line)), found.join("\n"));
  });

test("refuses to publish what package.json points to and nobody packed, and packages that want each other in other versions", () => {
  const files = new Map([...sdk(good).files].filter(([path]) => path !== "dist/sdk.d.ts"));
  assert.match(faults({ ...sdk(good), files }).join("\n"), /dist\/sdk\.d\.ts is missing/);
  const other = packedManifest({ ...workspace, dependencies: { "@sallyport/protocol": "0.2.0" } }, ["dist"]);
  assert.match(faults(sdk(good, other)).join("\n"), /wanted as 0\.2\.0, packed as 0\.1\.0/);
});

test("exports point at compiled files and their types, and at nothing else", () => {
  assert.deepEqual(compiledExports(workspace.exports), {
    ".": { types: "./dist/sdk.d.ts", default: "./dist/sdk.js" },
    "./*.js": { types: "./dist/*.d.ts", default: "./dist/*.js" },
  });
  assert.throws(() => compiledExports({ "./x": "./x.json" }), /no source/);
});

test("a program exports nothing", () => {
  const { exports, bin } = packedManifest({ ...workspace, bin: { sallyport: "bin/sallyport.mjs" } }, []);
  assert.deepEqual([Object.keys(exports), bin], [["./package.json"], { sallyport: "bin/sallyport.mjs" }]);
});

test("specifiers lead to compiled files; other texts that end in .ts stay as they are", () => {
  assert.equal(leadToCompiled('from "@sallyport/protocol/token/jwk.ts"'), 'from "@sallyport/protocol/token/jwk.js"');
  assert.equal(leadToCompiled('import("./a.ts").B'), 'import("./a.js").B');
  assert.equal(
    leadToCompiled('new URL("./commands.ts", import.meta.url)'),
    'new URL("./commands.js", import.meta.url)',
  );
  for (const text of ['url.endsWith(".ts")', '"./thread.ts" : "./thread.js"', '"see packages/sdk/src/a.ts"'])
    assert.equal(leadToCompiled(text), text);
});
