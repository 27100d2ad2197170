// For tests: the commands of the contract suite as they were at version 1 of its schema. Promises nothing else. Trusts commands.ts.
export { commands } from "./commands.ts";

import { migrations as all } from "./commands.ts";

export const migrations = all.slice(0, 1);
