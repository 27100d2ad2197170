// Promises one HTTP/2 connection to a provider, whose every frame and header block is read by the guard before the library sees it; it ends by itself
// when nothing is under way. Trusts what http2-upstream.ts trusts. Specified in RFC 9113, docs/dial.md "Requests".
import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import { type FrameFault, FrameGuard } from "../http2/frame-guard.ts";
import { payloadBytesMax } from "../http2/frames.ts";
import { GuardedSocket } from "../http2/guarded-socket.ts";
import { tableBytesMax } from "../http2/header-decoder.ts";
import { DialFault } from "./dial-fault.ts";
import type { Http2Call } from "./http2-call.ts";
import { hangUpHint, lateAlertFault } from "./tls-alert.ts";

const bounds = { listBytesMax: 32 * 1024, fieldsMax: 129, blockBytesMax: 32 * 1024 };
/** A connection on which nothing is under way is kept so long. */
const idleMs = 30_000;
/** Content of a provider on one stream before it is taken. */
const windowBytes = 65_535;
const sessionMegabytesMax = 64;

export interface SessionOptions {
  readonly host: string;
  readonly secure: boolean;
  /** Monotonic milliseconds. */
  readonly madeMs: number;
  gone(): void;
}

export class Http2Session {
  readonly madeMs: number;
  readonly #options: SessionOptions;
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #guard: FrameGuard;
  readonly #calls = new Map<number, Http2Call>();
  /** Calls the library has not given a stream yet, too. */
  #under = 0;
  #isRetired = false;
  #fault: DialFault | null = null;
  #hasAnswered = false;
  #idle: NodeJS.Timeout | null = null;

  constructor(socket: Socket, options: SessionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.madeMs = options.madeMs;
    const wire = new GuardedSocket(socket, (bytes) => this.#guard.budget.sent(bytes));
    this.#guard = new FrameGuard(
      { peer: "server", bounds, now: () => performance.now() },
      {
        pass: (octets) => wire.pass(octets),
        head: (stream, block) => {
          this.#hasAnswered = true;
          this.#calls.get(stream)?.headRead(block);
        },
        trailers: (stream, block) => this.#calls.get(stream)?.trailersRead(block),
        reset: () => {
          // The library ends the stream, and its end is told.
        },
      },
    );
    this.#session = connect(`${options.secure ? "https" : "http"}://${options.host}`, {
      createConnection: () => wire,
      maxSessionMemory: sessionMegabytesMax,
      settings: {
        enablePush: false,
        headerTableSize: tableBytesMax,
        initialWindowSize: windowBytes,
        maxFrameSize: payloadBytesMax,
        maxHeaderListSize: bounds.listBytesMax,
      },
    });
    socket.on("data", (octets: Buffer) => this.#read(octets));
    socket.on("end", () => socket.destroy());
    socket.on("error", (error: Error & { code?: string }) => {
      this.#fault ??= lateAlertFault(error.code, socket);
      socket.destroy();
    });
    socket.on("close", () => this.#closed());
    wire.on("error", () => {
      // The socket has its own.
    });
    this.#session.on("error", () => {
      // Calls are told by the ends of their streams.
    });
    this.#session.on("goaway", () => {
      this.#isRetired = true;
    });
    socket.resume();
  }

  get isUsable(): boolean {
    return !this.#isRetired && !this.#socket.destroyed && !this.#session.destroyed && !this.#session.closed;
  }

  get calls(): number {
    return this.#under;
  }

  begin(call: Http2Call): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    this.#under++;
    const stream = this.#session.request(call.head, { endStream: call.content === null });
    const opened = (): void => {
      const id = stream.id ?? 0;
      this.#guard.opened(id);
      this.#calls.set(id, call);
    };
    if (stream.id === undefined) stream.once("ready", opened);
    else opened();
    stream.once("close", () => {
      const id = stream.id ?? 0;
      this.#calls.delete(id);
      this.#guard.closed(id);
      if (--this.#under === 0) this.#rest();
    });
    call.begin(stream, () => this.#fault);
  }

  /** Takes no new call, and ends with the last one. */
  retire(): void {
    this.#isRetired = true;
    if (this.#under === 0) this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #rest(): void {
    if (this.#isRetired) this.#socket.destroy();
    else this.#idle ??= setTimeout(() => this.retire(), idleMs).unref();
  }

  #read(octets: Buffer): void {
    const fault: FrameFault | null = this.#guard.read(octets);
    if (fault === null) return;
    this.#fault ??= new DialFault("protocol", `the provider's frames are not those of HTTP/2 (${fault.name})`);
    this.#socket.destroy();
  }

  #closed(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#isRetired = true;
    const hint = this.#hasAnswered ? "" : hangUpHint(this.#socket);
    if (hint !== "") this.#fault ??= new DialFault("connect-failed", `the connection ended without an answer${hint}`);
    this.#session.destroy();
    this.#options.gone();
  }
}
