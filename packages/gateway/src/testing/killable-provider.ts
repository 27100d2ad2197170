// Promises a provider in a process of its own, at a port it keeps, that says what reached it and can be killed. A path with `hold` is not answered, one
// with `long` not to its end. Trusts nothing of the gateway. Run as a program it is that process.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { ownPort } from "./own-port.ts";
import { until } from "./start-test-gateway.ts";

/** What `long` promises, and how much of it comes. */
export const longBytes = { promised: 1_000_000, sent: 300_000 };

interface Word {
  readonly isListening?: true;
  /** Method and target of a request that came whole. */
  readonly seen?: string;
}

export class KillableProvider {
  readonly seen: string[] = [];
  #child: ChildProcess | null = null;
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(): Promise<KillableProvider> {
    const provider = new KillableProvider(await ownPort());
    await provider.startAgain();
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async startAgain(): Promise<void> {
    const child = fork(fileURLToPath(import.meta.url), [String(this.#port)], { stdio: "inherit" });
    this.#child = child;
    child.on("message", ({ seen }: Word) => {
      if (seen !== undefined) this.seen.push(seen);
    });
    const ended = once(child, "exit").then(() => {
      throw new Error(`the provider did not begin to listen on ${this.#port}`);
    });
    await Promise.race([once(child, "message"), ended]);
    ended.catch(() => undefined);
  }

  /** Resolves when so many requests that name this have come. */
  has(what: string, count = 1): Promise<void> {
    return until(() => this.seen.filter((one) => one.includes(what)).length >= count, `${what} at the provider`);
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
}

function serve(port: number): void {
  const tell = (word: Word): void => void process.send?.(word);
  const server = createServer((request, response) => {
    const { method = "", url = "" } = request;
    request.resume().once("end", () => {
      tell({ seen: `${method} ${url}` });
      if (url.includes("hold")) return;
      if (url.includes("long")) {
        response.writeHead(200, { "content-type": "application/json", "content-length": longBytes.promised });
        response.write("x".repeat(longBytes.sent));
        return;
      }
      response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
    });
  });
  server.listen(port, "127.0.0.1", () => tell({ isListening: true }));
  process.once("disconnect", () => process.exit());
}

if (process.argv[1] === fileURLToPath(import.meta.url)) serve(Number(process.argv[2]));
