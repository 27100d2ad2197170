// Promises work of the log that waits for a disk or a signer as single steps, so that the log's thread appends between them and tests may cut the power
// after any one. Trusts the disk port and the signer only for what they are asked. Order of the steps: docs/formats/leaf.md "Checkpoints".
import { dirname } from "node:path";
import { type CheckpointSigner, signerFailed, signMsMax } from "./checkpoint-signer.ts";
import type { Disk } from "./disk.ts";
import { LogFault, SyncFault } from "./fault.ts";

/** What is waited for. Everything else a course does happens at once. */
export type LogStep =
  | { readonly kind: "sync" | "sync-directory"; readonly path: string }
  | { readonly kind: "sign"; readonly message: Uint8Array };

/** Work in steps. A `sign` step gives the signature, a sync nothing. */
export type LogSteps<T> = Generator<LogStep, T, Uint8Array>;

export interface StepPorts {
  readonly disk: Disk;
  readonly signer: CheckpointSigner;
}

const nothing = new Uint8Array(0);

/** Replaces a file so that after a crash it holds either the old or the new content, and after the last step the new. `check` runs just before the new content takes the name. */
export function* replaceSteps(
  disk: Disk,
  path: string,
  bytes: Uint8Array,
  check: () => void = () => undefined,
): LogSteps<void> {
  const staged = `${path}.new`;
  const file = disk.open(staged, "write");
  try {
    file.truncate(0);
    file.write(0, bytes);
  } finally {
    file.close();
  }
  yield { kind: "sync", path: staged };
  check();
  disk.rename(staged, path);
  yield { kind: "sync-directory", path: dirname(path) };
}

function askNow(signer: CheckpointSigner, message: Uint8Array): Uint8Array | Promise<Uint8Array> {
  try {
    return signer.sign(message);
  } catch (error) {
    throw signerFailed(error);
  }
}

function performNow(step: LogStep, { disk, signer }: StepPorts): Uint8Array {
  if (step.kind === "sign") {
    const signature = askNow(signer, step.message);
    if (signature instanceof Uint8Array) return signature;
    // Its answer comes when nobody waits for it any more.
    signature.catch(() => undefined);
    throw new LogFault("signer-failed", "the signer of checkpoints did not answer at once");
  }
  try {
    if (step.kind === "sync-directory") disk.syncDirectory(step.path);
    else syncFile(disk, step.path);
    return nothing;
  } catch (error) {
    throw new SyncFault(step.path, error);
  }
}

function syncFile(disk: Disk, path: string): void {
  const file = disk.open(path, "write");
  try {
    file.sync();
  } finally {
    file.close();
  }
}

/** Does every step at once, one behind the other. */
export function runNow<T>(steps: LogSteps<T>, ports: StepPorts): T {
  for (let result = steps.next(nothing); ; ) {
    if (result.done === true) return result.value;
    let value: Uint8Array;
    try {
      value = performNow(result.value, ports);
    } catch (error) {
      result = steps.throw(error);
      continue;
    }
    result = steps.next(value);
  }
}

export type CourseEnd<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly error: unknown };

/** Steps under way: while one is waited for, the thread does other things. */
export class Course<T> {
  readonly #steps: LogSteps<T>;
  readonly #ports: StepPorts;
  readonly #told: (end: CourseEnd<T>) => void;
  /** A sync that nobody waits for any more failed. */
  readonly #strayed: (error: SyncFault) => void;
  #waitsFor: LogStep | null = null;
  #turn = 0;

  constructor(
    steps: LogSteps<T>,
    ports: StepPorts,
    told: { readonly ended: (end: CourseEnd<T>) => void; readonly strayed: (error: SyncFault) => void },
  ) {
    this.#steps = steps;
    this.#ports = ports;
    this.#told = told.ended;
    this.#strayed = told.strayed;
  }

  begin(): void {
    this.#take(() => this.#steps.next(nothing));
    this.#perform();
  }

  /** Does what is left at once, in place of whoever is waited for. */
  finishNow(): void {
    while (this.#waitsFor !== null) {
      const step = this.#waitsFor;
      this.#turn += 1;
      this.#take(() => {
        let value: Uint8Array;
        try {
          value = performNow(step, this.#ports);
        } catch (error) {
          return this.#steps.throw(error);
        }
        return this.#steps.next(value);
      });
    }
  }

  /** Does no further step: the log has ended. */
  stop(error: unknown): void {
    if (this.#waitsFor === null) return;
    this.#turn += 1;
    this.#waitsFor = null;
    this.#told({ kind: "failed", error });
  }

  #take(next: () => IteratorResult<LogStep, T>): void {
    this.#waitsFor = null;
    let result: IteratorResult<LogStep, T>;
    try {
      result = next();
    } catch (error) {
      this.#told({ kind: "failed", error });
      return;
    }
    if (result.done === true) this.#told({ kind: "done", value: result.value });
    else this.#waitsFor = result.value;
  }

  #perform(): void {
    const step = this.#waitsFor;
    if (step === null) return;
    const turn = ++this.#turn;
    const done = (error: unknown, value: Uint8Array): void => {
      if (turn !== this.#turn) {
        if (error !== null && step.kind !== "sign") this.#strayed(new SyncFault(step.path, error));
        return;
      }
      this.#turn += 1;
      const failure =
        error === null ? null : step.kind === "sign" ? signerFailed(error) : new SyncFault(step.path, error);
      this.#take(() => (failure === null ? this.#steps.next(value) : this.#steps.throw(failure)));
      this.#perform();
    };
    if (step.kind === "sign") signLater(this.#ports.signer, step.message, done);
    else if (step.kind === "sync") this.#ports.disk.syncLater(step.path, (error) => done(error, nothing));
    else this.#ports.disk.syncDirectoryLater(step.path, (error) => done(error, nothing));
  }
}

/** Asks the signer, for at most `signMsMax`. */
function signLater(
  signer: CheckpointSigner,
  message: Uint8Array,
  done: (error: unknown, signature: Uint8Array) => void,
): void {
  let answer: Uint8Array | Promise<Uint8Array>;
  try {
    answer = signer.sign(message);
  } catch (error) {
    done(error, nothing);
    return;
  }
  if (answer instanceof Uint8Array) {
    done(null, answer);
    return;
  }
  const timer = setTimeout(() => done(new Error(`no answer within ${signMsMax} ms`), nothing), signMsMax);
  answer.then(
    (signature) => {
      clearTimeout(timer);
      done(null, signature);
    },
    (error: unknown) => {
      clearTimeout(timer);
      done(error ?? new Error("refused"), nothing);
    },
  );
}
