// Promises counts of what passed and would have been denied, by operation, caller and reason, that outlive a restart, in a bounded table; says honestly
// since when it counts and how much found no room. Holds pseudonyms as the leaves do, never a name or a path. Specified in docs/observe.md.

import type { Clock } from "@sallyport/kernel/ports.ts";
import {
  type DownMessage,
  type ObservedGroup,
  observedGroupsMax,
  type UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import type { Exchange } from "../exchange.ts";
import type { CrossingObserver, Logger } from "../ports.ts";
import type { Ended, Recorder } from "../record/recorder.ts";
import type { StateDirectory } from "../snapshot/state-directory.ts";
import { modeOf } from "./decide-pass.ts";
import { countSince, dayOf, type Seen, see, unseen } from "./seen.ts";
import { type CountedShadow, ShadowCounts } from "./shadow-counts.ts";
import { shapeOf } from "./undeclared.ts";

const file = "observed.json";
const dayMs = 86_400_000;
/** No exception lasts longer; what ended that long ago is of no use to anybody. */
const keptDaysMax = 200;
/** Groups that tell templates of undeclared paths apart: strangers who walk through paths must leave room for everything else. */
export const shapedGroupsMax = 512;
const writeEveryMs = 10_000;

type Counted = NamedGroup & Seen;

interface Stored {
  readonly v: 1;
  readonly sinceMs: number;
  readonly uncounted: number;
  readonly groups: readonly Counted[];
  /** Absent where an older version wrote it. */
  readonly shadows?: readonly CountedShadow[];
}

export interface ObservedTablePorts {
  readonly clock: Clock;
  readonly directory: StateDirectory;
  readonly recorder: Pick<Recorder, "ready" | "pseudonym">;
  readonly logger: Logger;
}

export type ObservedQuestion = Extract<DownMessage, { ask: "observed" }>;
export type ObservedAnswer = Extract<UpMessage, { t: "observed" }>;

export class ObservedTable implements CrossingObserver {
  readonly #ports: ObservedTablePorts;
  readonly #groups = new Map<string, Counted>();
  readonly #shadows = new ShadowCounts();
  #shaped = 0;
  #sinceMs: number;
  #uncounted = 0;
  #dirty = false;
  #writtenMs = 0;

  constructor(ports: ObservedTablePorts) {
    this.#ports = ports;
    this.#sinceMs = ports.clock.now();
    this.#load();
  }

  /** A crossing that a denial ended was enforced, and is not counted here; what policies in shadow would have changed is. */
  crossing(exchange: Exchange, ended: Ended): void {
    if ((exchange.shadow !== null || exchange.threats !== null) && this.#ports.recorder.ready) {
      this.#dirty = true;
      this.#shadows.count(exchange, { recorder: this.#ports.recorder, nowMs: this.#ports.clock.now() });
    }
    const mode = modeOf(exchange);
    if (mode === "enforce" || !this.#ports.recorder.ready) return;
    if (ended.deny !== null && ended.outcome === "denied") return;
    const { operation, principal, source, wouldDeny } = exchange;
    if (operation === null) return;
    const { recorder, clock } = this.#ports;
    this.#count(
      {
        mode,
        operation: operation.fullName,
        caller: principal === null ? null : recorder.pseudonym("caller", principal.caller),
        addressClass: source.addressClass,
        code: wouldDeny?.code ?? null,
        stage: wouldDeny?.stage ?? null,
        shape: operation.undeclared ? recorder.pseudonym("path", shapeOf(exchange)) : null,
      },
      { id: exchange.id, nowMs: clock.now() },
    );
  }

  answer({ id, sinceMs, shadows }: ObservedQuestion): ObservedAnswer {
    const groups = [...this.#groups.values()].filter(({ lastMs }) => lastMs >= sinceMs);
    return {
      t: "observed",
      id,
      sinceMs: Math.max(this.#sinceMs, dayOf(sinceMs)),
      uncounted: this.#uncounted,
      groups: groups.map(({ days, older, ...group }) => ({ ...group, count: countSince({ days, older }, sinceMs) })),
      // A control of before would not take an answer with more than it asked for.
      ...(shadows === true ? { shadows: this.#shadows.since(sinceMs), uncountedShadows: this.#shadows.uncounted } : {}),
    };
  }

  /** Writes what changed, now and then; `all`: at once. */
  sweep(all = false): void {
    const nowMs = this.#ports.clock.monotonic();
    if (!this.#dirty || (!all && nowMs - this.#writtenMs < writeEveryMs)) return;
    this.#writtenMs = nowMs;
    this.#dirty = false;
    const stored: Stored = {
      v: 1,
      sinceMs: this.#sinceMs,
      uncounted: this.#uncounted,
      groups: [...this.#groups.values()],
      shadows: this.#shadows.stored(),
    };
    try {
      this.#ports.directory.writeSoon(file, JSON.stringify(stored));
    } catch (cause) {
      this.#ports.logger.warn({ err: String(cause) }, "what was observed could not be kept for the next start");
    }
  }

  #count(named: NamedGroup, on: { id: string; nowMs: number }): void {
    this.#dirty = true;
    const key = keyOf(named);
    const known = this.#groups.get(key);
    if (known === undefined && named.shape !== null && this.#shaped >= shapedGroupsMax) {
      this.#count({ ...named, shape: null }, on);
      return;
    }
    if (known === undefined && this.#groups.size >= observedGroupsMax) {
      this.#uncounted++;
      return;
    }
    const group = known ?? { ...named, ...unseen(on.nowMs) };
    this.#groups.set(key, group);
    if (known === undefined && named.shape !== null) this.#shaped++;
    see(group, on);
  }

  #load(): void {
    const { directory, clock, logger } = this.#ports;
    try {
      const bytes = directory.read(file);
      if (bytes === null) return;
      // Written by `sweep` alone, in a folder that is ours; anything else is thrown away below.
      const stored = JSON.parse(Buffer.from(bytes).toString("utf8")) as Stored;
      if (stored.v !== 1 || !Number.isSafeInteger(stored.sinceMs)) throw new Error("not of this version");
      for (const group of stored.groups.slice(0, observedGroupsMax)) {
        if (group.lastMs < clock.now() - keptDaysMax * dayMs) continue;
        this.#groups.set(keyOf(group), { ...group, days: group.days.map(([day, count]) => [day, count]) });
        if (group.shape !== null) this.#shaped++;
      }
      this.#shadows.restore(stored.shadows ?? [], clock.now() - keptDaysMax * dayMs);
      this.#sinceMs = stored.sinceMs;
      this.#uncounted = stored.uncounted;
    } catch (cause) {
      this.#groups.clear();
      this.#shadows.clear();
      this.#shaped = 0;
      logger.warn({ err: String(cause) }, "what was observed before this start is not readable; it is counted anew");
    }
  }
}

type NamedGroup = Omit<ObservedGroup, "count" | "firstMs" | "lastMs" | "examples">;

function keyOf({ mode, operation, caller, addressClass, code, stage, shape }: NamedGroup): string {
  return JSON.stringify([mode, operation, caller, addressClass, code, stage, shape]);
}
