// Promises an answer of the place where gateways count together, within a bound, or at once that there is none: a place that does not answer is asked by no
// crossing until it answers again. Trusts its port. Specified in docs/limits.md "Across gateways".
import { patience } from "@sallyport/kernel/dial/patience.ts";
import type { DataKeys } from "../idempotency/data-keys.ts";
import type { Logger } from "../ports.ts";
import type { Place } from "./in-flight.ts";
import {
  type LimitsConnection,
  type LimitsStorePort,
  readRenewAnswer,
  readTakeAnswer,
  renewScript,
  type TakeAnswer,
  type TakeInput,
  takeArguments,
  takeScript,
} from "./limits-store.ts";

/** Crossings in a row without an answer in time, after which none asks any more. */
export const missesMax = 3;
/** A place is held so long beyond the last word of its gateway. */
export const leaseMs = 30_000;
export const renewEveryMs = 2_000;
/** A gateway counts as there so long after its last word. */
export const thereMs = 10_000;
const answerMsMax = 1_000;
const retryMsMin = 100;
const retryMsMax = 2_000;
const renewedTogether = 500;

export type SharedState = "unused" | "absent" | "connecting" | "shared" | "lost";

export interface SharedLimitsStatus {
  readonly state: SharedState;
  /** Host and port; null: none is named. */
  readonly place: string | null;
  /** Why it is not shared; null where it is, or nobody asked. */
  readonly why: string | null;
  /** Gateways there, as last heard; 0: never. */
  readonly gateways: number;
}

export interface SharedLimitsPorts {
  /** Null: this gateway has none. */
  readonly store: LimitsStorePort | null;
  readonly logger: Logger;
  /** Distinguishes this run of this node: worker threads of one are one gateway there. */
  readonly self: string;
  /** One word, which all worker threads of a node have in common: how many gateways there are, as last heard. */
  readonly heard: Int32Array;
  /** Null: control sent no data key. */
  keys(): DataKeys | null;
}

export interface SharedInput extends Omit<TakeInput, "leaseMs"> {
  /** Names of what is counted: the rates, then what is under way. */
  readonly names: readonly string[];
}

export class SharedLimits {
  readonly #ports: SharedLimitsPorts;
  /** What this gateway holds there: member -> keys. */
  readonly #held = new Map<string, readonly string[]>();
  #connection: LimitsConnection | null = null;
  #connecting: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #misses = 0;
  #failures = 0;
  #why: string | null = null;
  #isWanted = false;
  #isClosed = false;
  /** How crossings fared, shown by metrics. */
  readonly counts = { shared: 0, late: 0, lost: 0 };

  constructor(ports: SharedLimitsPorts) {
    this.#ports = ports;
  }

  /** Does the snapshot in force have such limits? */
  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    if (isWanted && this.#ports.store !== null) this.#connect();
  }

  /** How many share what is lost: those last heard of, or this one alone where nothing was ever heard. */
  get gateways(): number {
    return Math.max(1, this.#heard);
  }

  get #heard(): number {
    return Atomics.load(this.#ports.heard, 0);
  }

  status(): SharedLimitsStatus {
    const { store } = this.#ports;
    const state: SharedState = !this.#isWanted
      ? "unused"
      : store === null
        ? "absent"
        : this.#connection !== null
          ? "shared"
          : this.#why === null
            ? "connecting"
            : "lost";
    return { state, place: store?.place ?? null, why: this.#why, gateways: this.#heard };
  }

  /** Asks for one permit of each. Null, at once or after the wait: nobody can say. */
  take(input: SharedInput): Promise<TakeAnswer | null> | null {
    const keys = this.#ports.keys();
    const { store } = this.#ports;
    const connection = this.#connection;
    if (store === null || keys === null || connection === null) {
      this.counts.lost++;
      return null;
    }
    const named = input.names.map((name) => keys.sharedLimitOf(name));
    const asked = connection.run(takeScript, named, takeArguments({ ...input, leaseMs }));
    return this.#inTime(connection, { asked, input, waitMs: store.waitMs });
  }

  /** The answer, or null once the time is up; what comes later is nobody's. */
  #inTime(
    connection: LimitsConnection,
    { asked, input, waitMs }: { asked: Promise<unknown>; input: SharedInput; waitMs: number },
  ): Promise<TakeAnswer | null> {
    return new Promise((resolve) => {
      let isOpen = true;
      const end = (answer: TakeAnswer | null, why: string): void => {
        if (!isOpen) return;
        isOpen = false;
        patient.end();
        resolve(answer);
        if (answer === null) this.#missed(connection, why);
        else {
          this.#misses = 0;
          this.counts.shared++;
        }
      };
      // A busy gateway is no slow Redis.
      const patient = patience(waitMs, () => end(null, `no answer within ${waitMs} ms`));
      asked.then(
        (reply) => end(readTakeAnswer(reply, input.rates, input.names.length), "an answer that is none"),
        (cause: unknown) => end(null, cause instanceof Error ? cause.message : String(cause)),
      );
    });
  }

  #missed(connection: LimitsConnection, why: string): void {
    this.counts.late++;
    if (++this.#misses >= missesMax) this.#lose(connection, why);
  }

  /** The places of `names` until it is given back; also where the answer came too late, for it may have taken them. */
  hold(member: string, names: readonly string[]): Place {
    const keys = this.#ports.keys();
    const named = keys === null ? [] : names.map((name) => keys.sharedLimitOf(name));
    this.#held.set(member, named);
    return {
      giveBack: () => {
        if (!this.#held.delete(member)) return;
        for (const key of named) this.#connection?.release(key, member);
      },
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#connecting;
    const connection = this.#connection;
    this.#connection = null;
    const keys = this.#ports.keys();
    if (connection === null || keys === null) return;
    for (const [member, named] of this.#held) for (const key of named) connection.release(key, member);
    connection.release(this.#gatewaysKey(keys), this.#ports.self);
    // Answered in order: when this is, the others were taken.
    await this.#say(connection, keys, { withSelf: false }).catch(() => {});
    connection.destroy();
  }

  #connect(): void {
    const { store } = this.#ports;
    if (store === null || this.#isClosed || this.#connection !== null || this.#connecting !== null) return;
    if (this.#timer !== null) return;
    this.#connecting = this.#tryConnect(store).finally(() => {
      this.#connecting = null;
      if (this.#connection === null) this.#again();
    });
  }

  async #tryConnect(store: LimitsStorePort): Promise<void> {
    let connection: LimitsConnection | null = null;
    try {
      const keys = this.#ports.keys();
      if (keys === null) throw new Error("control has sent no data key: is it as new as this gateway?");
      connection = await within(store.connect(), (late) => late.destroy());
      await this.#renew(connection, keys);
      this.#use(connection);
    } catch (cause) {
      connection?.destroy();
      this.#failures++;
      this.#becomeLost(cause instanceof Error ? cause.message : String(cause));
    }
  }

  #use(connection: LimitsConnection): void {
    const { logger, store } = this.#ports;
    this.#connection = connection;
    this.#misses = 0;
    this.#failures = 0;
    this.#why = null;
    logger.info({ place: store?.place, gateways: this.#heard }, "limits across gateways are shared");
    connection.onEnd((why) => this.#lose(connection, why));
    this.#timer = setTimeout(() => this.#keep(connection), renewEveryMs).unref();
  }

  /** Every few seconds: this gateway is there, and holds what it holds. */
  #keep(connection: LimitsConnection): void {
    this.#timer = null;
    const keys = this.#ports.keys();
    if (this.#connection !== connection || keys === null) return;
    this.#renew(connection, keys).then(
      () => {
        if (this.#connection === connection)
          this.#timer = setTimeout(() => this.#keep(connection), renewEveryMs).unref();
      },
      (cause: unknown) => this.#lose(connection, String(cause)),
    );
  }

  async #renew(connection: LimitsConnection, keys: DataKeys): Promise<void> {
    const places = [...this.#held].flatMap(([member, named]) => named.map((key) => [key, member] as const));
    do {
      const some = places.splice(0, renewedTogether);
      const heard = readRenewAnswer(await this.#say(connection, keys, { withSelf: true, places: some }));
      if (heard === null) throw new Error("an answer that is none");
      Atomics.store(this.#ports.heard, 0, heard);
    } while (places.length > 0);
  }

  #say(
    connection: LimitsConnection,
    keys: DataKeys,
    { withSelf, places = [] }: { readonly withSelf: boolean; readonly places?: readonly (readonly [string, string])[] },
  ): Promise<unknown> {
    const there = String(withSelf ? thereMs : 1);
    const members = places.map(([, member]) => member);
    const named = [this.#gatewaysKey(keys), ...places.map(([key]) => key)];
    return within(connection.run(renewScript, named, [this.#ports.self, there, String(leaseMs), ...members]));
  }

  #gatewaysKey(keys: DataKeys): string {
    return keys.sharedLimitOf("gateways");
  }

  #lose(connection: LimitsConnection, why: string): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    connection.destroy();
    if (this.#isClosed) return;
    this.#becomeLost(why);
    this.#again();
  }

  #becomeLost(why: string): void {
    if (this.#why === null)
      this.#ports.logger.error(
        { err: why, place: this.#ports.store?.place },
        "limits across gateways cannot be shared: what each says of a loss holds",
      );
    this.#why = why;
  }

  #again(): void {
    if (this.#isClosed || this.#timer !== null || !this.#isWanted) return;
    const pauseMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(this.#failures, 8));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#connect();
    }, pauseMs).unref();
  }
}

/** `promise`, or an error after so long; what comes too late is given to `late`. */
async function within<T>(promise: Promise<T>, late?: (value: T) => void): Promise<T> {
  const end = Promise.withResolvers<never>();
  let isLate = false;
  const over = (): void => {
    isLate = true;
    end.reject(new Error(`no answer within ${answerMsMax} ms`));
  };
  const patient = patience(answerMsMax, over);
  promise.then((value) => isLate && late?.(value)).catch(() => {}); // The race tells of it.
  try {
    return await Promise.race([promise, end.promise]);
  } finally {
    patient.end();
  }
}
