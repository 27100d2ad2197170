// Promises the keys by which a listener says how programs that look around are met. Trusts nothing. What the rules do: docs/bots.md.
import { type BotRule, type BotsObject, botRules } from "@sallyport/protocol/snapshot/bot-rule.ts";
import { z } from "zod";
import { errorAt, type Finding } from "./finding.ts";
import { word } from "./words.ts";
import { spotOf, type Tree } from "./yaml-tree.ts";

const agentsMax = 64;
/** Without a word: what no well-meaning caller does. Many programs send no `User-Agent`. */
const usual: readonly BotRule[] = ["scanner-agent", "probe-path", "unknown-route"];

const agentName = () =>
  word((text) =>
    /^[A-Za-z0-9][A-Za-z0-9./ _-]{2,63}$/.test(text)
      ? { value: text.toLowerCase() }
      : { refused: "not the name of an agent", fix: "write a word of it or how it begins, three characters at least" },
  );

export const bots = () =>
  z.strictObject({
    mode: z
      .enum(["shadow", "enforce"])
      .describe("`shadow` counts in a metric alone; `enforce` refuses agents and counts what is looked for."),
    rules: z
      .array(z.enum(botRules))
      .min(1)
      .max(botRules.length)
      .optional()
      .describe(
        "Which rules; without it `scanner-agent`, `probe-path` and `unknown-route`, and `named-agent` where `agents` names any.",
      ),
    agents: z
      .array(agentName())
      .min(1)
      .max(agentsMax)
      .optional()
      .describe("What `named-agent` refuses: words of a `User-Agent`, or how it begins; no patterns."),
  });

type BotsSource = z.output<ReturnType<typeof bots>>;

/** What a gateway is told, or findings at the key. */
export function readBots(
  tree: Tree,
  source: BotsSource | undefined,
  findings: Finding[],
): { readonly bots?: BotsObject } {
  if (source === undefined) return {};
  const { mode, agents = [] } = source;
  const named: readonly BotRule[] = agents.length === 0 ? [] : ["named-agent"];
  const rules = botRules.filter((rule) => (source.rules ?? [...usual, ...named]).includes(rule));
  if (rules.includes("named-agent") !== agents.length > 0) {
    const fix = agents.length > 0 ? "add `named-agent` to `rules`, or remove `agents`" : "add `agents`";
    findings.push(errorAt(spotOf(tree, ["bots"], "key"), "`named-agent` and `agents` belong together", fix));
  }
  return { bots: { mode, rules, agents } };
}
