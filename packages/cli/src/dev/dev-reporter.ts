// Promises what `dev` says: a banner, a line per crossing, and on each save what changed and what is wrong, at its file and line with the fix.
// Trusts its facts. With --json each is one JSON line. Specified in docs/cli/dev.md.
import type { ApplyReport } from "@sallyport/control/admin/actions.ts";
import type { Finding } from "@sallyport/control/registry/config/finding.ts";
import type { ProbeReport } from "@sallyport/kernel/dial/probe.ts";
import type { Reporter, StartFacts } from "../roles/reporter.ts";
import { servedLines } from "../start/serve-reporter.ts";
import { printable } from "../terminal.ts";
import type { TestIdentity } from "./client-identities.ts";
import { crossingLines, type SeenCrossing } from "./crossing-lines.ts";
import type { StrayListener } from "./local-estate.ts";
import type { Upstream } from "./upstream-watch.ts";

export interface DevFacts {
  readonly directory: string;
  /** Ports that were wanted and are in use. */
  readonly moved: readonly string[];
  readonly identities: () => readonly TestIdentity[];
  /** An operation somebody may call, for the banner; null: nobody is granted anything. */
  readonly example: () => {
    readonly operation: string;
    readonly parameters: readonly string[];
    readonly client: string;
  } | null;
  readonly startedMs: number;
}

export interface DevReporter extends Reporter {
  crossing(seen: SeenCrossing): void;
  /** A save with errors: it is not applied. */
  refused(findings: readonly Finding[]): void;
  upstream(upstream: Upstream, report: ProbeReport): void;
  /** After a save: listeners that only a restart opens or closes. Says nothing that it said of the save before. */
  listeners(strays: readonly StrayListener[]): void;
}

export function createDevReporter(json: boolean, facts: DevFacts): DevReporter {
  const say = (fields: object, lines: readonly string[]) => {
    const text = json ? JSON.stringify(fields) : printable(lines.join("\n"));
    process.stdout.write(`${text}\n`);
  };
  let isUp = false;
  let isEnding = false;
  let lastTold = "";
  let lastStrays = "[]";
  const log = (level: "warn" | "error") => (fields: object, message: string) => {
    // What breaks because it is being ended is no news.
    if (isEnding) return;
    const about = "object" in fields ? ` (${String(fields.object)})` : "";
    const detail = "err" in fields ? `: ${String(fields.err)}` : "";
    say({ event: level, ...fields, msg: message }, [`${clock()}  ${level}  ${message}${about}${detail}`]);
  };
  return {
    // What a part does for itself is no news to who tries an estate; what it cannot do is.
    logger: { info: () => {}, warn: log("warn"), error: log("error") },
    applied: (report) => {
      // What was said stays true; each save of anything would say it again.
      const told = JSON.stringify(report.findings);
      sayApplied(report, { isUp, isTold: told === lastTold }, say);
      lastTold = told;
    },
    applyFailed: (error) => {
      const why = error instanceof Error ? error.message : String(error);
      say({ event: "apply-failed", why }, [`${clock()}  not applied: ${why}`, "    what was served before still is"]);
    },
    refused: (findings) =>
      say({ event: "estate-refused", findings }, [
        `${clock()}  not applied: ${findings.filter(({ severity }) => severity === "error").length} error(s); what was served before still is`,
        ...findings.flatMap(findingLines),
      ]),
    crossing: (seen) => say(seen, crossingLines(seen)),
    upstream: (upstream, report) => sayUpstream(upstream, report, say),
    listeners: (strays) => {
      const told = JSON.stringify(strays);
      if (told !== lastStrays) for (const stray of strays) sayStray(stray, say);
      lastStrays = told;
    },
    ready: (start) => {
      isUp = true;
      sayReady(start, facts, say);
    },
    stopping: () => {
      isEnding = true;
    },
    stopped: () => say({ event: "stopped" }, [`${clock()}  stopped`]),
  };
}

type Say = (fields: object, lines: readonly string[]) => void;

function clock(): string {
  return new Date().toISOString().slice(11, 23);
}

function findingLines({
  file,
  line,
  column,
  severity,
  message,
  fix,
}: ApplyReport["findings"][number]): readonly string[] {
  return [`  ${file}:${line}:${column}: ${severity}: ${message}`, `      fix: ${fix}`];
}

function sayApplied(report: ApplyReport, on: { readonly isUp: boolean; readonly isTold: boolean }, say: Say): void {
  const { created, changed, removed, findings } = report;
  const changes = [
    ...created.map((name) => `+ ${name}`),
    ...changed.map((name) => `~ ${name}`),
    ...removed.map((name) => `- ${name}`),
  ];
  // The banner says what the first one made.
  if (!on.isUp) {
    if (findings.length > 0) say({ event: "findings", findings }, findings.flatMap(findingLines));
    return;
  }
  const said = changes.length === 0 ? "saved: no changes" : `applied: ${changes.join(", ")}`;
  say({ event: "applied", created, changed, removed, findings }, [
    `${clock()}  ${said}`,
    ...(on.isTold ? [] : findings.flatMap(findingLines)),
  ]);
}

function sayStray({ listener, is, file, line }: StrayListener, say: Say): void {
  const what =
    is === "not-open"
      ? `listener ${listener} is not open: dev opens listeners at its start`
      : `listener ${listener} is not in the estate any more, and stays open: dev closes listeners at its end`;
  say({ event: "restart-needed", listener, is, file, line }, [
    `${clock()}  ${file}:${line}: ${what}`,
    "    fix: restart dev (Ctrl-C, then sallyport dev)",
  ]);
}

function sayUpstream({ system, origin }: Upstream, report: ProbeReport, say: Say): void {
  if (report.kind === "reached") {
    say({ event: "upstream-up", system, origin }, [`${clock()}  ${system} is up at ${origin}`]);
    return;
  }
  say({ event: "upstream-down", system, origin, code: report.code, why: report.why }, [
    `${clock()}  ${system} does not answer at ${origin}: ${report.why}`,
    "    fix: start it, or correct `url`; looked at again every 2 s",
  ]);
}

/** Of a listener that a proxy asks, callers use another origin than the one that is bound. */
function placeOf(url: string, address: string): string {
  return new URL(url).host === address ? url : `${url}, asked at https://${address}`;
}

function sayReady(start: StartFacts, facts: DevFacts, say: Say): void {
  const { endpoints, addresses, standing } = start;
  const upMs = Math.round(Date.now() - facts.startedMs);
  const identities = facts.identities();
  const line = (name: string, value: string) => `  ${name.padEnd(12)} ${value}`;
  const lines = ["", `sallyport dev: up in ${(upMs / 1000).toFixed(2)} s, on loopback only, with test identities`];
  for (const { listener, url, address } of endpoints.gateway)
    lines.push(line(listener === "public" ? "gateway" : listener, placeOf(url, address)));
  for (const [environment, issuer] of Object.entries(endpoints.issuers))
    lines.push(line("issuer", `${issuer}  (${environment})`));
  lines.push(line("data", start.dataDirectory), ...servedLines(start));
  for (const moved of facts.moved) lines.push(line("note", moved));
  for (const { client, keyFile } of identities) lines.push(line("test key", `${client}  ${keyFile}`));
  for (const warning of standing.warnings) lines.push(line("waits", warning));
  const example = facts.example();
  if (example !== null) {
    const parameters = example.parameters.map((name) => `${name}=1`).join(" ");
    lines.push(
      line(
        "try",
        `sallyport call ${example.operation} ${parameters}${parameters === "" ? "" : " "}--as ${example.client}`,
      ),
    );
  }
  lines.push(line("watching", `${facts.directory}; Ctrl-C ends`), "");
  const { readiness, details } = start;
  const ready = { event: "ready", role: endpoints.role, addresses, ...details, readiness, pid: endpoints.pid, upMs };
  say({ ...ready, endpoints, ...standing, identities, moved: facts.moved }, lines);
}
