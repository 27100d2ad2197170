import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { until } from "../installation.test-support.ts";
import { watchEstate } from "./watch-estate.ts";

let directory = "";
let changes = 0;
let stop = (): void => {};
const write = (path: string): void => writeFileSync(join(directory, path), String(Math.random()));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sallyport-watch-"));
  for (const folder of ["systems", ".sallyport", ".git", "node_modules"]) mkdirSync(join(directory, folder));
  changes = 0;
  stop = watchEstate(
    directory,
    () => changes++,
    (error) => {
      throw error;
    },
  );
});
afterEach(() => {
  stop();
  rmSync(directory, { recursive: true, force: true });
});

test("a save is one change, also in a folder that came later, and of a file at the top", async () => {
  for (let i = 0; i < 20; i++) write("systems/billing.yaml");
  await until("the first save", () => changes === 1);
  mkdirSync(join(directory, "policies"));
  await until("the new folder", () => changes === 2);
  write("policies/region.cedar");
  await until("a file in it", () => changes === 3);
  write("sallyport.yaml");
  await until("a file at the top", () => changes === 4);
});

test("state, dependencies, logs and hidden folders beside the estate are no change, or serving would save itself for ever", async () => {
  const other = mkdtempSync(join(tmpdir(), "sallyport-watch-"));
  let heard = 0;
  const fail = (error: unknown): void => assert.fail(String(error));
  const stopOther = watchEstate(other, () => heard++, fail);
  try {
    for (const folder of [".sallyport", ".git", "node_modules"]) for (let i = 0; i < 5; i++) write(`${folder}/x`);
    for (const name of [".hidden", "dev.log", "nohup.out", "api.mjs", "README.md", "systems/x.yaml~", "systems/x.log"])
      write(name);
    // One queue has the events of both: when this save has been heard and waited for, the others would have been.
    writeFileSync(join(other, "sallyport.yaml"), "");
    await until("the save beside it", () => heard > 0);
    assert.equal(changes, 0);
    write("systems/billing.yaml");
    await until("the save", () => changes === 1);
  } finally {
    stopOther();
    rmSync(other, { recursive: true, force: true });
  }
});
