// Promises that batches of spans go to the one collector that was named and nowhere else: no redirect, bounded answer and wait.
// Trusts kernel/dial; the collector may stand on a private address, since an operator named it. Specified in docs/traces.md.
import { createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { TraceSettings } from "../commands/trace-options.ts";

const answerBytesMax = 64 * 1024;
const timeoutMs = 5_000;
const connectTimeoutMs = 2_000;

export interface TraceSender {
  /** Rejects when the collector did not take the batch. */
  send(body: string): Promise<void>;
  close(): Promise<void>;
}

export function openTraceSender(dialer: Dialer, { url, headers }: TraceSettings): TraceSender {
  const client = createChannelClient({
    dialer,
    origin: url.origin,
    rules: { allowPrivateHosts: new Set([url.hostname.replace(/^\[|\]$/g, "")]), ownAddresses: new Set() },
    connectTimeoutMs,
    connectionsMax: 1,
  });
  return {
    async send(body) {
      const answer = await client.request(`${url.pathname}${url.search}`, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body,
        answerBytesMax,
        timeoutMs,
      });
      if (answer.status < 200 || answer.status > 299) throw new Error(`the collector answered ${answer.status}`);
    },
    close: () => client.close(),
  };
}
