// Promises that answers go ahead of their records only where an operation says so, only behind a durable promise that says how many may be lost, and
// never more than that at once. Trusts the recorder for durability. Specified in docs/formats/leaf.md "Buffered records".
import type { BufferedFields, SettledFields } from "@sallyport/protocol/audit/leaf.ts";
import type { OperationObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { Logger } from "../ports.ts";
import type { Recorder } from "./recorder.ts";

/** Records on their way at once whose crossings were answered; beyond it answers wait for theirs. */
export const earlyAnswersMax = 1_024;

export interface EarlyPorts {
  /** One of several worker threads answers nothing early: the promise in the log is one node's, and so is its bound. */
  readonly isAlone: boolean;
  /** Appends a leaf of the gateway's own; resolves when it is durable. */
  append(
    leaf: ({ readonly t: "buffered" } & BufferedFields) | ({ readonly t: "settled" } & SettledFields),
  ): Promise<unknown>;
  /** A crossing was answered and its record could not be appended. */
  lost(cause: unknown): void;
}

/** Effects and what is restricted wait for their records whatever a snapshot says. */
export function maySkipWait({
  effect,
  classification,
  record,
}: Pick<OperationObject, "effect" | "classification" | "record">) {
  return record === "buffered" && !effect && classification !== "restricted";
}

export class EarlyAnswers {
  readonly #ports: EarlyPorts;
  /** `open`: the promise is durable; `broken`: a record was lost, so it is never ended and nothing goes early any more. */
  #state: "none" | "promising" | "open" | "broken" = "none";
  #promised: Promise<void> | null = null;
  #answered = 0;
  /** Crossings that were answered and have no record; shown by metrics. */
  lost = 0;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(ports: EarlyPorts) {
    this.#ports = ports;
  }

  /** Answers under way whose record is not durable. */
  get outstanding(): number {
    return this.#underWay.size;
  }

  /** May the answer of this operation go out before its record? The first one asked for waits, while the promise is given. */
  isAllowed(operation: Parameters<typeof maySkipWait>[0]): boolean {
    if (!this.#ports.isAlone || !maySkipWait(operation)) return false;
    if (this.#state === "none") this.#promise();
    return this.#state === "open" && this.#underWay.size < earlyAnswersMax;
  }

  /** Its answer goes out now. */
  follow(record: Promise<unknown>): void {
    this.#answered += 1;
    const settled = record
      .catch((cause) => {
        this.#state = "broken";
        this.lost += 1;
        this.#ports.lost(cause);
      })
      .finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
  }

  #promise(): void {
    this.#state = "promising";
    this.#promised = this.#ports.append({ t: "buffered", upTo: earlyAnswersMax }).then(
      () => {
        this.#state = "open";
      },
      () => {
        // Tried again with the next crossing; until then everything waits.
        this.#state = "none";
      },
    );
  }

  /** Every record is there: says so. A promise that was broken stays open in the log, where its verifier finds it. */
  async stop(): Promise<void> {
    await this.#promised;
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
    if (this.#state !== "open") return;
    this.#state = "broken";
    await this.#ports.append({ t: "settled", early: this.#answered }).catch(this.#ports.lost);
  }
}

/** Those of a gateway. */
export function openEarlyAnswers(
  recorder: Pick<Recorder, "own">,
  { logger, isAlone }: { readonly logger: Logger; readonly isAlone: boolean },
): EarlyAnswers {
  const message =
    "a crossing was answered whose record could not be appended: nothing is answered early any more, and the log says that records may be missing";
  return new EarlyAnswers({
    isAlone,
    append: (leaf) => recorder.own(leaf),
    lost: (cause) => logger.error({ err: String(cause) }, message),
  });
}
