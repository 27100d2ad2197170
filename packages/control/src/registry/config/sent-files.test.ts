// What plan and apply send is what check and serve read: a `forbid` behind a link must not be lost on the way.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { memoryEstateIo } from "./estate-io.ts";
import { loadEstate, loadEstateFrom } from "./load.ts";
import { readSentFiles, SentFilesFault } from "./sent-files.ts";
import { soundEstate } from "./sound-estate.ts";

const now = () => Date.parse("2026-11-22T00:00:00Z");
const forbid = "forbid(principal, action, resource);\n";
const made: string[] = [];
after(() => {
  for (const dir of made) rmSync(dir, { recursive: true });
});

function estateOf(files: Readonly<Record<string, string>>): string {
  const dir = mkdtempSync(join(tmpdir(), "sallyport-sent-"));
  made.push(dir);
  for (const [path, text] of Object.entries({ ...soundEstate(), ...files })) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  return dir;
}

/** Loads what is sent and holds it against what the directory loads as. */
function sentAs(dir: string) {
  const files = readSentFiles(dir, now);
  const sent = loadEstateFrom(memoryEstateIo(files, now));
  assert.deepEqual(sent, loadEstate(dir, { now }));
  return { files, production: sent.estate.environments[0] };
}

test("lost on the way: a policy, a folder and a system behind links inside the estate are sent", () => {
  const dir = estateOf({ "shared/deny.cedar": forbid, "shared/crm.yaml": "system: crm\n", "own/all.cedar": forbid });
  mkdirSync(join(dir, "policies"));
  symlinkSync("../shared/deny.cedar", join(dir, "policies/deny.cedar"));
  symlinkSync("../own", join(dir, "policies/production"));
  symlinkSync("../shared/crm.yaml", join(dir, "systems/crm.yaml"));
  const { production } = sentAs(dir);
  assert.deepEqual(
    production?.policies.map(({ file }) => file),
    ["policies/deny.cedar", "policies/production/all.cedar"],
  );
  assert.ok(production?.systems.some(({ id }) => id === "crm"));
});

for (const [path, text] of [
  ["policies/deny.CEDAR", forbid],
  ["policies/production/sub/deny.cedar", forbid],
  ["policies/production", forbid],
  ["policies", forbid],
] as const) {
  test(`lost on the way: ${path} denies after apply as it does on disk`, () => {
    const { files, production } = sentAs(estateOf({ [path]: text }));
    assert.deepEqual(
      production?.policies.map((policy) => policy.text),
      ["unreadable policy file"],
    );
    assert.ok(!Object.values(files).includes(forbid), "what is not read is sent by name only");
  });
}

test("a link out of the estate is refused by name before anything is sent", () => {
  const outside = estateOf({ "deny.cedar": forbid });
  for (const link of ["policies", "systems/spy.yaml"]) {
    const dir = estateOf({});
    symlinkSync(link === "policies" ? outside : join(outside, "deny.cedar"), join(dir, link));
    assert.throws(
      () => readSentFiles(dir, now),
      (cause) => cause instanceof SentFilesFault && cause.message.startsWith(link) && cause.fix !== "",
    );
  }
});

test("an estate larger than the API accepts is refused with its bound, not cut", () => {
  const dir = estateOf(
    Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`policies/p${i}.cedar`, `//${"x".repeat(1_000_000)}\n`])),
  );
  assert.throws(() => readSentFiles(dir, now), /holds more than 15728640 bytes/);
});
