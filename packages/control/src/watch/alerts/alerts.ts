// Promises the notifiers of this control plane as an operator sees them: listed and tested; who is told recorded at each start. Trusts routes.ts to record
// each act, and the follower's thread to run the folds. Specified in docs/alerts.md.
import { AdminFault } from "../../admin/actions.ts";
import type { AdminLog } from "../../audit/admin-log.ts";
import type { Follower } from "../../audit/follow/follower.ts";
import type { FoldOrder, FollowerStanding } from "../../audit/follow/follower-messages.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { AlertQuestion, AlertStanding, AlertTest } from "./alert-fold.ts";
import { type AlertSettings, type ShownAlert, shownAlert } from "./alert-settings.ts";

/** Operators' acts and control's own are of this environment. */
const ownEnvironment = "sallyport";
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

  constructor(options: AlertsOptions) {
    this.#options = options;
  }

  orders(): readonly FoldOrder[] {
    return this.#options.alerts.map((options) => ({ id: foldId(options.name), module: moduleUrl, options }));
  }

  /** Who is told of findings is itself a record of the log. */
  async recordSettings(): Promise<void> {
    if (this.#options.alerts.length === 0) return;
    await this.#options.adminLog.record({
      ...{ environment: ownEnvironment, actor: "built-in", action: "alert.configure", object: "alert" },
      facts: { alerts: JSON.stringify(this.#options.alerts.map(shownAlert)) },
    });
  }

  async list(): Promise<readonly AlertReport[]> {
    const { folds } = await this.#options.follower
      .standing()
      .catch((): FollowerStanding => ({ folds: [], fault: null }));
    return Promise.all(
      this.#options.alerts.map(async (settings) => {
        const fold = folds.find(({ id }) => id === foldId(settings.name));
        const standing = await this.#ask<AlertStanding>(settings.name, { kind: "standing" }).catch(() => null);
        const { behind = 0, behindSince = null } = fold ?? {};
        const fault = standing?.fault ?? fold?.fault ?? standing?.shortfall ?? null;
        return { ...shownAlert(settings), behind, behindSince, fault, standing };
      }),
    );
  }

  /** Sentences for `sallyport status` about messages that did not reach all they are for; what is behind the follower's own standing says. */
  async warnings(): Promise<readonly string[]> {
    if (this.#options.alerts.length === 0) return [];
    return (await this.list()).flatMap(({ alert, standing }) =>
      standing?.shortfall == null ? [] : [`the notifier ${alert} leaves somebody out: ${standing.shortfall}`],
    );
  }

  async test(name: string): Promise<AlertTest> {
    const names = this.#options.alerts.map((one) => one.name);
    if (!names.includes(name)) {
      const fix = names.length === 0 ? "none is set up: serve --alerts <folder>" : suggest(name, names);
      throw new AdminFault("not-found", `there is no notifier ${name}`, fix);
    }
    return this.#ask<AlertTest>(name, { kind: "test" });
  }

  async #ask<T>(name: string, question: AlertQuestion): Promise<T> {
    try {
      // Each question has its own answer (alert-fold.ts).
      return (await this.#options.follower.ask(foldId(name), question)) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      throw new AdminFault("unavailable", `the notifier ${name} does not answer: ${why}`, "sallyport status says more");
    }
  }
}

/** One word, by which status and metrics name it. */
const foldId = (name: string): string => `alert-${name}`;
