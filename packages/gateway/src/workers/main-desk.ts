// Promises a worker what it asks of the thread that started it: the channel, what the node keeps, the data-plane store, receipts, the program's own log.
// Trusts the options of the gateway. Specified in docs/workers.md.
import type { GatewayOptions } from "../ports.ts";
import type { FeedHub } from "./feed-hub.ts";
import type { KeptState } from "./kept-state.ts";
import type { MainDesk } from "./messages.ts";
import type { StoreDesk } from "./store-desk.ts";

export interface DeskParts {
  /** Of the worker that asks, from 0. */
  readonly number: number;
  readonly hub: FeedHub;
  readonly store: StoreDesk;
  readonly kept: KeptState;
  readonly report: MainDesk["report"];
  readonly refreshElsewhere: MainDesk["refreshElsewhere"];
  /** What the node was to keep could not be kept. */
  failed(fault: Error): void;
}

export function openMainDesk(
  { feed, logger, receipts, openTokenKey, traces }: GatewayOptions,
  { number, hub, store, kept, report, refreshElsewhere, failed }: DeskParts,
): MainDesk {
  return {
    openFeed: () => hub.open(number),
    closeFeed: () => hub.close(number),
    send: (message) => hub.send(number, message),
    blob: (id) => feed.blob(id),
    handle: (digest) => feed.handle(digest),
    tokenKey: async (kid) => {
      const sealed = await feed.tokenKey(kid);
      return sealed === null ? null : { sealed, opened: openTokenKey(kid, sealed) };
    },
    introspect: (question) => feed.introspect(question),
    nextHopToken: (request) => feed.nextHopToken(request),
    payloadKey: (request) => feed.payloadKey(request),
    openStore: () => store.open(),
    runStore: (name, input) => store.run(name, input),
    receipt: (crossing, asker) =>
      receipts === undefined ? Promise.reject(new Error("no receipts here")) : receipts.find(crossing, asker),
    keep: (write) => {
      try {
        kept.write(number, write);
      } catch (cause) {
        // The worker goes on as if it were kept: what it acknowledged would not outlive a restart.
        failed(
          new Error(`the gateway's state could not be kept: ${cause instanceof Error ? cause.message : "unknown"}`),
        );
      }
    },
    say: (level, fields, message) => logger[level]({ worker: number + 1, ...fields }, message),
    report,
    refreshElsewhere,
    sendTraces: (body) =>
      traces === undefined ? Promise.reject(new Error("no traces are sent here")) : traces.send(body),
  };
}
