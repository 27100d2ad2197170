import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { loadEstate } from "@sallyport/control/registry/config/load.ts";
import { generateClientKey, publicJwks } from "@sallyport/sdk/node-crypto.ts";

const here = import.meta.dirname;
const read = (file: string) => readFileSync(join(here, file), "utf8");

test("the estate of the first crossing has no finding once the caller's key is there", (t) => {
  const estate = mkdtempSync(join(tmpdir(), "sallyport-first-"));
  t.after(() => rmSync(estate, { recursive: true, force: true }));
  cpSync(join(here, "estate"), estate, { recursive: true });
  writeFileSync(join(estate, "systems", "orders.jwks.json"), JSON.stringify(publicJwks([generateClientKey().signer])));
  const loaded = loadEstate(estate, { now: () => Date.UTC(2026, 10, 22) });
  assert.deepEqual(loaded.findings, []);
  const [production] = loaded.estate.environments;
  assert.deepEqual(
    production?.integrations.map(({ id }) => id),
    ["orders-to-billing"],
  );
});

test("README shows exactly these two files, and the page's commands name files that exist", () => {
  const readme = read("../../README.md");
  for (const system of ["billing", "orders"]) {
    const shown = readme.split(`# systems/${system}.yaml\n`)[1]?.split("```")[0];
    assert.equal(shown, read(`estate/systems/${system}.yaml`));
  }
  const page = read("../../docs/first-crossing.md");
  for (const [, file = ""] of page.matchAll(/run (examples\/\S+\.ts)/g)) assert.ok(read(`../../${file}`).length > 0);
});
