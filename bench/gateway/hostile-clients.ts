// Promises clients that hold on to a gateway in every way that is cheap for them: heads and bodies a byte at a time, answers that nobody reads, heads
// that are too large. Counts how each of their connections ended, and how long it could be held. Words: roles.ts.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { answerQuestions } from "./process.ts";
import type { HostileEnds, HostileKind } from "./roles.ts";

const beatMs = 250;
const hugeHeadBytes = 256 * 1024;
const pipelined = 64;
/** One that is refused at once comes again at once, but not more often than this. */
const againMs = 20;
/** Networks that these clients come from, one address of 127.0.0.0/8 for each: a source's own bounds are not what is looked at here. */
const networks = 32;

const tally = (): { opened: number; ends: Record<string, number>; longestMs: number } => ({
  opened: 0,
  ends: {},
  longestMs: 0,
});

class HostileClients {
  readonly #port: number;
  readonly #tallies = new Map<HostileKind, ReturnType<typeof tally>>();
  readonly #open = new Set<Socket>();
  #token = "";
  #stopping = false;
  #next = 0;

  constructor(port: number) {
    this.#port = port;
  }

  renew(token: string): void {
    this.#token = token;
  }

  begin(kind: HostileKind, count: number): void {
    for (let n = 0; n < count; n += 1) this.#one(kind);
  }

  /** Lets go of everything; what was held until then counts as `held`. */
  async stop(): Promise<Readonly<Record<string, HostileEnds>>> {
    this.#stopping = true;
    const closed = [...this.#open].map((socket) => once(socket, "close"));
    for (const socket of this.#open) socket.destroy();
    await Promise.all(closed);
    return Object.fromEntries(this.#tallies);
  }

  #tallyOf(kind: HostileKind): ReturnType<typeof tally> {
    const known = this.#tallies.get(kind) ?? tally();
    this.#tallies.set(kind, known);
    return known;
  }

  #one(kind: HostileKind): void {
    if (this.#stopping) return;
    const counts = this.#tallyOf(kind);
    counts.opened += 1;
    this.#next += 1;
    const localAddress = `127.${64 + (this.#next % networks)}.0.1`;
    const socket = connect({ port: this.#port, host: "127.0.0.1", localAddress, noDelay: true });
    let heldSince = performance.now();
    let answer = "";
    let beat: NodeJS.Timeout | undefined;
    this.#open.add(socket);
    socket.once("connect", () => {
      beat = this.#behave(kind, socket);
    });
    // A reader of nothing sees nothing; the others keep the first line of what they are told.
    if (kind !== "slow-read")
      socket.on("data", (chunk: Buffer) => {
        if (answer.length < 64) answer += chunk.toString("latin1", 0, 64);
      });
    // Until the systems on both sides hold no more of its answers, this one's requests are still read and answered.
    else socket.on("drain", () => (heldSince = performance.now()));
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      clearInterval(beat);
      this.#open.delete(socket);
      const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
      const end = this.#stopping && status === undefined ? "held" : (status ?? "closed");
      counts.ends[end] = (counts.ends[end] ?? 0) + 1;
      counts.longestMs = Math.max(counts.longestMs, performance.now() - heldSince);
      if (!this.#stopping) setTimeout(() => this.#one(kind), againMs);
    });
  }

  #behave(kind: HostileKind, socket: Socket): NodeJS.Timeout | undefined {
    const line = `GET /billing/v1/invoices/inv-1 HTTP/1.1\r\nhost: 127.0.0.1:${this.#port}\r\n`;
    const authorization = `authorization: Bearer ${this.#token}\r\n`;
    if (kind === "huge-head") {
      socket.write(`${line}x-fill: ${"a".repeat(hugeHeadBytes)}\r\n\r\n`);
      return undefined;
    }
    if (kind === "slow-read") {
      socket.pause();
      const requests = `${line}${authorization}\r\n`.repeat(pipelined);
      const more = () => void (socket.writableNeedDrain || socket.write(requests));
      more();
      return setInterval(more, beatMs);
    }
    if (kind === "slow-head") socket.write(line);
    else
      socket.write(
        `POST /billing/v1/invoices HTTP/1.1\r\nhost: 127.0.0.1:${this.#port}\r\n${authorization}content-type: application/json\r\ncontent-length: 8192\r\n\r\n`,
      );
    const one = kind === "slow-head" ? "x-a: b\r\n" : " ";
    let sent = 0;
    return setInterval(() => socket.write(one[sent++ % one.length] ?? ""), beatMs);
  }
}

let clients: HostileClients | null = null;

answerQuestions(
  {
    begin({ port, token, kinds, each }: { port: number; token: string; kinds: readonly HostileKind[]; each: number }) {
      clients = new HostileClients(port);
      clients.renew(token);
      for (const kind of kinds) clients.begin(kind, each);
    },
    renew: ({ token }: { token: string }) => clients?.renew(token),
    stop: () => clients?.stop() ?? {},
  },
  async () => {
    await clients?.stop();
  },
);
