// Promises who obeys the keys of `bots` of a listener: rows of config-readers.ts. Trusts the reference for the keys.
import type { Reader } from "./unread-keys.ts";

const by = "packages/gateway/src/admit/bots.ts";

export const botReaders: Readonly<Record<string, Reader>> = {
  "listeners.<name>.bots.mode": { by, reads: "bots.mode ===" },
  "listeners.<name>.bots.rules": { by, reads: "segments.some(isProbed)" },
  "listeners.<name>.bots.agents": { by, reads: "words.includes(name)" },
};
