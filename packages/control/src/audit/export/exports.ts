// Promises the sinks of this control plane as an operator sees and steers them: listed, tested, paused, resumed, sent again; where they lead
// recorded at each start. Trusts routes.ts to record each act, and the follower's thread to run the folds. Specified in docs/export.md.
import { AdminFault } from "../../admin/actions.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { AdminLog } from "../admin-log.ts";
import type { Follower } from "../follow/follower.ts";
import type { FoldOrder } from "../follow/follower-messages.ts";
import { NamedFolds, recordFolds } from "../follow/named-folds.ts";
import type { KeptLog } from "../keeping/sweep.ts";
import { type ExpiringRecords, expiringRecords } from "./expiring.ts";
import type { ExportQuestion, ExportStanding, ExportTest } from "./export-fold.ts";
import type { ExportOrderOptions } from "./make-export-fold.ts";
import { type ShownSink, type SinkSettings, shownSink } from "./sink-settings.ts";

const moduleUrl = new URL(
  import.meta.url.endsWith(".ts") ? "./make-export-fold.ts" : "./make-export-fold.js",
  import.meta.url,
).href;

export interface ExportReport extends ShownSink {
  /** Records that may be read and were not taken. */
  readonly behind: number;
  /** Milliseconds since the epoch; null when nothing is behind. */
  readonly behindSince: number | null;
  readonly fault: string | null;
  /** Null: the fold does not answer. */
  readonly standing: ExportStanding | null;
}

export interface ExportsOptions {
  readonly sinks: readonly SinkSettings[];
  readonly follower: Pick<Follower, "ask" | "standing">;
  readonly adminLog: Pick<AdminLog, "record">;
  /** Hands the follower all orders of this control plane, ours among them. */
  readonly order: () => Promise<void>;
}

export class Exports {
  readonly #options: ExportsOptions;
  /** Goes up when a fold must be opened anew. */
  readonly #openings = new Map<string, number>();

  readonly #folds: NamedFolds<ExportQuestion>;

  constructor(options: ExportsOptions) {
    this.#options = options;
    const names = options.sinks.map(({ name }) => name);
    this.#folds = new NamedFolds({
      ...{ prefix: "export", noun: "sink", option: "--exports", module: moduleUrl },
      ...{ names, follower: options.follower },
    });
  }

  orders(): readonly FoldOrder[] {
    return this.#options.sinks.map((settings) => {
      const options: ExportOrderOptions = { settings, opening: this.#openings.get(settings.name) ?? 0 };
      return this.#folds.order(settings.name, options);
    });
  }

  /** Where the log goes is itself a record of the log. */
  recordSettings(): Promise<void> {
    const { sinks, adminLog } = this.#options;
    return recordFolds(adminLog, { object: "export", facts: { sinks: sinks.map(shownSink) } });
  }

  async list(): Promise<readonly ExportReport[]> {
    const found = await this.#folds.list<ExportStanding>({ kind: "standing" });
    return this.#options.sinks.flatMap((settings, at) => {
      const one = found[at];
      if (one === undefined) return [];
      const { behind, behindSince, foldFault, standing } = one;
      return [{ ...shownSink(settings), behind, behindSince, fault: standing?.fault ?? foldFault, standing }];
    });
  }

  /** What retention is about to take that a sink was never sent. */
  async expiring(kept: readonly KeptLog[] | null, now: number): Promise<readonly ExpiringRecords[]> {
    if (this.#options.sinks.length === 0 || (kept ?? []).length === 0) return [];
    return expiringRecords(await this.list(), kept, now);
  }

  async test(name: string): Promise<ExportTest> {
    this.#folds.assertKnown(name);
    return this.#folds.ask<ExportTest>(name, { kind: "test" });
  }

  async pause(name: string): Promise<ExportStanding> {
    this.#folds.assertKnown(name);
    return this.#folds.ask(name, { kind: "pause" });
  }

  async resume(name: string): Promise<ExportStanding> {
    this.#folds.assertKnown(name);
    const standing = await this.#folds.ask<ExportStanding>(name, { kind: "resume" });
    await this.#openAnew(name);
    return standing;
  }

  async replay(
    name: string,
    { origin, fromIndex }: { readonly origin: string | null; readonly fromIndex: number },
  ): Promise<ExportStanding> {
    this.#folds.assertKnown(name);
    const { places } = await this.#folds.ask<ExportStanding>(name, { kind: "standing" });
    if (origin !== null && places[origin] === undefined)
      throw new AdminFault("not-found", `${name} was sent nothing of ${origin}`, suggest(origin, Object.keys(places)));
    const standing = await this.#folds.ask<ExportStanding>(name, { kind: "replay", origin, fromIndex });
    await this.#openAnew(name);
    return standing;
  }

  async #openAnew(name: string): Promise<void> {
    this.#openings.set(name, (this.#openings.get(name) ?? 0) + 1);
    await this.#options.order();
  }
}
