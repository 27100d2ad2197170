// Promises a rate-limiting plugin as the limits of an integration, and what they mean otherwise than at Kong. Pure.
// Trusts words.ts for the grammar of a rate. Source: Kong's rate-limiting and rate-limiting-advanced plugins.
import type { Tree } from "../../config/yaml-tree.ts";
import { scalarText } from "../tree-members.ts";
import { type KongPlugin, settingOf } from "./kong-source.ts";

export interface Limit {
  readonly per: "client" | "integration";
  readonly rate: string;
}

export interface LimitReading {
  readonly limits: readonly Limit[];
  /** What they mean otherwise. */
  readonly changes: readonly Said[];
  readonly losses: readonly Said[];
}

export interface Said {
  readonly why: string;
  readonly fix: string;
}

const windows: Readonly<Record<string, string | null>> = {
  second: "s",
  minute: "m",
  hour: "h",
  day: "d",
  month: null,
  year: null,
};
const windowSeconds: Readonly<Record<string, string>> = { "1": "s", "60": "m", "3600": "h", "86400": "d" };
const rateMax = 9_999_999;

/** `isShared`: its scope is wider than one service, so that Kong counted over several. */
export function readLimits(plugin: KongPlugin, isShared: boolean): LimitReading {
  const changes: Said[] = [];
  const losses: Said[] = [];
  const per = perOf(plugin, changes);
  const limits = ratesOf(plugin, losses).map((rate): Limit => ({ per, rate }));
  changes.push({
    why: "permits come back evenly over the window; Kong gave all of them back at its end",
    fix: "nothing to do, unless callers count on the moment",
  });
  if (isShared)
    changes.push({
      why: "one count held over all services; here each integration counts for itself",
      fix: "lower the rates if the sum matters",
    });
  const policy = scalarText(settingOf(plugin, "policy")) ?? scalarText(settingOf(plugin, "strategy"));
  if (policy !== undefined && policy !== "local")
    changes.push({
      why: `\`${policy}\` counted over all nodes; here each gateway counts for itself`,
      fix: "divide the rates by the number of gateways if the sum matters",
    });
  return { limits, changes, losses };
}

function perOf(plugin: KongPlugin, changes: Said[]): Limit["per"] {
  const by = scalarText(settingOf(plugin, "limit_by")) ?? scalarText(settingOf(plugin, "identifier")) ?? "consumer";
  if (by === "consumer" || by === "credential") return "client";
  if (by === "service") {
    changes.push({
      why: "all consumers shared one count; here the clients of one integration do",
      fix: "divide the rate among the integrations if the sum matters",
    });
    return "integration";
  }
  changes.push({
    why: `it counted by ${by}; here each client is counted`,
    fix: "see that the rate fits one client",
  });
  return "client";
}

function ratesOf(plugin: KongPlugin, losses: Said[]): readonly string[] {
  const said: [amount: string, unit: string | null, window: string][] = [];
  if (plugin.name === "rate-limiting-advanced") {
    const amounts = itemsIn(settingOf(plugin, "limit"));
    const sizes = itemsIn(settingOf(plugin, "window_size"));
    for (const [index, amount] of amounts.entries())
      said.push([amount, windowSeconds[sizes[index] ?? ""] ?? null, `${sizes[index] ?? "?"} seconds`]);
  } else
    for (const [window, unit] of Object.entries(windows)) {
      const amount = scalarText(settingOf(plugin, window));
      if (amount !== undefined) said.push([amount, unit, `one ${window}`]);
    }
  return said.flatMap(([amount, unit, window]) => {
    if (unit !== null && /^\d+$/.test(amount) && Number(amount) > 0 && Number(amount) <= rateMax)
      return [`${Number(amount)}/${unit}`];
    losses.push({
      why: `${amount.slice(0, 20)} in ${window} is not a rate here: whole numbers up to ${rateMax} a second, minute, hour or day`,
      fix: "write a rate a day that fits, or count at the provider",
    });
    return [];
  });
}

function itemsIn(tree: Tree | undefined): readonly string[] {
  return (tree?.kind === "list" ? tree.items : tree === undefined ? [] : [tree]).flatMap(
    (item) => scalarText(item) ?? [],
  );
}
