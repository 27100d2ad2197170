// Promises that a last event stands between two others or is not said at all: half an event of a provider is never made a whole one.
// Trusts the provider's Content-Type. Specified in docs/streams.md; the WHATWG HTML standard, "Server-sent events" (parsing).
import { problems } from "@sallyport/protocol/problem.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import { streamCode } from "./stream-code.ts";

/** Name of the event that says why there are no more. */
export const endedEvent = "sallyport-ended";
/** Longest end of an event: two line ends of two characters each. */
const boundaryBytes = 4;
/** An end of a line behind an end of a line: CR LF, LF and CR are all one. */
const boundary = /(?:\n\n|\n\r\n?|\r\r\n?)$/;

/** What was sent of one event stream, as far as its last characters. */
export class SentEvents {
  readonly #exchange: Pick<Exchange, "id" | "upstream">;
  #last = "";
  #isEmpty = true;

  constructor(exchange: Pick<Exchange, "id" | "upstream">) {
    this.#exchange = exchange;
  }

  take(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#isEmpty = false;
    const from = Math.max(0, piece.length - boundaryBytes);
    this.#last = (this.#last + piece.toString("latin1", from)).slice(-boundaryBytes);
  }

  /** The last event; null in the middle of another one, and where the content is coded or of a declared length. */
  lastWord(verdict: Deny): Buffer | null {
    const { id, upstream } = this.#exchange;
    if (upstream === null || upstream.isCoded || upstream.contentLength !== null) return null;
    if (!this.#isEmpty && !boundary.test(this.#last)) return null;
    const { retryable } = problems[verdict.code];
    const data = JSON.stringify({ code: streamCode(verdict.code), correlationId: id, retryable });
    return Buffer.from(`event: ${endedEvent}\ndata: ${data}\n\n`, "latin1");
  }
}
