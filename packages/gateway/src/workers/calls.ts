// Promises calls between two threads: each answer reaches who asked, a fault keeps its words and its code, and what has no answer costs none. A port that
// closes fails what waits. Trusts both ends: they are one program.
import type { MessagePort } from "node:worker_threads";

/** What the other end can be asked; arguments and answers are cloned. */
export type Desk<T> = { readonly [K in keyof T]: (...asked: never[]) => unknown };

type Message =
  | { readonly t: "ask"; readonly id: number; readonly name: string; readonly asked: readonly unknown[] }
  | { readonly t: "tell"; readonly name: string; readonly asked: readonly unknown[] }
  | { readonly t: "answer"; readonly id: number; readonly value: unknown }
  | { readonly t: "fault"; readonly id: number; readonly message: string; readonly code: string | null };

/** A fault of the other end, in its words. */
export class CallFault extends Error {
  override readonly name = "CallFault";
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (fault: Error) => void;
}

/** `Theirs`: what may be asked of the other end. */
export class Calls<Theirs extends Desk<Theirs>> {
  readonly #port: Pick<MessagePort, "postMessage">;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;
  #ended: Error | null = null;

  constructor(port: Pick<MessagePort, "postMessage">) {
    this.#port = port;
  }

  /** Asks, and waits for the answer. */
  ask<K extends keyof Theirs & string>(
    name: K,
    ...asked: Parameters<Theirs[K]>
  ): Promise<Awaited<ReturnType<Theirs[K]>>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#port.postMessage({ t: "ask", id, name, asked } satisfies Message);
    });
  }

  /** Says something that has no answer. */
  tell<K extends keyof Theirs & string>(name: K, ...asked: Parameters<Theirs[K]>): void {
    if (this.#ended === null) this.#port.postMessage({ t: "tell", name, asked } satisfies Message);
  }

  /** Takes what came, and has `desk` answer what was asked. */
  take(message: unknown, desk: object): void {
    // The other end is this file.
    const said = message as Message;
    if (said.t === "ask") void this.#answer(said, desk);
    else if (said.t === "tell") askDesk(desk, said);
    else this.#settle(said);
  }

  /** Nothing comes any more. */
  end(why: Error): void {
    this.#ended ??= why;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }

  async #answer(asked: Extract<Message, { t: "ask" }>, desk: object): Promise<void> {
    const { id } = asked;
    try {
      this.#port.postMessage({ t: "answer", id, value: await askDesk(desk, asked) } satisfies Message);
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : null;
      this.#port.postMessage({ t: "fault", id, message, code } satisfies Message);
    }
  }

  #settle(said: Extract<Message, { t: "answer" | "fault" }>): void {
    const waiting = this.#waiting.get(said.id);
    this.#waiting.delete(said.id);
    if (said.t === "answer") waiting?.resolve(said.value as never);
    else waiting?.reject(said.code === null ? new Error(said.message) : new CallFault(said.message, said.code));
  }
}

function askDesk(
  desk: object,
  { name, asked }: { readonly name: string; readonly asked: readonly unknown[] },
): unknown {
  const act: unknown = Reflect.get(desk, name);
  if (typeof act !== "function") throw new Error(`nobody answers ${name}`);
  return Reflect.apply(act, desk, asked);
}
