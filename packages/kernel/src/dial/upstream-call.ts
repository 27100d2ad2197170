// Promises the state of one request to a provider, wherever it waits or runs, and that nobody is told anything after it is over.
// Trusts its pool to move it. Specified in docs/dial.md "Requests".
import { requestHead } from "../http1/request-head.ts";
import { DialFault } from "./dial-fault.ts";
import type { UpstreamConnection } from "./upstream-connection.ts";
import type { StreamedContent, UpstreamCall, UpstreamHandler, UpstreamRequest } from "./upstream-port.ts";

/** Safe methods: what they ask for has no effect, so that asking twice is asking once (RFC 9110 §9.2.1). */
const safeMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

export class Call implements UpstreamCall {
  readonly method: string;
  readonly head: string;
  readonly asksUpgrade: boolean;
  readonly content: UpstreamRequest["content"];
  readonly handler: UpstreamHandler;
  readonly #ended: (call: Call) => void;
  connection: UpstreamConnection | null = null;
  isOver = false;
  /** Set before the first byte is written. */
  wasSent = false;
  #isPaused = false;

  /** `ended`: it was aborted. Throws TypeError as `requestHead` does. */
  constructor(
    request: UpstreamRequest,
    on: { readonly host: string; readonly handler: UpstreamHandler; readonly aborted: (call: Call) => void },
  ) {
    const { method, path, lines = [], headers, content } = request;
    this.method = method;
    this.content = content;
    this.handler = on.handler;
    this.#ended = on.aborted;
    const { webSocket } = request;
    this.asksUpgrade = webSocket !== undefined;
    const asked = webSocket === undefined ? {} : { webSocket };
    this.head = requestHead({ method, path, host: on.host, lines, headers, content: lengthOf(content), ...asked });
    if (isStreamed(content)) this.#watch(content.stream);
  }

  /** A stream that breaks while its request still waits ends it; later that is for whoever sends it to tell. */
  #watch(stream: StreamedContent["stream"]): void {
    const broken = (): void => {
      if (this.connection !== null || this.isOver) return;
      this.abort();
      this.handler.onFault(new DialFault("aborted", "the content of the request was given up"));
    };
    stream.on("error", broken).once("close", broken);
  }

  /**
   * RFC 9112 §9.3.1: a request without an effect may be sent again, when its connection was closed as it was sent: by the pool, once. Nothing else ever is:
   * whether a provider acted cannot be known, and repeating effects is the idempotency engine's decision.
   */
  get maySendAgain(): boolean {
    return this.content === null && safeMethods.has(this.method);
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  abort(): void {
    if (this.isOver) return;
    this.end();
    this.#ended(this);
  }

  pause(): void {
    this.#isPaused = true;
    this.connection?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.isOver) this.connection?.resume();
  }

  fail(fault: DialFault): void {
    if (this.isOver) return;
    this.end();
    this.handler.onFault(fault);
  }

  /** Nobody is told anything from now on; content that was not sent is let go. */
  end(): void {
    this.isOver = true;
    if (isStreamed(this.content)) this.content.stream.destroy();
  }
}

export function isStreamed(content: UpstreamRequest["content"]): content is StreamedContent {
  return content !== null && !(content instanceof Uint8Array);
}

function lengthOf(content: UpstreamRequest["content"]): number | null | "chunked" {
  if (content === null) return null;
  return isStreamed(content) ? (content.length ?? "chunked") : content.length;
}
