// Promises the receivers of a control plane as `serve` is told of them: sinks for copies of the log, notifiers of findings; whole, or the start is refused.
// Trusts the folders. Specified in docs/export.md, docs/alerts.md and docs/cli/serve.md.
import { resolve } from "node:path";
import type { SinkSettings } from "@sallyport/control/audit/export/sink-settings.ts";
import type { AlertSettings } from "@sallyport/control/watch/alerts/alert-settings.ts";
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";

export interface RawReceiverOptions {
  readonly role: "all" | "control" | "gateway";
  readonly exports?: string;
  readonly alerts?: string;
}

export interface Receivers {
  readonly sinks: readonly SinkSettings[];
  readonly alerts: readonly AlertSettings[];
}

export function addReceiverOptions(serve: Command): Command {
  return serve
    .option(
      "--exports <folder>",
      "sinks that get a copy of every record, one YAML file for each (roles all and control)",
    )
    .option("--alerts <folder>", "notifiers that are told of findings, one YAML file for each (roles all and control)");
}

export async function readReceivers(raw: RawReceiverOptions): Promise<Receivers> {
  return { sinks: await readExports(raw), alerts: await readAlerts(raw) };
}

/** Before anything is made: a start whose log would quietly go nowhere is refused. */
async function readExports({ role, exports: folder }: RawReceiverOptions): Promise<readonly SinkSettings[]> {
  if (folder === undefined) return [];
  if (role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--exports is for control, which has the records of all gateways",
      "give it to control, or use --role all",
    );
  const { readSinkFolder } = await import("@sallyport/control/audit/export/read-sinks.ts");
  return readSettings(() => readSinkFolder(resolve(folder), settingsIo), "docs/export.md has every key");
}

/** Likewise: a finding that quietly goes nowhere. */
async function readAlerts({ role, alerts: folder }: RawReceiverOptions): Promise<readonly AlertSettings[]> {
  if (folder === undefined) return [];
  if (role === "gateway")
    throw new CommandEnd(
      exitCode.badUse,
      "--alerts is for control, where findings are raised",
      "give it to control, or use --role all",
    );
  const { readAlertFolder } = await import("@sallyport/control/watch/alerts/read-alerts.ts");
  return readSettings(() => readAlertFolder(resolve(folder), settingsIo), "docs/alerts.md has every key");
}

const settingsIo = { environment: process.env, now: Date.now };

async function readSettings<T>(read: () => readonly T[], fix: string): Promise<readonly T[]> {
  const { SettingsFault } = await import("@sallyport/control/audit/export/settings-folder.ts");
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SettingsFault)) throw error;
    throw new CommandEnd(exitCode.badUse, error.message, fix);
  }
}
