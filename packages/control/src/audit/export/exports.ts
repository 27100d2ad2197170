// Promises the sinks of this control plane as an operator sees and steers them: listed, tested, paused, resumed, sent again; where they lead
// recorded at each start. Trusts routes.ts to record each act, and the follower's thread to run the folds. Specified in docs/export.md.
import { AdminFault } from "../../admin/actions.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { AdminLog } from "../admin-log.ts";
import type { Follower } from "../follow/follower.ts";
import type { FoldOrder, FollowerStanding } from "../follow/follower-messages.ts";
import type { KeptLog } from "../keeping/sweep.ts";
import { type ExpiringRecords, expiringRecords } from "./expiring.ts";
import type { ExportQuestion, ExportStanding, ExportTest } from "./export-fold.ts";
import type { ExportOrderOptions } from "./make-export-fold.ts";
import { type ShownSink, type SinkSettings, shownSink } from "./sink-settings.ts";

/** Operators' acts and control's own are of this environment. */
const ownEnvironment = "sallyport";
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

  constructor(options: ExportsOptions) {
    this.#options = options;
  }

  orders(): readonly FoldOrder[] {
    return this.#options.sinks.map((settings) => {
      const options: ExportOrderOptions = { settings, opening: this.#openings.get(settings.name) ?? 0 };
      return { id: foldId(settings.name), module: moduleUrl, options };
    });
  }

  /** Where the log goes is itself a record of the log. */
  async recordSettings(): Promise<void> {
    if (this.#options.sinks.length === 0) return;
    await this.#options.adminLog.record({
      ...{ environment: ownEnvironment, actor: "built-in", action: "export.configure", object: "export" },
      facts: { sinks: JSON.stringify(this.#options.sinks.map(shownSink)) },
    });
  }

  async list(): Promise<readonly ExportReport[]> {
    const { folds } = await this.#standing();
    return Promise.all(
      this.#options.sinks.map(async (settings) => {
        const id = foldId(settings.name);
        const fold = folds.find((one) => one.id === id);
        const standing = await this.#ask<ExportStanding>(settings.name, { kind: "standing" }).catch(() => null);
        const { behind = 0, behindSince = null, fault = null } = fold ?? {};
        return { ...shownSink(settings), behind, behindSince, fault: standing?.fault ?? fault, standing };
      }),
    );
  }

  /** What retention is about to take that a sink was never sent. */
  async expiring(kept: readonly KeptLog[] | null, now: number): Promise<readonly ExpiringRecords[]> {
    if (this.#options.sinks.length === 0 || (kept ?? []).length === 0) return [];
    return expiringRecords(await this.list(), kept, now);
  }

  async test(name: string): Promise<ExportTest> {
    this.#assertSink(name);
    return this.#ask<ExportTest>(name, { kind: "test" });
  }

  async pause(name: string): Promise<ExportStanding> {
    this.#assertSink(name);
    return this.#ask(name, { kind: "pause" });
  }

  async resume(name: string): Promise<ExportStanding> {
    this.#assertSink(name);
    const standing = await this.#ask<ExportStanding>(name, { kind: "resume" });
    await this.#openAnew(name);
    return standing;
  }

  async replay(
    name: string,
    { origin, fromIndex }: { readonly origin: string | null; readonly fromIndex: number },
  ): Promise<ExportStanding> {
    this.#assertSink(name);
    const { places } = await this.#ask<ExportStanding>(name, { kind: "standing" });
    if (origin !== null && places[origin] === undefined)
      throw new AdminFault("not-found", `${name} was sent nothing of ${origin}`, suggest(origin, Object.keys(places)));
    const standing = await this.#ask<ExportStanding>(name, { kind: "replay", origin, fromIndex });
    await this.#openAnew(name);
    return standing;
  }

  #assertSink(name: string): void {
    const names = this.#options.sinks.map((sink) => sink.name);
    if (names.includes(name)) return;
    const fix = names.length === 0 ? "none is set up: serve --exports <folder>" : suggest(name, names);
    throw new AdminFault("not-found", `there is no sink ${name}`, fix);
  }

  async #openAnew(name: string): Promise<void> {
    this.#openings.set(name, (this.#openings.get(name) ?? 0) + 1);
    await this.#options.order();
  }

  async #standing(): Promise<FollowerStanding> {
    return this.#options.follower.standing().catch((): FollowerStanding => ({ folds: [], fault: null }));
  }

  async #ask<T>(name: string, question: ExportQuestion): Promise<T> {
    try {
      // Each question has its own answer (export-fold.ts).
      return (await this.#options.follower.ask(foldId(name), question)) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      throw new AdminFault("unavailable", `the sink ${name} does not answer: ${why}`, "sallyport status says more");
    }
  }
}

/** One word, by which status and metrics name it. */
const foldId = (name: string): string => `export-${name}`;
