// Promises each message as one structured line of the process log. Trusts the log to take it. Specified in docs/alerts.md "Log".
import { type Alert, alertTitle } from "./alert.ts";
import { everybody, type Notifier } from "./notifier.ts";

/** A line of the process log. Structured-cloneable. */
export interface AlertLine {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** Name of the service of control that writes the line (audit/follow/services.ts): the process log is the main thread's. */
export const logService = "alerts.log";

export function logNotifier(write: (line: AlertLine) => Promise<unknown>): Notifier {
  return {
    async tell(alert) {
      await write(lineOf(alert));
      return everybody;
    },
    close: () => Promise.resolve(),
  };
}

function lineOf(alert: Alert): AlertLine {
  const { id, kind, notifier, severity, total, findings } = alert;
  return {
    fields: { event: kind === "test" ? "alert-test" : "finding", notifier, alert: id, severity, total, findings },
    message: alertTitle(alert),
  };
}
