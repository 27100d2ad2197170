// Promises what every way of telling somebody is to the fold that feeds it: it tells one message, or throws and is asked again. Trusts nobody who answers.
// Specified in docs/alerts.md "Notifiers".
import { SinkFault } from "../../audit/export/sink.ts";
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

/** Between two tries of what was refused for good. */
export const refusedAgainMs = 60_000;

/** The receiver will not take this message, however often it comes as it is: whoever set one of the two up has to change something. */
export class Refusal extends SinkFault {
  constructor(message: string, retryAfterMs: number | null = null) {
    super(message, Math.max(refusedAgainMs, retryAfterMs ?? 0));
    this.name = "Refusal";
  }
}

export const everybody: Told = { shortfall: null };
