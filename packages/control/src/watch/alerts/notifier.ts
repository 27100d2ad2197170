// Promises what every way of telling somebody is to the fold that feeds it: it tells one message, or throws and is asked again. Trusts nobody who answers.
// Specified in docs/alerts.md "Notifiers".
import type { Alert } from "./alert.ts";

/** What became of a message. */
export interface Told {
  /** Who could not be told, for people and without a name; null: nobody is left out. */
  readonly shortfall: string | null;
}

export interface Notifier {
  /** Resolves when the receiver has the message. Throws SinkFault when it is not known to. Bounded in time. */
  tell(alert: Alert): Promise<Told>;
  close(): Promise<void>;
}

export const everybody: Told = { shortfall: null };
