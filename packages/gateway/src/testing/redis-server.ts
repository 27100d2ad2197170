// Promises a Redis of one's own on loopback, with a password and over TLS where asked, that can be killed, frozen, emptied and started again at its port.
// Trusts Debian's redis-server, whose path it is given.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { limitsStoreAt } from "../limit/redis-counts.ts";
import { parseRedisUrl } from "../limit/redis-url.ts";
import { ownPort } from "./own-port.ts";

export interface RedisOptions {
  /** Path of the program. */
  readonly program: string;
  readonly password?: string;
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca: string };
}

const attempts = 5;

export class TestRedis {
  readonly #folder = mkdtempSync(join(tmpdir(), "sallyport-redis-"));
  readonly #options: RedisOptions;
  #process: ChildProcess | null = null;
  #port = 0;

  private constructor(options: RedisOptions) {
    this.#options = options;
  }

  static async start(options: RedisOptions): Promise<TestRedis> {
    const redis = new TestRedis(options);
    for (let attempt = 1; ; attempt++) {
      redis.#port = await ownPort();
      try {
        await redis.startAgain();
        return redis;
      } catch (cause) {
        // Somebody else took the port meanwhile.
        if (attempt === attempts) throw cause;
      }
    }
  }

  get url(): string {
    const { password, tls } = this.#options;
    const login = password === undefined ? "" : `:${password}@`;
    return tls === undefined
      ? `redis://${login}127.0.0.1:${this.#port}`
      : `rediss://${login}localhost:${this.#port}?ca=${this.#write("ca.pem", tls.ca)}`;
  }

  /** As a gateway connects to it; `wait` is generous, for machines with all hands full. */
  store(wait = "1000ms") {
    const url = new URL(this.url);
    url.searchParams.set("wait", wait);
    return limitsStoreAt(parseRedisUrl(String(url)));
  }

  async startAgain(): Promise<void> {
    const { password, tls } = this.#options;
    const place =
      tls === undefined
        ? ["--port", String(this.#port)]
        : [
            ...["--port", "0", "--tls-port", String(this.#port), "--tls-auth-clients", "no"],
            ...[
              "--tls-cert-file",
              this.#write("cert.pem", tls.cert),
              "--tls-key-file",
              this.#write("key.pem", tls.key),
            ],
          ];
    const child = spawn(
      this.#options.program,
      [
        ...place,
        ...["--bind", "127.0.0.1", "--dir", this.#folder, "--save", "", "--appendonly", "no"],
        ...(password === undefined ? [] : ["--requirepass", password]),
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    this.#process = child;
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, "exit").then(() => {
      throw new Error("redis-server did not start");
    });
    const ready = new Promise<void>((resolve) =>
      lines.on("line", (line) => line.includes("Ready to accept connections") && resolve()),
    );
    await Promise.race([ready, ended]);
    ended.catch(() => undefined);
  }

  /** Its memory is gone with it. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** It has its port and answers nothing. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Asks it, beside all gateways. */
  ask(...words: readonly string[]): string {
    const { password } = this.#options;
    const login = password === undefined ? [] : ["-a", password, "--no-auth-warning"];
    return execFileSync("redis-cli", ["-p", String(this.#port), ...login, ...words], { encoding: "utf8" }).trim();
  }

  async close(): Promise<void> {
    this.thaw();
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, text);
    return path;
  }
}
