// Promises, where the token acknowledges, that a batch counts as taken only when the indexer said so; else when HEC took it, which is less.
// Trusts no answer. Specified in docs/export.md "Splunk".
import type { HttpPlace } from "./http-sink.ts";
import { deliver, openAsker } from "./http-sink.ts";
import { type Sink, SinkFault } from "./sink.ts";
import { ackIdOf, ackPath, isAcknowledged, type SplunkOptions, splunkHeaders, splunkReceiver } from "./splunk.ts";

/** An indexer acknowledges within seconds to a minute; what it did not by then is sent again. */
const ackAsksMax = 30;
const ackPauseMs = 2_000;

export interface SplunkSinkPorts extends HttpPlace {
  readonly pause: (ms: number) => Promise<void>;
}

export function splunkSink(options: SplunkOptions, ports: SplunkSinkPorts): Sink {
  const asker = openAsker(ports);
  const receiver = splunkReceiver(options);
  return {
    async send(batch) {
      const { delivery, answer } = await deliver(receiver, asker, { batch, now: ports.now });
      if (options.channel === null || delivery.kind !== "taken") return delivery;
      const ackId = ackIdOf(answer);
      for (let asks = 0; asks < ackAsksMax; asks += 1) {
        const said = await asker.ask({
          path: `${options.basePath}${ackPath}?channel=${options.channel}`,
          headers: splunkHeaders(options),
          body: JSON.stringify({ acks: [ackId] }),
        });
        if (isAcknowledged(said, ackId)) return delivery;
        await ports.pause(ackPauseMs);
      }
      throw new SinkFault(
        `Splunk took a batch and did not acknowledge it in ${(ackAsksMax * ackPauseMs) / 1_000} s: it is sent again`,
      );
    },
    close: () => asker.close(),
  };
}
