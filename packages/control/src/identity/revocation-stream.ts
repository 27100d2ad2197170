// Promises that gateways are pushed every revocation of one environment in its order, and how far they were pushed. Trusts the store's sequence.
// Specified in docs/identity.md "Revocation", docs/formats/join.md.
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { DownMessage, Revocation } from "@sallyport/protocol/channel/messages.ts";
import type { ControlCommands } from "../commands.ts";

export type RevocationsMessage = Extract<DownMessage, { t: "revocations" }>;

export interface RevocationStreamOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  /** To every gateway of this environment. */
  readonly push: (message: DownMessage) => void;
}

/** As many as one read of the store gives. */
const pageMax = 10_000;
/** Pages of one push: as many as a gateway holds (gateway/snapshot/revocations.ts). */
const pagesMax = 20;

export class RevocationStream {
  readonly #options: RevocationStreamOptions;
  #seq = 0;

  constructor(options: RevocationStreamOptions) {
    this.#options = options;
  }

  /** What was pushed last; never ahead of a push. */
  get seq(): number {
    return this.#seq;
  }

  /** Begins where the store stands: whoever connects asks for what it lacks. */
  async open(): Promise<void> {
    const { tenant, environment, store } = this.#options;
    this.#seq = (await store.run("readRevocations", { tenant, environment, from: Number.MAX_SAFE_INTEGER })).seq;
  }

  /** What is still in force after `from`, for one gateway. */
  async since(from: number): Promise<RevocationsMessage> {
    const { tenant, environment, store } = this.#options;
    const { seq, entries } = await store.run("readRevocations", { tenant, environment, from });
    return rangeOf(from, seq, entries);
  }

  /** Pushes what was appended since the last push; call it after every command that may have revoked something. Two calls at once push one range twice. */
  async push(): Promise<void> {
    for (let page = 0; page < pagesMax; page += 1) {
      const from = this.#seq;
      const message = await this.since(from);
      if (message.through <= from) return;
      this.#options.push(message);
      this.#seq = Math.max(this.#seq, message.through);
      if (message.entries.length < pageMax) return;
    }
  }
}

function rangeOf(from: number, through: number, entries: readonly Revocation[]): RevocationsMessage {
  const last = entries.at(-1)?.seq ?? from;
  // A full page ends at its last entry; the rest is asked for again by the sequence it names.
  return {
    t: "revocations",
    from: from + 1,
    through: entries.length >= pageMax ? last : Math.max(through, from),
    entries,
  };
}
