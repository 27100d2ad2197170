// Promises providers in processes of their own, on ports they keep, that can be killed (SIGKILL) and started again, and every effect any of them began.
// Trusts provider.ts to tell effects before it answers.
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Fault, ProviderWord } from "./words.ts";

export class Provider {
  #child: ChildProcess | null = null;
  #port = 0;
  readonly #effects: Map<string, number>;

  constructor(effects: Map<string, number>) {
    this.#effects = effects;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const child = fork(join(import.meta.dirname, "provider.ts"), [String(this.#port)], { stdio: "inherit" });
    this.#child = child;
    child.on("message", ({ effect }: ProviderWord) => {
      if (effect !== undefined) this.#effects.set(effect, (this.#effects.get(effect) ?? 0) + 1);
    });
    this.#port = await told(child, ({ port }) => port);
  }

  async fail(fault: Fault): Promise<void> {
    if (fault === "kill") return this.stop();
    if (this.#child === null) await this.start();
    this.#child?.send({ fault });
    if (this.#child !== null) await told(this.#child, (word) => word.fault);
  }

  /** `kill -9`. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

function told<T>(child: ChildProcess, read: (word: ProviderWord) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("a provider ended"));
    const heard = (word: ProviderWord): void => {
      const value = read(word);
      if (value === undefined) return;
      child.off("message", heard);
      child.off("exit", ended);
      resolve(value);
    };
    child.on("message", heard).once("exit", ended);
  });
}
