// Promises that every rule of this version is tried over the past, on record, before anybody is told of what it finds; once, whoever of several control nodes
// comes first. Trusts the follower to run the backtest. Specified in docs/findings.md "Before a rule tells".
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { Follower } from "../audit/follow/follower.ts";
import type { ControlCommands } from "../commands.ts";
import type { BacktestQuestion, BacktestReport } from "./backtest.ts";
import { decideTells, trialMs } from "./decide-gate.ts";
import { findingsFold } from "./findings-fold.ts";
import { rules } from "./rules.ts";

export interface RuleTrialsOptions {
  readonly tenant: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly follower: Pick<Follower, "ask">;
  readonly clock: Pick<Clock, "now">;
}

const againMs = 10_000;

export class RuleTrials {
  readonly #options: RuleTrialsOptions;
  #isDone = false;
  #notBeforeMs = 0;

  constructor(options: RuleTrialsOptions) {
    this.#options = options;
  }

  /** Tries what was not tried yet. Rejects when it could not be, and tries again ten seconds later. */
  async tick(): Promise<void> {
    const { store, clock } = this.#options;
    if (this.#isDone || clock.now() < this.#notBeforeMs) return;
    this.#notBeforeMs = clock.now() + againMs;
    const gates = await store.run("listRuleGates", null);
    for (const { id, version } of rules)
      if (!gates.some((gate) => gate.rule === id && gate.version === version)) await this.#try(id);
    this.#isDone = true;
  }

  async #try(rule: string): Promise<void> {
    const { tenant, store, follower, clock } = this.#options;
    const question: BacktestQuestion = { rule, sinceMs: Math.max(0, clock.now() - trialMs) };
    // The fold answers this question with nothing else.
    const report = (await follower.ask(findingsFold, question)) as BacktestReport;
    const { version, sinceMs, records, findings, whole } = report;
    const tells = decideTells(report);
    await store.run("tryRule", { tenant, rule, version, tells, sinceMs, records, findings, whole });
  }
}
