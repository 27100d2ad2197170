import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { memoryEstateIo } from "./estate-io.ts";
import { laterKeys } from "./later-keys.ts";
import { loadEstateFrom } from "./load.ts";
import { editorSchemas, jsonSchemas, referenceRows, withReference } from "./reference.ts";

const page = readFileSync(join(import.meta.dirname, "../../../../../docs/configuration.md"), "utf8");
const examples = join(import.meta.dirname, "../../../../../examples");
const marketplace = join(examples, "marketplace/estate");

test("every key of every file has a sentence", () => {
  const rows = referenceRows();
  assert.ok(rows.length > 80);
  for (const { file, key, sentence } of rows) assert.match(sentence, /^[A-Z`].{5,}\.$/, `${file} ${key}`);
});

test("docs/configuration.md is in step with the types (run write-reference.ts)", () => {
  assert.equal(withReference(page), page);
});

test("no key is at once offered and refused as not in this version", () => {
  // Refused where it is not offered: a listener has a region, a system has none yet; an authoriser and the PROXY protocol have proxies, a listener has none.
  const elsewhere = [
    "listeners.<name>.region",
    "listeners.<name>.authorizer.trustedProxies",
    "listeners.<name>.proxyProtocol.trustedProxies",
  ];
  for (const { key } of referenceRows())
    assert.equal(laterKeys.has(key.split(".").at(-1) ?? ""), elsewhere.includes(key), key);
});

/** Editors judge by these schemas: whatever a validator has to say of one is wrong with it. */
const complain = (...said: unknown[]): never => assert.fail(said.join(" "));
const complaining = { log: complain, warn: complain, error: complain };

test("the JSON Schemas accept the documented estate and refuse an unknown key", () => {
  const ajv = new Ajv2020({ strict: false, logger: complaining });
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

test("every file of the example estates is valid for its editor schema, and none is with a typo in any of its keys", () => {
  const ajv = new Ajv2020({ strict: false, logger: complaining });
  let judged = 0;
  for (const { glob, kind, schema } of editorSchemas()) {
    const validate = ajv.compile(schema);
    for (const estate of ["marketplace/estate", "first-crossing/estate"])
      for (const file of globSync(glob, { cwd: join(examples, estate) })) {
        const written = parse(readFileSync(join(examples, estate, file), "utf8"));
        judged += 1;
        assert.equal(validate(written), true, `${file}: ${JSON.stringify(validate.errors)}`);
        for (const key of Object.keys(written)) {
          const { [key]: value, ...rest } = written;
          assert.equal(validate({ ...rest, [`${key}x`]: value }), false, `${file}: ${key}x`);
        }
      }
    assert.match(String(schema["title"]), /^Sallyport: /);
    assert.ok(kind.length > 0);
  }
  assert.ok(judged >= 10, `${judged}`);
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

test("what nobody would obey is refused by name, with what to do instead: accepted but not enforced is a hole", () => {
  const listener = (extra: string): Record<string, string> => ({
    "sallyport.yaml": `listeners:\n  public:\n    url: https://api.example\n    ${extra}\n`,
  });
  const cases: readonly [string, Record<string, string>, RegExp][] = [
    ["a proxy that is believed", listener("trustedProxies: [10.0.0.0/8]"), /`trustedProxies` is not in this version/],
    ["no client certificates", listener("clientCertificates: none"), /`clientCertificates` is not in this version/],
    ["an address of a node", listener("address: 0.0.0.0:443"), /`address` is not in this version/],
    ["a listener of control", listener("serves: identity"), /not one of `gateway`/],
    ["another tenant", { "sallyport.yaml": "tenant: acme\n" }, /not one of `main`/],
    ["residency of a system", { "systems/billing.yaml": "system: billing\nregion: eu\n" }, /`region` is not in this/],
  ];
  for (const [what, files, said] of cases) {
    const { findings } = loadEstateFrom(memoryEstateIo(files, () => 0));
    const errors = findings.filter(({ severity }) => severity === "error");
    assert.equal(errors.length, 1, `${what}: ${JSON.stringify(findings)}`);
    assert.match(errors[0]?.message ?? "", said);
    assert.ok((errors[0]?.fix ?? "").length > 5, what);
  }
  assert.deepEqual(
    loadEstateFrom(memoryEstateIo(listener("region: eu"), () => 0)).findings,
    [],
    "the nearest that is taken",
  );
});
