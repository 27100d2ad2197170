// Promises to bring docs/configuration.md in step with the types: `node packages/control/src/registry/config/write-reference.ts`.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withReference } from "./reference.ts";

const page = join(import.meta.dirname, "../../../../../docs/configuration.md");
writeFileSync(page, withReference(readFileSync(page, "utf8")));
