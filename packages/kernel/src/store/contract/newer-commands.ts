// For tests: the contract's data one version later. Promises nothing else. Trusts the test.
// Loaded by URL in both dialects, as docs/store.md describes.
import type { Migration } from "../migration.ts";
import { migrations as older } from "./commands.ts";

export { commands } from "./commands.ts";

export const migrations: readonly Migration[] = [
  ...older,
  {
    capability: "contract",
    version: 3,
    name: "colours",
    up: (t) => [`CREATE TABLE colour (name ${t.text} PRIMARY KEY) ${t.table}`],
  },
];
