// Promises the workers of a node one data-plane store, opened when the first of them needs it and again after it failed. Trusts the store and its faults.
// Specified in docs/workers.md and docs/idempotency.md "The data-plane store".
import type { InputOf } from "@sallyport/kernel/store/port.ts";
import type { DataStorePort } from "../idempotency/data-plane.ts";
import { endedCodes } from "../idempotency/data-plane.ts";
import type { DataPlaneCommands } from "../idempotency/store-commands.ts";

type OpenStore = ReturnType<DataStorePort["open"]>;

export class StoreDesk {
  readonly #port: DataStorePort | null;
  #store: OpenStore | null = null;

  constructor(port: DataStorePort | null) {
    this.#port = port;
  }

  async open(): Promise<void> {
    if (this.#port === null) throw new Error("this gateway has no data-plane store");
    this.#store ??= this.#port.open();
    const opening = this.#store;
    try {
      await opening;
    } catch (cause) {
      this.#drop(opening);
      throw cause;
    }
  }

  async run(name: string, input: unknown): Promise<unknown> {
    const opened = this.#store;
    if (opened === null) throw new Error("the data-plane store is not open");
    try {
      // The worker asks as the data plane asks there: by a name of its commands, with the input of that command.
      const command = name as keyof DataPlaneCommands & string;
      return await (await opened).run(command, input as InputOf<DataPlaneCommands[typeof command]>);
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && endedCodes.has(String(cause.code))) this.#drop(opened);
      throw cause;
    }
  }

  async close(): Promise<void> {
    const opened = this.#store;
    this.#store = null;
    await (await opened?.catch(() => undefined))?.close();
  }

  /** Opened anew by the next that asks; of several that saw it fail the first drops it. */
  #drop(opened: OpenStore): void {
    if (this.#store !== opened) return;
    this.#store = null;
    // Why it ended is known already.
    void opened.then((store) => store.close()).catch(() => undefined);
  }
}
