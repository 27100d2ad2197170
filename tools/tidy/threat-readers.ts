// Promises who obeys the keys of `threats`, which a system and each of its operations have alike: rows of config-readers.ts. Trusts the reference for the keys.
import type { Reader } from "./unread-keys.ts";

const gateway = "packages/gateway/src/threats";
const reason: Reader = { forPeople: "why nothing is judged, or a rule not asked; that it is written is checked" };
const except: Reader = { by: `${gateway}/judge.ts`, reads: "one.rule === rule && one.at === at" };

const readersAt = (key: string): Readonly<Record<string, Reader>> => ({
  [`${key}.mode`]: { by: "packages/control/src/registry/config/read-threats.ts", reads: "said.mode ===" },
  [`${key}.shadow`]: { by: `${gateway}/threats.ts`, reads: "!block.includes(rule)" },
  [`${key}.reason`]: reason,
  [`${key}.except[].rules`]: except,
  [`${key}.except[].at`]: except,
  [`${key}.except[].reason`]: reason,
});

export const threatReaders = { ...readersAt("threats"), ...readersAt("operations.<name>.threats") };
