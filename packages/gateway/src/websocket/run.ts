// Promises that a WebSocket is on record before its caller hears that it is one, that it is asked about again as every stream is, and that it ends once.
// Trusts relay.ts for what passes. Specified in docs/websocket.md, DESIGN §4 Records.
import { type Deny, deny } from "@sallyport/protocol/verdict.ts";
import type { Exchange } from "../exchange.ts";
import type { UpstreamAnswer } from "../forward/upstream-answer.ts";
import type { Gate } from "../gate.ts";
import { acceptOf } from "./handshake.ts";
import { type RelayEnd, WebSocketRelay } from "./relay.ts";

export interface RunOptions {
  readonly gate: Gate;
  /** After so many octets, or so many milliseconds, a `progress` leaf. */
  readonly progressBytes: number;
  readonly progressMs: number;
}

/** Switches the caller's connection and passes frames until one side, or the gateway, ends it. A denial: it was not switched. */
export function runWebSocket(exchange: Exchange, upstream: UpstreamAnswer, on: RunOptions): Promise<RelayEnd | Deny> {
  const { request, operation } = exchange;
  const rule = operation?.object.webSocket;
  const upgrade = request?.upgrade ?? null;
  const switched = upstream.takeSwitched();
  if (switched === null || rule === undefined || upgrade === null) return Promise.resolve(deny("record", "internal"));
  const lines = ["sec-websocket-accept", acceptOf(upgrade.key)];
  if (switched.protocol !== null) lines.push("sec-websocket-protocol", switched.protocol);
  lines.push("sallyport-crossing", exchange.id);
  if (exchange.nonce !== null) lines.push("dpop-nonce", exchange.nonce);
  const caller = exchange.response.switchProtocols(lines, upstream.lines);
  if (caller === null) {
    switched.tunnel.destroy();
    // RFC 6455 §4.1: it waits for the answer. What it sent before would be a request to somebody who refuses.
    return Promise.resolve(
      deny("receive", "bad-framing", { why: "octets behind a handshake that was not answered yet" }),
    );
  }
  return new Promise((resolve) => {
    let over = (): void => undefined;
    const books = progressOf(exchange, on, (verdict) => relay.end(verdict));
    const relay: WebSocketRelay = new WebSocketRelay({
      caller,
      provider: switched.tunnel,
      rule,
      random: on.gate.random,
      counts: exchange,
      passed: books.passed,
      over: (end) => {
        over();
        resolve(end);
      },
    });
    const leave = on.gate.streams.add({ exchange, end: (verdict) => relay.end(verdict) });
    over = () => {
      leave();
      books.close();
    };
    relay.begin();
  });
}

/** A `progress` leaf now and then; where it cannot be appended the WebSocket ends. */
function progressOf(exchange: Exchange, on: RunOptions, fail: (verdict: Deny) => void) {
  let recordedBytes = 0;
  const progress = (): void => {
    recordedBytes = exchange.bytesIn + exchange.bytesOut;
    on.gate.recorder.progress(exchange).catch((cause) => {
      on.gate.logger.error({ err: String(cause) }, "progress could not be recorded; the WebSocket is closed");
      fail(deny("record", "record-unavailable"));
    });
  };
  const timer = setInterval(progress, on.progressMs);
  return {
    passed(): void {
      if (exchange.bytesIn + exchange.bytesOut - recordedBytes >= on.progressBytes) progress();
    },
    close: () => clearInterval(timer),
  };
}
