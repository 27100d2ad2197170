// Promises folds that stand under names of the operator's own (sinks, notifiers): ordered, asked and told of by those names, and a name that is none
// refused with the nearest. Trusts the follower to run them. Described in docs/audit.md "What follows the log".
import { AdminFault } from "../../admin/actions.ts";
import { suggest } from "../../registry/config/nearest.ts";
import type { AdminLog } from "../admin-log.ts";
import type { Follower } from "./follower.ts";
import type { FoldOrder, FollowerStanding } from "./follower-messages.ts";

/** Operators' acts and control's own are of this environment. */
const ownEnvironment = "sallyport";

export interface NamedFoldsOptions {
  /** Begins every id: one word, by which status and metrics name a fold. */
  readonly prefix: string;
  /** What one is called, for people. */
  readonly noun: string;
  /** Of `serve`, that names the folder of their settings. */
  readonly option: string;
  /** URL of the module that makes one. */
  readonly module: string;
  readonly names: readonly string[];
  readonly follower: Pick<Follower, "ask" | "standing">;
}

export interface NamedStanding<S> {
  /** Records that may be read and were not taken. */
  readonly behind: number;
  /** Milliseconds since the epoch; null when nothing is behind. */
  readonly behindSince: number | null;
  /** What the follower says of the fold itself; null: nothing is wrong with it. */
  readonly foldFault: string | null;
  /** Null: the fold does not answer. */
  readonly standing: S | null;
}

export class NamedFolds<Question extends { readonly kind: string }> {
  readonly #options: NamedFoldsOptions;

  constructor(options: NamedFoldsOptions) {
    this.#options = options;
  }

  order(name: string, options: unknown): FoldOrder {
    return { id: this.#idOf(name), module: this.#options.module, options };
  }

  /** Throws AdminFault `not-found` for a name that none has. */
  assertKnown(name: string): void {
    const { names, noun, option } = this.#options;
    if (names.includes(name)) return;
    const fix = names.length === 0 ? `none is set up: serve ${option} <folder>` : suggest(name, names);
    throw new AdminFault("not-found", `there is no ${noun} ${name}`, fix);
  }

  /** Where each stands, in the order of the names. */
  async list<S>(question: Question): Promise<readonly NamedStanding<S>[]> {
    const { follower, names } = this.#options;
    const { folds } = await follower.standing().catch((): FollowerStanding => ({ folds: [], fault: null }));
    return Promise.all(
      names.map(async (name) => {
        const fold = folds.find(({ id }) => id === this.#idOf(name));
        const standing = await this.ask<S>(name, question).catch(() => null);
        const { behind = 0, behindSince = null, fault: foldFault = null } = fold ?? {};
        return { behind, behindSince, foldFault, standing };
      }),
    );
  }

  /** Rejects with AdminFault `unavailable` when it does not answer. */
  async ask<T>(name: string, question: Question): Promise<T> {
    try {
      // Each question of a fold has its own answer.
      return (await this.#options.follower.ask(this.#idOf(name), question)) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : "unknown";
      throw new AdminFault(
        "unavailable",
        `the ${this.#options.noun} ${name} does not answer: ${why}`,
        "sallyport status says more",
      );
    }
  }

  #idOf(name: string): string {
    return `${this.#options.prefix}-${name}`;
  }
}

/** What is set up is itself a record of the log, at each start; nothing is recorded where nothing is. */
export async function recordFolds(
  adminLog: Pick<AdminLog, "record">,
  {
    object,
    facts,
  }: { readonly object: "alert" | "export"; readonly facts: Readonly<Record<string, readonly object[]>> },
): Promise<void> {
  if (Object.values(facts).every((shown) => shown.length === 0)) return;
  await adminLog.record({
    ...{ environment: ownEnvironment, actor: "built-in", action: `${object}.configure`, object },
    facts: Object.fromEntries(Object.entries(facts).map(([name, shown]) => [name, JSON.stringify(shown)])),
  });
}
