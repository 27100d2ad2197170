// Promises the notifiers of this control plane as an operator sees them: listed and tested; who is told recorded at each start. Trusts routes.ts to record
// each act, and the follower's thread to run the folds. Specified in docs/alerts.md.
import type { AdminLog } from "../../audit/admin-log.ts";
import type { Follower } from "../../audit/follow/follower.ts";
import type { FoldOrder } from "../../audit/follow/follower-messages.ts";
import { NamedFolds, recordFolds } from "../../audit/follow/named-folds.ts";
import type { AlertQuestion, AlertReplay, AlertStanding, AlertTest } from "./alert-fold.ts";
import { type AlertSettings, type ShownAlert, shownAlert } from "./alert-settings.ts";
import { givenUpWords } from "./given-up-words.ts";

const moduleUrl = new URL(
  import.meta.url.endsWith(".ts") ? "./make-alert-fold.ts" : "./make-alert-fold.js",
  import.meta.url,
).href;

export interface AlertReport extends ShownAlert {
  /** Records of control's log it was not led through. */
  readonly behind: number;
  /** Milliseconds since the epoch; null when nothing is behind. */
  readonly behindSince: number | null;
  /** Why it does not tell, or whom it does not; null: it does. */
  readonly fault: string | null;
  /** Null: the fold does not answer. */
  readonly standing: AlertStanding | null;
}

export interface AlertsOptions {
  readonly alerts: readonly AlertSettings[];
  readonly follower: Pick<Follower, "ask" | "standing">;
  readonly adminLog: Pick<AdminLog, "record">;
}

export class Alerts {
  readonly #options: AlertsOptions;
  readonly #folds: NamedFolds<AlertQuestion>;

  constructor(options: AlertsOptions) {
    this.#options = options;
    const names = options.alerts.map(({ name }) => name);
    this.#folds = new NamedFolds({
      ...{ prefix: "alert", noun: "notifier", option: "--alerts", module: moduleUrl },
      ...{ names, follower: options.follower },
    });
  }

  orders(): readonly FoldOrder[] {
    return this.#options.alerts.map((settings) => this.#folds.order(settings.name, settings));
  }

  /** Who is told of findings is itself a record of the log. */
  recordSettings(): Promise<void> {
    const { alerts, adminLog } = this.#options;
    return recordFolds(adminLog, { object: "alert", facts: { alerts: alerts.map(shownAlert) } });
  }

  async list(): Promise<readonly AlertReport[]> {
    const found = await this.#folds.list<AlertStanding>({ kind: "standing" });
    return this.#options.alerts.flatMap((settings, at) => {
      const one = found[at];
      if (one === undefined) return [];
      const { behind, behindSince, foldFault, standing } = one;
      const fault = standing?.fault ?? foldFault ?? standing?.shortfall ?? null;
      return [{ ...shownAlert(settings), behind, behindSince, fault, standing }];
    });
  }

  /** Sentences for `sallyport status` about messages that did not reach all they are for; what is behind the follower's own standing says. */
  async warnings(): Promise<readonly string[]> {
    if (this.#options.alerts.length === 0) return [];
    return (await this.list()).flatMap(({ alert, standing }) => [
      ...(standing?.shortfall == null ? [] : [`the notifier ${alert} leaves somebody out: ${standing.shortfall}`]),
      ...givenUpWords(alert, standing),
    ]);
  }

  async test(name: string): Promise<AlertTest> {
    this.#folds.assertKnown(name);
    return this.#folds.ask(name, { kind: "test" });
  }

  /** Tells what was given up. */
  async replay(name: string): Promise<AlertReplay> {
    this.#folds.assertKnown(name);
    return this.#folds.ask(name, { kind: "replay" });
  }
}
