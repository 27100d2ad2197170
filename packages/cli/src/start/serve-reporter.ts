// Promises what `serve` says: a banner that names what is served, what is not and why, where, how the disk does, and what is due; then log lines.
// Trusts its facts; no secret and no caller's text is in them. Specified in docs/cli/serve.md "The start banner".
import type { ApplyReport } from "@sallyport/control/admin/actions.ts";
import { pino } from "pino";
import { bytesText, quantile } from "../doctor/disk.ts";
import type { Reporter, StartFacts } from "../roles/reporter.ts";
import type { RoleLogger } from "../roles/running-role.ts";
import { printable } from "../terminal.ts";

export interface ServeReporterOptions {
  readonly json: boolean;
  /** No banner and nothing below a warning. */
  readonly quiet: boolean;
}

export function createServeReporter({ json, quiet }: ServeReporterOptions): Reporter {
  const logger = json ? jsonLogger(quiet) : wordLogger(quiet);
  return {
    logger,
    applied: (report) => logApplied(report, logger),
    applyFailed: (error) =>
      logger.error(
        { err: error instanceof Error ? error.message : String(error) },
        "the estate could not be applied; what was in force stays",
      ),
    ready: (facts) => sayReady(facts, { json, quiet, logger }),
    stopping: (signal, graceMs) => logger.info({ event: "stopping", signal, graceMs }, "draining"),
    stopped: () => logger.info({ event: "stopped" }, "stopped"),
  };
}

function logApplied(report: ApplyReport, logger: RoleLogger): void {
  for (const { severity, file, line, column, message, fix } of report.findings) {
    const say = severity === "error" ? logger.error.bind(logger) : logger.warn.bind(logger);
    say({ file, line, column, fix }, `${file}:${line}:${column}: ${severity}: ${message}`);
  }
  const { created, changed, removed, findings } = report;
  logger.info(
    { created: created.length, changed: changed.length, removed: removed.length, findings: findings.length },
    "estate applied",
  );
}

function sayReady(facts: StartFacts, how: ServeReporterOptions & { readonly logger: RoleLogger }): void {
  const { endpoints, addresses, details, readiness, standing, disk } = facts;
  const { role, pid } = endpoints;
  const places = Object.entries(addresses).map(([name, url]) => `${name} ${url}`);
  const msg = `sallyport ${role} is up: ${places.join(", ")}`;
  const measured = { syncMedianMs: quantile(disk.syncMs, 0.5), freeBytes: disk.freeBytes };
  if (how.json) {
    // Whoever starts us waits for this line, so it is said also when nothing else is.
    const line = { event: "ready", role, addresses, ...details, readiness, pid, ...standing, disk: measured };
    process.stdout.write(`${JSON.stringify({ level: 30, time: new Date().toISOString(), ...line, msg })}\n`);
    return;
  }
  if (how.quiet) return;
  process.stdout.write(`${printable(bannerLines(facts).join("\n"))}\n`);
}

const nothingYet = "nothing yet: apply an estate (sallyport apply <directory>, or serve --config <directory>)";

/** The banner for people. Pure. */
export function bannerLines(facts: StartFacts): readonly string[] {
  const { endpoints, addresses, details, readiness, standing, dataDirectory } = facts;
  const lines = ["", `sallyport ${endpoints.role}${readiness.ready ? "" : "  (not ready yet)"}`];
  for (const [name, url] of Object.entries(addresses)) lines.push(`  ${name.padEnd(12)} ${url}`);
  for (const [environment, issuer] of Object.entries(endpoints.issuers))
    lines.push(`  ${"issuer".padEnd(12)} ${issuer}  (${environment})`);
  for (const [name, path] of Object.entries(details)) lines.push(`  ${name.padEnd(12)} ${path}`);
  lines.push(`  ${"data".padEnd(12)} ${dataDirectory}  ${diskText(facts)}`);
  lines.push(...servedLines(facts, endpoints.role === "gateway" ? gatewayServes(readiness.ready) : nothingYet));
  if ("missing" in readiness && Array.isArray(readiness.missing))
    for (const missing of readiness.missing) lines.push(`  waits: ${String(missing)}`);
  for (const warning of standing.warnings) lines.push(`  warning: ${warning}`);
  for (const { urgency, object, text, fix, file, line } of standing.notices) {
    const where = file === null ? "" : ` (${file}:${line})`;
    const when = urgency === "standing" ? "note" : urgency === "over" ? "OVER" : `within ${urgency}`;
    lines.push(`  ${when}: ${object === "" ? "" : `${object}: `}${text}${where}`, `      fix: ${fix}`);
  }
  return [...lines, ""];
}

/** What is served and what is not, with the reason. */
export function servedLines(
  { standing }: Pick<StartFacts, "standing">,
  withoutCount: string = nothingYet,
): readonly string[] {
  const lines: string[] = [];
  for (const { environment, systems, operations, integrations } of standing.served) {
    const states = Object.entries(integrations).map(([state, count]) => `${count} ${state}`);
    const granted = states.length === 0 ? "no integrations" : `integrations: ${states.join(", ")}`;
    lines.push(
      `  serves       ${environment}: ${count(systems, "system")}, ${count(operations, "operation")}, ${granted}`,
    );
  }
  if (standing.served.length === 0 && standing.notServed.length === 0) lines.push(`  serves       ${withoutCount}`);
  for (const { environment, object, place, why } of standing.notServed) {
    const [reason = "", fix] = why.split(". Fix: ");
    lines.push(`  NOT SERVED   ${object} (${environment})${place === "" ? "" : `  ${place}`}: ${reason}`);
    if (fix !== undefined) lines.push(`      fix: ${fix}`);
  }
  return lines;
}

/** A gateway knows its snapshot; how much it holds, control counts. */
function gatewayServes(isReady: boolean): string {
  return isReady
    ? "what control compiled for it; `sallyport status` at control counts it"
    : "nothing yet: it waits for a snapshot of control";
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function diskText({ disk }: StartFacts): string {
  const sync = quantile(disk.syncMs, 0.5);
  return `(fsync ${sync === null ? "not measured" : `${sync.toFixed(2)} ms`}, ${bytesText(disk.freeBytes)} free)`;
}

function jsonLogger(quiet: boolean): RoleLogger {
  return pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime, level: quiet ? "warn" : "info" });
}

const shownFields: ReadonlySet<string> = new Set(["err", "fix", "operatorKey", "object", "mode", "until"]);

/** One readable line per event. No field ever holds a secret or a caller's text: the callers see to it. */
function wordLogger(quiet: boolean): RoleLogger {
  const write = (level: string) => (fields: object, message: string) => {
    const extra = Object.entries(fields).filter(([name]) => shownFields.has(name));
    const detail = extra.map(([name, value]) => `\n    ${name}: ${String(value)}`).join("");
    process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${level} ${message}${detail}\n`);
  };
  return { info: quiet ? () => {} : write("info "), warn: write("warn "), error: write("error") };
}
