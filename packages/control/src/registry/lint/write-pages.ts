// Promises to bring docs/lint in step with the rules: `node packages/control/src/registry/lint/write-pages.ts`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rulePage, withRules } from "./page.ts";
import { rules } from "./rules.ts";

const folder = join(import.meta.dirname, "../../../../../docs/lint");
const index = join(folder, "README.md");
writeFileSync(index, withRules(readFileSync(index, "utf8")));
for (const { id } of rules) writeFileSync(join(folder, `${id}.md`), rulePage(id));
