// For tests: a programmer edited a released migration. Promises nothing else. Trusts the test.
// Loaded by URL in both dialects, as docs/store.md describes.
import type { Migration } from "../migration.ts";
import { migrations as released } from "./commands.ts";

export { commands } from "./commands.ts";

export const migrations: readonly Migration[] = released.map((migration) =>
  migration.version === 2
    ? { ...migration, up: (t) => migration.up(t).map((statement) => statement.replace("until", "expires")) }
    : migration,
);
