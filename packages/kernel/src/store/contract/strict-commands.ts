// For tests: like commands.ts, but its free statements must be recorded. Promises nothing else. Trusts the test.
// Loaded by URL in both dialects, as docs/store.md describes.
import type { Command, CommandTable, Statement } from "../port.ts";

export { migrations } from "./commands.ts";

const statements: Command<readonly Statement[], number> = {
  audit: "contract.statements",
  *body(list) {
    for (const statement of list) yield statement;
    return list.length;
  },
};

export const commands = { statements } satisfies CommandTable;
