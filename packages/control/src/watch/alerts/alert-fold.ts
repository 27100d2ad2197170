// Promises every finding that is raised to one notifier at least once and in order, its place durable behind it; no more messages than may be sent in a
// minute; nothing that holds up anybody else. It begins at the present. Trusts the follower for the records and control for the findings.
// Specified in docs/alerts.md.

import type { Disk } from "@sallyport/kernel/log/disk.ts";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { readSinkState, type SinkPlace, writeSinkState } from "../../audit/export/place-file.ts";
import { type PausePorts, ReceiverPause } from "../../audit/export/receiver-pause.ts";
import type { Fold, FoldBatch, FoldHost } from "../../audit/follow/fold.ts";
import type { Finding } from "../finding.ts";
import { findingStepOf } from "../finding-leaf.ts";
import { alertOf, testAlert } from "./alert.ts";
import { type AlertFilter, wants } from "./alert-settings.ts";
import { MessageBudget } from "./message-budget.ts";
import type { Notifier } from "./notifier.ts";

/** Records without a finding after which the place is written down all the same. */
const quietMax = 10_000;

/** Name of the service of control that gives findings by their ids (audit/follow/services.ts). */
export const findingsService = "alerts.findings";

export interface AlertFoldOptions {
  readonly id: string;
  readonly name: string;
  readonly filter: AlertFilter;
  readonly perMinute: number;
  readonly notifier: Notifier;
  readonly placePath: string;
}

export interface AlertFoldPorts extends PausePorts {
  readonly disk: Disk;
  readonly host: Pick<FoldHost, "call" | "records">;
}

/** What the main thread asks; the answers are AlertStanding and AlertTest. */
export type AlertQuestion = { readonly kind: "standing" } | { readonly kind: "test" };

export interface AlertStanding {
  readonly name: string;
  /** Messages and findings since this fold was opened. */
  readonly messages: number;
  readonly findings: number;
  /** When the receiver took something last; null: not since this fold was opened. */
  readonly takenAtMs: number | null;
  /** Why the last try failed; null: it did not. */
  readonly fault: string | null;
  /** Who was left out of the last message; null: nobody. */
  readonly shortfall: string | null;
}

export interface AlertTest {
  readonly taken: boolean;
  readonly why: string | null;
}

interface Raised {
  readonly index: number;
  readonly finding: Finding;
}

export class AlertFold implements Fold {
  readonly id: string;
  readonly #options: AlertFoldOptions;
  readonly #ports: AlertFoldPorts;
  readonly #pause: ReceiverPause;
  readonly #budget: MessageBudget;
  /** Behind the last record of which nothing is left to tell. */
  #places: Map<string, number> | null = null;
  /** Records passed since the places were written down. */
  #quiet = 0;
  #messages = 0;
  #findings = 0;
  #takenAtMs: number | null = null;
  #shortfall: string | null = null;

  constructor(options: AlertFoldOptions, ports: AlertFoldPorts) {
    this.id = options.id;
    this.#options = options;
    this.#ports = ports;
    this.#pause = new ReceiverPause(ports);
    this.#budget = new MessageBudget(options.perMinute);
  }

  /** Findings are raised in control's own log. */
  readonly wants = ({ role }: Pick<HeldOrigin, "role">): boolean => role === "control";

  async places(): Promise<ReadonlyMap<string, number>> {
    const { disk, host } = this.#ports;
    const stored = readSinkState(disk, this.#options.placePath, "findings from now on are told").places;
    if (stored.size > 0) this.#places = new Map([...stored].map(([origin, { next }]) => [origin, next]));
    else {
      // A notifier that is new begins here: nobody wants to be told of last year.
      const origins = (await host.records.origins()).filter(this.wants);
      this.#store(new Map(origins.map(({ origin, size }) => [origin, size])));
    }
    return this.#now();
  }

  async take({ origin: { origin }, records }: FoldBatch): Promise<void> {
    this.#pause.assertOver();
    try {
      // After a failure halfway all of a batch comes again: what is behind the place is done.
      const from = this.#now().get(origin) ?? 0;
      await this.#tellAll(origin, await this.#raisedIn(records.filter(({ index }) => index >= from)));
      this.#pass(origin, (records.at(-1)?.index ?? 0) + 1, records.length);
      this.#pause.succeeded();
    } catch (error) {
      this.#pause.failed(error);
      throw error;
    }
  }

  async answer(question: unknown): Promise<unknown> {
    // From our own main thread.
    return (question as AlertQuestion).kind === "test" ? this.#test() : this.#standing();
  }

  async close(): Promise<void> {
    if (this.#quiet > 0) this.#store(this.#now());
    await this.#options.notifier.close();
  }

  /** The findings these records raised, as control has them now, that this notifier is told of. */
  async #raisedIn(records: readonly FoundRecord[]): Promise<readonly Raised[]> {
    const raised = records.flatMap(({ index, leaf }) => {
      const id = raisedBy(leaf);
      return id === null ? [] : [{ index, id }];
    });
    if (raised.length === 0) return [];
    const ids = raised.map(({ id }) => id);
    // Control answers with what its store holds; one that is gone has nothing to be told of.
    const findings = (await this.#ports.host.call(findingsService, ids)) as readonly Finding[];
    const byId = new Map(findings.map((finding) => [finding.id, finding]));
    return raised.flatMap(({ index, id }) => {
      const finding = byId.get(id);
      return finding?.tells !== true || !wants(this.#options.filter, finding) ? [] : [{ index, finding }];
    });
  }

  async #tellAll(origin: string, due: readonly Raised[]): Promise<void> {
    const parts = this.#budget.parts(due.length, this.#ports.now());
    if (due.length > 0 && parts.length === 0)
      throw new Error(
        `${this.#options.perMinute} messages were sent in a minute: what is found meanwhile follows in one`,
      );
    let told = 0;
    for (const part of parts) {
      const some = due.slice(told, told + part);
      await this.#tell(some.map(({ finding }) => finding));
      told += part;
      this.#store(new Map(this.#now()).set(origin, (some.at(-1)?.index ?? 0) + 1));
    }
  }

  async #tell(findings: readonly Finding[]): Promise<void> {
    const { name, notifier } = this.#options;
    const { shortfall } = await notifier.tell(alertOf(name, findings));
    this.#budget.sent(this.#ports.now());
    this.#shortfall = shortfall;
    this.#takenAtMs = this.#ports.now();
    this.#messages += 1;
    this.#findings += findings.length;
  }

  /** Sends a message about nothing, and says what became of it; the place stays. */
  async #test(): Promise<AlertTest> {
    const { name, notifier } = this.#options;
    try {
      const { shortfall } = await notifier.tell(testAlert(name, this.#ports.now()));
      return { taken: shortfall === null, why: shortfall };
    } catch (error) {
      return { taken: false, why: error instanceof Error ? error.message : "unknown" };
    }
  }

  #standing(): AlertStanding {
    return {
      ...{ name: this.#options.name, messages: this.#messages, findings: this.#findings },
      ...{ takenAtMs: this.#takenAtMs, fault: this.#pause.fault, shortfall: this.#shortfall },
    };
  }

  #now(): Map<string, number> {
    this.#places ??= new Map();
    return this.#places;
  }

  /** Written down now and then only: read again after a crash, these records raise nothing. */
  #pass(origin: string, next: number, count: number): void {
    const places = this.#now();
    places.set(origin, Math.max(next, places.get(origin) ?? 0));
    this.#quiet += count;
    if (this.#quiet >= quietMax) this.#store(places);
  }

  #store(places: Map<string, number>): void {
    const kept = [...places].map(([origin, next]): [string, SinkPlace] => [origin, { next, last: null }]);
    writeSinkState(this.#ports.disk, this.#options.placePath, { places: new Map(kept), paused: null });
    this.#places = places;
    this.#quiet = 0;
  }
}

const raiseWord = Buffer.from('"finding.raise"');

/** The id of the finding a record raises; null: it raises none. Most records are not parsed. */
function raisedBy(bytes: Uint8Array): string | null {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(raiseWord)) return null;
  const leaf = parseLeaf(bytes);
  const finding = leaf.t === "admin" ? findingStepOf(leaf) : null;
  return finding?.step === "raised" ? finding.id : null;
}
