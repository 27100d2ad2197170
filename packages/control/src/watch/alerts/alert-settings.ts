// Promises what one notifier is, whole and structured-cloneable: what it is told, how often, and where that goes. Trusts read-alerts.ts, which read it.
// Specified in docs/alerts.md "A notifier".
import type { SinkPlaceSettings } from "../../audit/export/sink-settings.ts";
import { type Severity, severities } from "../detector.ts";
import type { Finding } from "../finding.ts";
import type { SmtpTarget } from "./smtp-notifier.ts";
import type { WebhookTarget } from "./webhook-notifier.ts";

export type AlertTarget =
  | { readonly to: "log" }
  | ({ readonly to: "webhook"; readonly place: SinkPlaceSettings } & WebhookTarget)
  | ({ readonly to: "smtp" } & SmtpTarget);

/** What it is told of. Null lets everything through. */
export interface AlertFilter {
  readonly environments: readonly string[] | null;
  readonly rules: readonly string[] | null;
  readonly severity: Severity;
}

export interface AlertSettings {
  readonly name: string;
  readonly filter: AlertFilter;
  /** Messages in any minute; what comes beyond is told in one. */
  readonly perMinute: number;
  readonly target: AlertTarget;
}

/** What may be shown and recorded of a notifier: no credential, and of people no address. */
export interface ShownAlert extends AlertFilter {
  readonly alert: string;
  readonly to: AlertTarget["to"];
  /** Origin of the receiver, or `the process log`. */
  readonly where: string;
  /** Mail: how many. */
  readonly recipients: number | null;
  readonly perMinute: number;
}

export function shownAlert({ name, filter, perMinute, target }: AlertSettings): ShownAlert {
  const recipients = target.to === "smtp" ? target.recipients.length : null;
  return { alert: name, to: target.to, where: whereOf(target), recipients, perMinute, ...filter };
}

function whereOf(target: AlertTarget): string {
  if (target.to === "log") return "the process log";
  const { origin } = target.place;
  return target.to === "smtp" ? origin.replace(/^https/, target.startTls ? "smtp" : "smtps") : origin;
}

/** Whether a notifier is told of a finding. */
export function wants({ environments, rules, severity }: AlertFilter, finding: Finding): boolean {
  return (
    (environments === null || environments.includes(finding.environment)) &&
    (rules === null || rules.includes(finding.rule)) &&
    severities.indexOf(finding.severity) >= severities.indexOf(severity)
  );
}
