import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import type { Finding } from "./finding.ts";
import { loadEstate, loadEstateFrom } from "./load.ts";
import { soundEstate } from "./sound-estate.ts";

const now = Date.parse("2026-11-22T00:00:00Z");
const sound = soundEstate();
const forbid = "forbid (principal, action, resource);\n";

/** What is said of the sound estate with these files beside it; the same from a disk and from memory. */
function saidOf(more: Readonly<Record<string, string>>): readonly Finding[] {
  const files: Record<string, string> = { ...sound, ...more };
  const folder = mkdtempSync(join(tmpdir(), "sallyport-strays-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const fromDisk = loadEstate(folder, { now: () => now }).findings;
    assert.deepEqual(fromDisk, loadEstateFrom(memoryEstateIo(files, () => now)).findings);
    return fromDisk;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const strays: readonly [file: string, severity: string, named: string, fix: RegExp][] = [
  ["policy/a.cedar", "error", "policy/a.cedar", /policies\/a\.cedar/],
  ["policy/production/a.cedar", "error", "policy/production/a.cedar", /policies\/production\/a\.cedar/],
  ["rules/a.cedar", "error", "rules/a.cedar", /policies\/a\.cedar/],
  ["a.cedar", "error", "a.cedar", /policies\/a\.cedar/],
  ["system/crm.yaml", "warning", "system", /`systems\/`/],
  ["sytems/crm.yaml", "warning", "sytems", /`systems\/`/],
  ["integration/crm.yaml", "warning", "integration", /`integrations\/`/],
  ["team/shop.yaml", "warning", "team", /`teams\/`/],
  ["Systems/crm.yaml", "warning", "Systems", /`systems\/`/],
  ["crm.yaml", "warning", "crm.yaml", /systems\/crm\.yaml/],
  ["salyport.yaml", "warning", "salyport.yaml", /`sallyport\.yaml`/],
];
for (const [file, severity, named, fix] of strays) {
  test(`${file} is read by nothing: ${severity}, with where it belongs`, () => {
    const before = saidOf({});
    const [finding, ...others] = saidOf({ [file]: file.endsWith(".cedar") ? forbid : "system: crm\n" }).filter(
      (one) => !before.some(({ file: known }) => known === one.file),
    );
    assert.deepEqual([finding?.severity, finding?.file, others], [severity, named, []]);
    assert.match(finding?.fix ?? "", fix);
  });
}

test("what another file names, hidden files, and folders of one's own are not astray", () => {
  const said = saidOf({
    // Named below, so its name and place are its author's business.
    "keys.yaml": sound["systems/orders.jwks.json"] ?? "",
    "systems/orders.yaml": (sound["systems/orders.yaml"] ?? "").replace("orders.jwks.json", "../keys.yaml"),
    ".hidden.yaml": "x: 1\n",
    ".git/a.cedar": forbid,
    "schemas/unused.yaml": "x: 1\n",
    "README.md": "words\n",
  });
  const told = said.filter(({ message }) => /not read|not in force/.test(message)).map(({ file }) => file);
  assert.deepEqual(told, []);
});
