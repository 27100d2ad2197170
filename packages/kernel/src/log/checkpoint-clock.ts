// Promises one checkpoint at a time: by the clock while the log grows, and for whoever asks; that one which fails is tried again, ever more rarely, and
// that an alarm says so. Trusts the log for the checkpoint itself. Specified in docs/audit.md "When no checkpoint can be signed".
import { LogFault } from "./fault.ts";
import type { Log } from "./log.ts";
import type { CourseEnd } from "./steps.ts";

/** Longest wait between two tries. */
const againMsMax = 30_000;
/** A checkpoint that takes longer is late, and an alarm says so. */
export const lateMs = 5_000;

type Told = (end: CourseEnd<string>) => void;

export interface CheckpointClockPorts {
  readonly log: Pick<Log, "checkpointLater" | "isSigning" | "signed" | "size" | "ended">;
  /** Between checkpoints while the log grows; 0: only when asked. */
  readonly intervalMs: number;
  /** Milliseconds that only go forward. */
  readonly monotonic: () => number;
  readonly alarm: (fault: LogFault) => void;
}

export class CheckpointClock {
  readonly #ports: CheckpointClockPorts;
  /** Those who asked since the checkpoint under way began. */
  #asked: Told[] = [];
  #beganAt = 0;
  #isLateSaid = false;
  /** Tries that failed, one after the other. */
  #failures = 0;
  #notBefore = 0;

  constructor(ports: CheckpointClockPorts) {
    this.#ports = ports;
  }

  /** A checkpoint over everything durable now. */
  ask(told: Told): void {
    this.#asked.push(told);
    this.#next();
  }

  /** To be called every `intervalMs`. */
  tick(): void {
    const { log, monotonic } = this.#ports;
    const now = monotonic();
    if (log.isSigning) {
      if (now - this.#beganAt > lateMs && !this.#isLateSaid) this.#sayLate(now);
      return;
    }
    const isDue = log.signed !== log.size || this.#failures > 0;
    if (log.ended === null && isDue && now >= this.#notBefore) this.#begin([]);
  }

  #next(): void {
    if (this.#ports.log.isSigning || this.#asked.length === 0) return;
    const asked = this.#asked;
    this.#asked = [];
    this.#begin(asked);
  }

  #begin(asked: readonly Told[]): void {
    this.#beganAt = this.#ports.monotonic();
    this.#isLateSaid = false;
    this.#ports.log.checkpointLater((end) => {
      if (end.kind === "done") this.#failures = 0;
      else this.#failed(end.error, asked.length > 0);
      for (const told of asked) told(end);
      this.#next();
    });
  }

  #failed(error: unknown, isAsked: boolean): void {
    const { intervalMs, monotonic, alarm, log } = this.#ports;
    this.#failures += 1;
    const wait = Math.min(againMsMax, intervalMs * 2 ** Math.min(this.#failures - 1, 16));
    this.#notBefore = monotonic() + wait;
    if (isAsked || log.ended !== null || !(error instanceof LogFault)) return;
    const left = error.code === "signer-failed" ? `. ${this.#uncovered()}; tried again in ${wait} ms` : "";
    alarm(new LogFault(error.code, `${error.internal}${left}`, error));
  }

  #sayLate(now: number): void {
    this.#isLateSaid = true;
    const seconds = Math.round((now - this.#beganAt) / 1000);
    this.#ports.alarm(
      new LogFault("signer-failed", `a checkpoint has been under way for ${seconds} s. ${this.#uncovered()}`),
    );
  }

  #uncovered(): string {
    const { log } = this.#ports;
    return `The log goes on; ${log.size - log.signed} of its ${log.size} records are not covered by a checkpoint`;
  }
}
