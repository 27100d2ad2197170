// Promises that programs which say what they are, or look for what no system here has, are turned away before anybody's credentials are checked: an agent
// at once, a look-around as failed credentials of its source are. What an operation owns is never such a place, and a caller we know is never counted.
// Trusts the router for what is owned, and admission.ts for its bounded memory. Specified in docs/bots.md.
import type { BotRule, BotsObject } from "@sallyport/protocol/snapshot/bot-rule.ts";
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { Gate } from "../gate.ts";

/** As many failed credentials one look for a well-known hole is worth. */
export const probeWorth = 20;

/** Words by which scanners name themselves where nobody told them otherwise. */
const scanners: ReadonlySet<string> = new Set([
  ...[
    "sqlmap",
    "nikto",
    "nmap",
    "masscan",
    "zgrab",
    "nuclei",
    "wpscan",
    "dirbuster",
    "gobuster",
    "feroxbuster",
    "ffuf",
  ],
  ...["wfuzz", "acunetix", "nessus", "openvas", "w3af", "havij", "jorgee", "zmeu", "arachni", "skipfish", "whatweb"],
  ...["commix", "xsstrike", "dirsearch", "l9explore", "fuzz"],
]);

/** Parts of paths that are looked for where nothing is known of a server. */
const probed: ReadonlySet<string> = new Set([
  ...[".env", ".git", ".svn", ".hg", ".aws", ".ssh", ".htaccess", ".htpasswd", ".ds_store", ".vscode", ".idea"],
  ...[
    "wp-admin",
    "wp-content",
    "wp-includes",
    "wp-json",
    "phpmyadmin",
    "pma",
    "cgi-bin",
    "phpunit",
    "boaform",
    "hnap1",
  ],
  ...["actuator", "server-status", "_ignition", "telescope", "web-inf", "id_rsa", "web.config", "autodiscover", "owa"],
  ...["dump.sql", "backup.sql", "backup.zip", "config.json", "credentials.json"],
]);
const probedEnding = /\.(?:php\d?|aspx?|jspx?|cgi|env|bak|sql|old|swp)$|^\.env\./;

const botsOf = ({ lease, listener }: Exchange): BotsObject | undefined =>
  lease?.estate.object.listeners[listener.name]?.bots;

/** Of what the request says it is; before it is routed. */
export function refuseAgent(exchange: Exchange, gate: Gate): Deny | null {
  const bots = botsOf(exchange);
  if (bots === undefined || exchange.request === null) return null;
  const rule = decideAgent(bots, exchange.request.headers["user-agent"]?.[0] ?? "");
  if (rule === null) return null;
  gate.metrics.bot(rule, bots.mode);
  return bots.mode === "shadow" ? null : deny("admit", "agent-refused", { rule });
}

/** Which rule finds something in the name of the agent? Pure. */
export function decideAgent({ rules, agents }: BotsObject, said: string): BotRule | null {
  const agent = said.trim().toLowerCase();
  if (agent === "") return rules.includes("absent-agent") ? "absent-agent" : null;
  const words = agent.split(/[^a-z0-9.-]+/);
  if (rules.includes("scanner-agent") && words.some((word) => scanners.has(word))) return "scanner-agent";
  const isNamed = agents.some((name) => agent.startsWith(name) || words.includes(name));
  return isNamed && rules.includes("named-agent") ? "named-agent" : null;
}

/** Of a request that proved nobody: counts where it looked against its source. */
export function countMiss(exchange: Exchange, gate: Gate): void {
  const bots = botsOf(exchange);
  const { request, operation, asked, receiptOf, streamOf, preflight } = exchange;
  if (bots === undefined || request === null || operation !== null || asked !== null) return;
  if (receiptOf !== null || streamOf !== null || preflight !== null || request.method === "OPTIONS") return;
  const rule = decideMiss(bots, request.segments);
  if (rule === null) return;
  gate.metrics.bot(rule, bots.mode);
  if (bots.mode === "enforce")
    gate.admission.countBadCredential(gate.admission.keyOf(exchange.source), rule === "probe-path" ? probeWorth : 1);
}

/** Which rule is it that a path which nobody owns is counted by? Pure. */
export function decideMiss({ rules }: BotsObject, segments: readonly string[]): BotRule | null {
  if (rules.includes("probe-path") && segments.some(isProbed)) return "probe-path";
  return rules.includes("unknown-route") ? "unknown-route" : null;
}

function isProbed(segment: string): boolean {
  const name = segment.toLowerCase();
  return probed.has(name) || probedEnding.test(name);
}
