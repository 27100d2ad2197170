// Promises the one form of everything that notices something in records: a rule with a version, a state of its own, and signals that come from nothing but
// that state and the record. Trusts the fold (findings-fold.ts) to hand it records in order. Described in docs/findings.md "Rules".
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";

export const severities = ["informational", "low", "medium", "high", "critical"] as const;
export type Severity = (typeof severities)[number];

/** Who or what a signal is about: a pseudonym of the log, or a declared name; never text a caller chose. */
export interface Subject {
  readonly kind:
    | "caller"
    | "client"
    | "token"
    | "address"
    | "network"
    | "gateway"
    | "origin"
    | "environment"
    | "others";
  readonly name: string;
}

/** A record by its place: the leaf `index` of `origin`. */
export interface Evidence {
  readonly origin: string;
  readonly index: number;
}

/** What a detector, or another watcher, noticed. */
export interface Signal {
  readonly rule: string;
  readonly version: number;
  readonly severity: Severity;
  readonly tenant: string;
  readonly environment: string;
  readonly subject: Subject;
  /** Milliseconds since the epoch, by the records' own clocks. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** How often, at least 1. */
  readonly count: number;
  /** The last is the record that gave the signal. */
  readonly evidence: readonly Evidence[];
  /** Closed words and numbers that say more. */
  readonly facts: Readonly<Record<string, string | number>>;
}

export interface WatchedRecord extends Evidence {
  readonly leaf: Leaf;
}

/** `step` and `load` use no clock, no randomness and no input but their arguments: the same records give the same signals, now and in a backtest. */
export interface Detector<State> {
  /** One word; names the rule in findings. */
  readonly id: string;
  /** Raised with every change of what it signals: a state of another version is not taken up. */
  readonly version: number;
  /** One sentence for operators. */
  readonly describe: string;
  readonly severity: Severity;
  /** What follows a signal. Nothing acts by itself in this version. */
  readonly act: "notify";
  init(): State;
  /** Takes one record into the state, which is the caller's, and says what it gave. */
  step(state: State, record: WatchedRecord): readonly Signal[];
  save(state: State): string;
  /** Null: not a state of this detector. */
  load(text: string): State | null;
}

/** A detector with its state, whatever that is. */
export interface RunningDetector {
  readonly id: string;
  readonly version: number;
  step(record: WatchedRecord): readonly Signal[];
  save(): string;
  /** False: not a state of this version; it goes on with what it had. */
  load(text: string): boolean;
}

export interface Rule extends Pick<Detector<unknown>, "id" | "version" | "describe" | "severity" | "act"> {
  /** With a state of its own that has seen nothing. */
  run(): RunningDetector;
}

/** A detector as a rule that can be run any number of times side by side. */
export function ruleOf<State>(detector: Detector<State>): Rule {
  const { id, version, describe, severity, act } = detector;
  return {
    ...{ id, version, describe, severity, act },
    run: () => {
      let state = detector.init();
      return {
        ...{ id, version },
        step: (record) => detector.step(state, record),
        save: () => detector.save(state),
        load: (text) => {
          const loaded = detector.load(text);
          if (loaded !== null) state = loaded;
          return loaded !== null;
        },
      };
    },
  };
}
