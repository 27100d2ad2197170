// Promises every finding that is raised to one notifier at least once and in order, its place durable behind it; no more messages than may be sent in a
// minute; nothing that holds up anybody else. It begins at the present. Trusts the follower for the records and control for the findings.
// Specified in docs/alerts.md.

import type { Disk } from "@sallyport/kernel/log/disk.ts";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { readSinkState, type SinkPlace, writeSinkState } from "../../audit/export/place-file.ts";
import { type PausePorts, ReceiverPause } from "../../audit/export/receiver-pause.ts";
import type { Fold, FoldBatch, FoldHost } from "../../audit/follow/fold.ts";
import { readLeaf } from "../../audit/search/record-terms.ts";
import type { Finding } from "../finding.ts";
import { findingStepOf } from "../finding-leaf.ts";
import { alertOf, namedMax, testAlert } from "./alert.ts";
import { type AlertFilter, wants } from "./alert-settings.ts";
import { DeadAlerts } from "./dead-alerts.ts";
import { MessageBudget } from "./message-budget.ts";
import { type Notifier, Refusal } from "./notifier.ts";

/** Records without a finding after which the place is written down all the same. */
const quietMax = 10_000;
/** Refusals in a row, a minute apart, after which a finding is given up; the next one then has one try. */
export const refusalsMax = 20;

/** Name of the service of control that gives findings by their ids (audit/follow/services.ts). */
export const findingsService = "alerts.findings";

export interface AlertFoldOptions {
  readonly id: string;
  readonly name: string;
  readonly filter: AlertFilter;
  readonly perMinute: number;
  readonly notifier: Notifier;
  readonly placePath: string;
  readonly deadLetterPath: string;
}

export interface AlertFoldPorts extends PausePorts {
  readonly disk: Disk;
  readonly host: Pick<FoldHost, "call" | "records">;
}

/** What the main thread asks; the answers are AlertStanding, AlertTest and AlertReplay. */
export type AlertQuestion = { readonly kind: "standing" } | { readonly kind: "test" } | { readonly kind: "replay" };

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
  /** Findings that were given up because the receiver refused them again and again. */
  readonly deadLetters: number;
  /** Why the last of them was; null: there is none. */
  readonly deadLetterReason: string | null;
}

/** What became of the findings that had been given up. */
export interface AlertReplay {
  readonly told: number;
  /** Control no longer has them: there is nothing to tell. */
  readonly gone: number;
  readonly left: number;
  /** Why some are left; null: none is, or the minute has no more messages. */
  readonly why: string | null;
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
  readonly #dead: DeadAlerts;
  #refusals = 0;
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
    this.#dead = new DeadAlerts(ports.disk, options.deadLetterPath);
  }

  /** Findings are raised in control's own log. */
  readonly wants = ({ role }: Pick<HeldOrigin, "role">): boolean => role === "control";

  async places(): Promise<ReadonlyMap<string, number>> {
    const { disk, host } = this.#ports;
    // One that cannot read what it gave up does not begin.
    this.#dead.list();
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
    const { kind } = question as AlertQuestion;
    if (kind === "replay") return this.#replay();
    return kind === "test" ? this.#test() : this.#standing();
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
    const byId = await this.#findingsOf(ids);
    return raised.flatMap(({ index, id }) => {
      const finding = byId.get(id);
      return finding?.tells !== true || !wants(this.#options.filter, finding) ? [] : [{ index, finding }];
    });
  }

  /** Control answers with what its store holds; one that is gone has nothing to be told of. */
  async #findingsOf(ids: readonly string[]): Promise<ReadonlyMap<string, Finding>> {
    // The service's own answer (audit/follow/services.ts).
    const findings = (await this.#ports.host.call(findingsService, ids)) as readonly Finding[];
    return new Map(findings.map((finding) => [finding.id, finding]));
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
      const givenUp = await this.#tellOrGiveUp(some.map(({ finding }) => finding));
      told += part;
      this.#store(new Map(this.#now()).set(origin, (some.at(-1)?.index ?? 0) + 1));
      // The receiver is left alone for a while before it is asked to take the next.
      if (givenUp !== null) throw givenUp;
    }
  }

  /** Null: told. A receiver that refuses for good is asked often enough, and then the findings are put aside, so that they hold up no others. */
  async #tellOrGiveUp(findings: readonly Finding[]): Promise<Refusal | null> {
    try {
      await this.#tell(findings);
      return null;
    } catch (fault) {
      if (!(fault instanceof Refusal)) throw fault;
      this.#refusals += 1;
      if (this.#refusals < refusalsMax) throw fault;
      const at = this.#ports.now();
      this.#dead.add(findings.map(({ id }) => ({ finding: id, at, reason: fault.message })));
      return fault;
    }
  }

  /** Tells what was given up, twenty findings in a message, as many messages as a minute has left. */
  async #replay(): Promise<AlertReplay> {
    const letters = this.#dead.list();
    const byId = await this.#findingsOf(letters.map(({ finding }) => finding));
    const gone = letters.filter(({ finding }) => !byId.has(finding));
    if (gone.length > 0) this.#dead.remove(new Set(gone.map(({ finding }) => finding)));
    const due = letters.flatMap(({ finding }) => byId.get(finding) ?? []);
    let told = 0;
    let why: string | null = null;
    try {
      while (told < due.length && this.#budget.parts(1, this.#ports.now()).length > 0) {
        const some = due.slice(told, told + namedMax);
        await this.#tell(some);
        this.#dead.remove(new Set(some.map(({ id }) => id)));
        told += some.length;
      }
    } catch (error) {
      why = error instanceof Error ? error.message : "unknown";
    }
    return { told, gone: gone.length, left: due.length - told, why };
  }

  async #tell(findings: readonly Finding[]): Promise<void> {
    const { name, notifier } = this.#options;
    const { shortfall } = await notifier.tell(alertOf(name, findings));
    this.#budget.sent(this.#ports.now());
    this.#shortfall = shortfall;
    this.#takenAtMs = this.#ports.now();
    this.#messages += 1;
    this.#refusals = 0;
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
    const letters = this.#dead.list();
    return {
      ...{ name: this.#options.name, messages: this.#messages, findings: this.#findings },
      ...{ takenAtMs: this.#takenAtMs, fault: this.#pause.fault, shortfall: this.#shortfall },
      ...{ deadLetters: letters.length, deadLetterReason: letters.at(-1)?.reason ?? null },
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

/** The id of the finding a record raises; null: it raises none, or cannot be read, which stops nothing. Most records are not parsed. */
function raisedBy(bytes: Uint8Array): string | null {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(raiseWord)) return null;
  const leaf = readLeaf(bytes);
  const finding = leaf?.t === "admin" ? findingStepOf(leaf) : null;
  return finding?.step === "raised" ? finding.id : null;
}
