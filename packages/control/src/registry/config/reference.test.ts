import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { memoryEstateIo } from "./estate-io.ts";
import { laterKeys } from "./later-keys.ts";
import { loadEstateFrom } from "./load.ts";
import { jsonSchemas, referenceRows, withReference } from "./reference.ts";

const page = readFileSync(join(import.meta.dirname, "../../../../../docs/configuration.md"), "utf8");
const marketplace = join(import.meta.dirname, "../../../../../examples/marketplace/estate");

test("every key of every file has a sentence", () => {
  const rows = referenceRows();
  assert.ok(rows.length > 80);
  for (const { file, key, sentence } of rows) assert.match(sentence, /^[A-Z`].{5,}\.$/, `${file} ${key}`);
});

test("docs/configuration.md is in step with the types (run write-reference.ts)", () => {
  assert.equal(withReference(page), page);
});

test("no key is at once offered and refused as not in this version", () => {
  for (const { key } of referenceRows()) assert.equal(laterKeys.has(key.split(".").at(-1) ?? ""), false, key);
});

test("the JSON Schemas accept the documented estate and refuse an unknown key", () => {
  const ajv = new Ajv2020({ strict: false });
  for (const [pattern, file] of [
    ["sallyport.yaml", "sallyport.yaml"],
    ["systems/<id>.yaml", "systems/billing.yaml"],
    ["integrations/<id>.yaml", "integrations/portal-to-orders.yaml"],
    ["trust/<name>.yaml", "trust/marketplace-ca.yaml"],
  ] as const) {
    const schema = jsonSchemas().get(pattern);
    assert.ok(typeof schema === "object" && schema !== null);
    const validate = ajv.compile(schema);
    const written = parse(readFileSync(join(marketplace, file), "utf8"));
    assert.equal(validate(written), true, `${file}: ${JSON.stringify(validate.errors)}`);
    assert.equal(validate({ ...written, nonsense: 1 }), false);
  }
});

test("the estate on the page loads", () => {
  const blocks = [...page.matchAll(/```yaml\n# (systems\/\S+)\n([\s\S]*?)```/g)].map(
    ([, file = "", text = ""]): [string, string] => [file, text],
  );
  assert.equal(blocks.length, 2);
  const jwks = readFileSync(join(marketplace, "keys/production/orders.jwks.json"), "utf8");
  const io = memoryEstateIo({ ...Object.fromEntries(blocks), "systems/orders.jwks.json": jwks }, () => 0);
  const { estate, findings } = loadEstateFrom(io);
  assert.deepEqual(findings, []);
  assert.equal(estate.environments[0]?.integrations.length, 1);
});
