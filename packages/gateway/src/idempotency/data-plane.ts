// Promises the data-plane store of a gateway, opened when the first operation needs it, and a fault within a bounded time wherever it is not there: nothing
// that needs it passes then. Trusts whoever opens it for its place. Specified in docs/idempotency.md "The data-plane store".
import { patience } from "@sallyport/kernel/dial/patience.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { InputOf, OutputOf, Store } from "@sallyport/kernel/store/port.ts";
import type { GatewayIdentity, Logger } from "../ports.ts";
import { DataKeys } from "./data-keys.ts";
import { SteadyClock } from "./steady-clock.ts";
import type { DataPlaneCommands } from "./store-commands.ts";

/** Longest wait of a crossing for the store to open, and for one answer of it. */
export const openWaitMsMax = 2_000;
export const answerWaitMsMax = 5_000;
const reopenMsMin = 1_000;
const reopenMsMax = 30_000;
export const sweepEveryMs = 30_000;
export const sweptRowsMax = 1_000;
const sweptBatchesMax = 20;
/** A period that is over is remembered so long: a clock that is set back finds it used. */
const quotaKeptMs = 2 * 86_400_000;

export interface DataStorePort {
  readonly dialect: "sqlite" | "postgres";
  /** Opens it; rejects with a fault that names the place and the fix. */
  open(): Promise<Pick<Store<DataPlaneCommands>, "run" | "close">>;
}

export interface DataPlanePorts {
  readonly identity: GatewayIdentity;
  /** Null: this gateway has none. */
  readonly store: DataStorePort | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** The store cannot be used now. `message` is for operators. */
export class DataPlaneFault extends Error {
  override readonly name = "DataPlaneFault";
}

export type DataStoreState = "unused" | "opening" | "open" | "failed" | "absent";

export interface DataPlaneStatus {
  readonly dialect: "sqlite" | "postgres" | null;
  readonly state: DataStoreState;
  /** Why it cannot be used, with the fix; null where it can, or nobody asked. */
  readonly why: string | null;
}

/** What works while the store is open and the data key is there. */
export interface OpenDataPlane {
  readonly keys: DataKeys;
  run<K extends keyof DataPlaneCommands & string>(
    name: K,
    input: InputOf<DataPlaneCommands[K]>,
  ): Promise<OutputOf<DataPlaneCommands[K]>>;
}

type OpenStore = Awaited<ReturnType<DataStorePort["open"]>>;

export class DataPlane {
  readonly #ports: DataPlanePorts;
  readonly #time: SteadyClock;
  #keys: DataKeys | null = null;
  #open: OpenDataPlane | null = null;
  #store: OpenStore | null = null;
  #opening: Promise<void> | null = null;
  #why: string | null = null;
  #failures = 0;
  #reopenAtMs = 0;
  #sweptAtMs = 0;
  #sweeping: Promise<void> | null = null;
  #isClosed = false;
  /** Rows that the clock took out; shown by metrics. */
  swept = 0;

  constructor(ports: DataPlanePorts) {
    this.#ports = ports;
    this.#time = new SteadyClock(ports.clock);
  }

  /** Milliseconds since the epoch by which leases and ends of keys are judged. */
  now(): number {
    return this.#time.now();
  }

  /** Takes the data key into use; undefined: control sent none. */
  useKey(dataKey: Uint8Array | undefined): void {
    if (dataKey === undefined) return;
    this.#keys = new DataKeys(dataKey, this.#ports.identity, this.#ports.random);
    // Whether the store was made under this key is asked anew.
    this.#open = null;
  }

  /** What the data key makes, whether the store is open or not; null: control sent none. */
  get keys(): DataKeys | null {
    return this.#keys;
  }

  status(): DataPlaneStatus {
    const { store } = this.#ports;
    const state: DataStoreState =
      store === null
        ? "absent"
        : this.#open !== null
          ? "open"
          : this.#opening !== null
            ? "opening"
            : this.#why === null
              ? "unused"
              : "failed";
    return { dialect: store?.dialect ?? null, state, why: this.#why };
  }

  /** The store, at once where it is open. Rejects with DataPlaneFault within `openWaitMsMax`. */
  ready(): OpenDataPlane | Promise<OpenDataPlane> {
    return this.#open ?? this.#whenOpen();
  }

  /** Opens it ahead of the first crossing that needs it. */
  prepare(): void {
    if (this.#open === null && this.#ports.store !== null && !this.#isClosed) void this.#attempt();
  }

  /** Called often; takes out what is over now and then, so many rows at once. */
  sweep(): void {
    const nowMs = this.#ports.clock.monotonic();
    if (this.#open === null || this.#sweeping !== null || nowMs - this.#sweptAtMs < sweepEveryMs) return;
    this.#sweptAtMs = nowMs;
    this.#sweeping = this.#sweep(this.#open)
      .catch((cause) => this.#ports.logger.warn({ err: String(cause) }, "what is over could not be swept yet"))
      .finally(() => {
        this.#sweeping = null;
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opening;
    await this.#sweeping;
    this.#open = null;
    const store = this.#store;
    this.#store = null;
    await store?.close();
  }

  async #sweep(open: OpenDataPlane): Promise<void> {
    for (let batch = 0; batch < sweptBatchesMax; batch++) {
      const gone = await open.run("sweepKeys", { now: this.now(), rowsMax: sweptRowsMax });
      this.swept += gone;
      if (gone < sweptRowsMax) break;
    }
    await open.run("sweepQuotas", { endedBefore: this.now() - quotaKeptMs, rowsMax: sweptRowsMax });
  }

  async #whenOpen(): Promise<OpenDataPlane> {
    if (this.#ports.store === null) throw new DataPlaneFault("this gateway has no data-plane store");
    if (this.#keys === null) throw new DataPlaneFault("control has sent no data key: is it as new as this gateway?");
    await within(this.#attempt(), openWaitMsMax, "the data-plane store did not open in time");
    if (this.#open === null) throw new DataPlaneFault(this.#why ?? "the data-plane store is not open");
    return this.#open;
  }

  /** One attempt at a time, and after a failure not before its pause is over. */
  #attempt(): Promise<void> {
    if (this.#opening !== null) return this.#opening;
    if (this.#isClosed || (this.#why !== null && this.#ports.clock.monotonic() < this.#reopenAtMs))
      return Promise.resolve();
    this.#opening = this.#tryOpen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #tryOpen(): Promise<void> {
    const { store: port, clock, logger, identity } = this.#ports;
    const keys = this.#keys;
    if (port === null || keys === null) return;
    try {
      this.#store ??= await port.open();
      const store = this.#store;
      const { tenant, environment, region } = identity;
      const place = { tenant, environment, region, keyCheck: keys.check };
      const bound = await within(store.run("bindPlace", place), answerWaitMsMax, "the data-plane store did not answer");
      if (bound !== "ours") throw new DataPlaneFault(foreignTexts[bound]);
      this.#open = { keys, run: (name, input) => this.#run(store, name, input) };
      this.#why = null;
      this.#failures = 0;
    } catch (cause) {
      this.#why = cause instanceof Error ? cause.message : String(cause);
      this.#failures += 1;
      this.#reopenAtMs = clock.monotonic() + Math.min(reopenMsMax, reopenMsMin * 2 ** (this.#failures - 1));
      logger.error({ err: this.#why }, "the data-plane store cannot be used: operations that need it are denied");
      this.#drop();
    }
  }

  async #run<K extends keyof DataPlaneCommands & string>(
    store: OpenStore,
    name: K,
    input: InputOf<DataPlaneCommands[K]>,
  ): Promise<OutputOf<DataPlaneCommands[K]>> {
    try {
      return await within(store.run(name, input), answerWaitMsMax, "the data-plane store did not answer in time");
    } catch (cause) {
      // A thread that died or a disk that failed answers nothing any more: it is opened anew.
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
      if (this.#store === store && endedCodes.has(code)) {
        this.#why = String(cause);
        this.#drop();
      }
      throw cause;
    }
  }

  #drop(): void {
    const store = this.#store;
    this.#open = null;
    this.#store = null;
    store?.close().catch(() => undefined); // Why it ended is known already.
  }
}

/** After these the store answers nothing any more. */
export const endedCodes: ReadonlySet<string> = new Set([
  "store-thread-dead",
  "store-closed",
  "store-io",
  "store-corrupt",
]);

const foreignTexts = {
  "foreign-place":
    "the data-plane store belongs to another tenant, environment or region: give each its own database or schema",
  "foreign-key":
    "the data-plane store was made under another data key (another installation, or control was set up anew): its keys say nothing here. Let it be empty: remove its file or schema, once no caller repeats an earlier request",
} as const;

/** `promise`, or DataPlaneFault after so long. */
export async function within<T>(promise: Promise<T>, ms: number, late: string): Promise<T> {
  const end = Promise.withResolvers<never>();
  const patient = patience(ms, () => end.reject(new DataPlaneFault(late)));
  try {
    return await Promise.race([promise, end.promise]);
  } finally {
    patient.end();
  }
}
