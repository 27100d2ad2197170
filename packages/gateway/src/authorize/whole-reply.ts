// Promises one question to somebody outside, asked once, and its whole answer within a bound of time and size, or why there is none. Never throws.
// Trusts the pool, which dials checked addresses alone.
import type {
  UpstreamCall,
  UpstreamHandler,
  UpstreamPool,
  UpstreamRequest,
} from "@sallyport/kernel/dial/upstream-port.ts";
import { HeldPieces } from "@sallyport/kernel/http1/held-pieces.ts";
import { Deadlines, type Due } from "../forward/deadlines.ts";

export interface WholeReply {
  readonly status: number;
  readonly bytes: Uint8Array;
}

export interface ReplyBounds {
  readonly timeoutMs: number;
  readonly bytesMax: number;
}

/** A text: why there is none. */
export function askWhole(
  pool: UpstreamPool,
  request: UpstreamRequest,
  bounds: ReplyBounds,
): Promise<WholeReply | string> {
  return new Promise((resolve) => new Asking(resolve, bounds).send(pool, request));
}

const deadlines = new Deadlines();

/** One question under way. */
class Asking implements UpstreamHandler, Due {
  readonly #resolve: (reply: WholeReply | string) => void;
  readonly #bytesMax: number;
  dueAtMs: number;
  place = -1;
  #call: UpstreamCall | null = null;
  #isOver = false;
  #status = 0;
  readonly #held = new HeldPieces();

  constructor(resolve: (reply: WholeReply | string) => void, { timeoutMs, bytesMax }: ReplyBounds) {
    this.#resolve = resolve;
    this.#bytesMax = bytesMax;
    this.dueAtMs = performance.now() + timeoutMs;
    deadlines.watch(this);
  }

  send(pool: UpstreamPool, request: UpstreamRequest): void {
    try {
      this.#call = pool.send(request, this);
    } catch {
      this.#end("the question could not be sent");
    }
  }

  onContentSent(): void {
    // Its size is ours.
  }

  onHead(status: number): void {
    this.#status = status;
  }

  onContent(content: Buffer): void {
    this.#held.push(content);
    if (this.#held.bytes > this.#bytesMax) this.#end(`the answer has more than ${this.#bytesMax} bytes`);
  }

  onEnd(): void {
    this.#end({ status: this.#status, bytes: this.#held.whole() });
  }

  onFault(fault: { readonly code: string; readonly message: string }): void {
    this.#end(`${fault.code}: ${fault.message}`);
  }

  overdue(): void {
    this.#end("no whole answer in time");
  }

  #end(reply: WholeReply | string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    deadlines.end(this);
    if (typeof reply === "string") this.#call?.abort();
    this.#resolve(reply);
  }
}
