// Promises every message of the channel in order, reconnecting for ever from the numbers the gateway holds; gaps are the follower's to see.
// Trusts the transport, which has proven control by its pinned key. Specified in docs/formats/join.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import {
  type DownMessage,
  type IntrospectionReply,
  introspectionTroubles,
  type PayloadKeyAnswer,
  type SnapshotFeed,
  type UpMessage,
} from "@sallyport/protocol/channel/messages.ts";
import { nextHopPath } from "@sallyport/protocol/channel/next-hop.ts";
import { isJsonObject, parseJsonObject } from "@sallyport/protocol/token/json.ts";
import { parseNextHopAnswer } from "./next-hop-answer.ts";

/** The way to control's channel listener: mTLS with the node's current certificate and control's pinned key. */
export interface ChannelTransport {
  /**
   * Opens a GET whose answer is lines; rejects unless the status is 200. `ended` resolves when the answer ends for whatever reason,
   * with that reason.
   */
  stream(path: string, onLine: (line: string) => void): Promise<{ readonly ended: Promise<Error>; close(): void }>;
  /** The answer's body; rejects unless the status is 2xx. */
  get(path: string): Promise<Uint8Array>;
  /** Text is JSON, bytes are octets. */
  post(path: string, body: string | Uint8Array): Promise<Uint8Array>;
}

export interface FeedOptions {
  readonly transport: ChannelTransport;
  readonly clock: Clock;
  readonly random: Random;
  /** Sequences the gateway durably holds now. */
  held(): { readonly keySeq: number; readonly revocationSeq: number };
  /** Told whenever control answers again. */
  readonly connected?: () => void;
  /** Told about every lost connection and refused line; operators read it. */
  fault(error: unknown): void;
}

const backoffMs = { first: 100, max: 5_000 };
/** A stream without any whole line for this long is dead, whatever TCP says: heartbeats come every second. */
const silenceMs = 5_000;
const silenceCheckMs = 1_000;
/** Messages up that may wait for one another. */
const sendingMax = 256;
const knownMessages = new Set([
  "hello",
  "heartbeat",
  "snapshot",
  "keys",
  "revocations",
  "log-keys",
  "hop-certificate",
  "question",
]);

/** The feed of a gateway that has joined: the same interface role `all` gives in process. */
export function createChannelFeed(options: FeedOptions): SnapshotFeed {
  return {
    blob: (id) => options.transport.get(`/channel/v1/blobs/${id}`),
    handle: async (digest) => textOf(await options.transport.get(`/channel/v1/handles/${digest}`), "token"),
    tokenKey: async (kid) => textOf(await options.transport.get(`/channel/v1/token-keys/${kid}`), "sealed"),
    introspect: async (question) =>
      replyOf(await options.transport.post("/channel/v1/introspections", JSON.stringify(question))),
    payloadKey: async (request) =>
      payloadKeyOf(await options.transport.post("/channel/v1/payload-keys", JSON.stringify(request))),
    nextHopToken: async (request) =>
      parseNextHopAnswer(await options.transport.post(nextHopPath, JSON.stringify(request))),
    open(on) {
      const connection = new Connection(options, on);
      return {
        send: sendInOrder(options.transport),
        close: () => connection.close(),
      };
    },
  };
}

/** The one member of an answer; throws for anything else than docs/formats/join.md says: it must not pass for "there is none". */
function textOf(body: Uint8Array, name: "token" | "sealed"): string | null {
  const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  const members = new Map<string, unknown>(typeof value === "object" && value !== null ? Object.entries(value) : []);
  const text = members.get(name);
  if (text === null || typeof text === "string") return text;
  throw new Error("the answer is none of docs/formats/join.md");
}

/** Throws as `textOf` does. */
function payloadKeyOf(body: Uint8Array): PayloadKeyAnswer {
  const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  const { key, endsAt, freshMs }: Partial<Record<keyof PayloadKeyAnswer, unknown>> =
    typeof value === "object" && value !== null ? value : {};
  if (typeof key === "string" && Number.isSafeInteger(endsAt) && Number.isSafeInteger(freshMs))
    return { key, endsAt: Number(endsAt), freshMs: Number(freshMs) };
  throw new Error("the answer is none of docs/formats/join.md");
}

/** Throws as `textOf` does. What a yes says is judged where it is read. */
function replyOf(body: Uint8Array): IntrospectionReply {
  const reply = parseJsonObject(body);
  const trouble = introspectionTroubles.find((one) => one === reply?.trouble);
  if (trouble !== undefined) return { trouble };
  if (reply?.active === false) return { active: false };
  if (reply?.active === true && isJsonObject(reply.members)) return { active: true, members: reply.members };
  throw new Error("the answer is none of docs/formats/join.md");
}

/** One message up after the other: of two acknowledgements in flight at once, the older could arrive last and be believed. */
function sendInOrder(transport: ChannelTransport): (message: UpMessage) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  return (message) => {
    if (waiting >= sendingMax) return Promise.reject(new Error("too many messages to control are waiting"));
    waiting += 1;
    const sent = last.then(async () => {
      await transport.post("/channel/v1/up", JSON.stringify(message));
    });
    last = sent
      .catch(() => undefined)
      .finally(() => {
        waiting -= 1;
      });
    return sent;
  };
}

/** How long to wait before connection attempt number `failures` + 1: full jitter, so that a fleet does not come back in one moment. */
export function backoffPauseMs(failures: number, random: Random): number {
  const ceiling = Math.min(backoffMs.max, backoffMs.first * 2 ** Math.min(failures, 10));
  const [high = 0, low = 0] = random.bytes(2);
  return (ceiling * (high * 256 + low + 1)) / 65_536;
}

class Connection {
  readonly #options: FeedOptions;
  readonly #on: (message: DownMessage) => void;
  readonly #running: Promise<void>;
  #closing = false;
  #current: { close(): void } | null = null;
  #wake: (() => void) | null = null;
  #lastLineMs = 0;

  constructor(options: FeedOptions, on: (message: DownMessage) => void) {
    this.#options = options;
    this.#on = on;
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#current?.close();
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#closing) {
      const startedMs = this.#options.clock.monotonic();
      const why = await this.#connectOnce();
      if (this.#closing) return;
      this.#options.fault(why);
      if (this.#options.clock.monotonic() - startedMs > backoffMs.max) failures = 0;
      await this.#pause(failures);
      failures += 1;
    }
  }

  /** Resolves with why the connection ended or could not be made. */
  async #connectOnce(): Promise<unknown> {
    try {
      const { keySeq, revocationSeq } = this.#options.held();
      const stream = await this.#options.transport.stream(
        `/channel/v1/down?key-seq=${keySeq}&revocation-seq=${revocationSeq}`,
        (line) => this.#line(line),
      );
      this.#options.connected?.();
      return await this.#follow(stream);
    } catch (error) {
      return error;
    }
  }

  async #follow(stream: { readonly ended: Promise<Error>; close(): void }): Promise<Error> {
    this.#current = stream;
    if (this.#closing) stream.close();
    this.#lastLineMs = this.#options.clock.monotonic();
    const endIfSilent = (): void => {
      if (this.#options.clock.monotonic() - this.#lastLineMs > silenceMs) stream.close();
    };
    // Behind what has arrived: after a standstill of this process control is not silent.
    const watch = setInterval(() => setImmediate(endIfSilent), silenceCheckMs);
    try {
      return await stream.ended;
    } finally {
      clearInterval(watch);
      this.#current = null;
    }
  }

  /** A message that cannot be taken ends the stream: the next one begins from what the gateway holds, so nothing is skipped. */
  #line(line: string): void {
    if (this.#closing) return;
    this.#lastLineMs = this.#options.clock.monotonic();
    const message = parseDown(line);
    if (message === null) {
      this.#options.fault(new Error("a line of the channel is not a message of docs/formats/join.md"));
      return;
    }
    this.#on(message);
  }

  #pause(failures: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, backoffPauseMs(failures, this.#options.random));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** One line of the channel, or null. Control is proven by its key; this only keeps a damaged line from being taken for a message. */
function parseDown(line: string): DownMessage | null {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || !("t" in value)) return null;
    // The listener that wrote it is ours and proven; `t` names a shape this version knows.
    return typeof value.t === "string" && knownMessages.has(value.t) ? (value as DownMessage) : null;
  } catch {
    return null;
  }
}
