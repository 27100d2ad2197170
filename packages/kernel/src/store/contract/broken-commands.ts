// For tests: a second step that fails half way. Promises nothing else. Trusts the test.
// Loaded by URL in both dialects, as docs/store.md describes.
import type { Migration } from "../migration.ts";
import { migrations as good } from "./commands.ts";

export { commands } from "./commands.ts";

export const migrations: readonly Migration[] = [
  ...good,
  {
    capability: "contract",
    version: 3,
    name: "fails",
    up: (t) => [`CREATE TABLE colour (name ${t.text} PRIMARY KEY) ${t.table}`, "CREATE TABLE colour (again TEXT)"],
  },
];
