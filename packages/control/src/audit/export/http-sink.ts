// Promises a batch in one request over the guarded dialer, bounded in size and time, without redirects, and what the answer means.
// Trusts the receiver's certificate only as far as its roots. Specified in docs/export.md "Delivery".
import { gzipSync } from "node:zlib";
import { type ChannelAnswer, type ChannelClient, createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import { DialFault } from "@sallyport/kernel/dial/dial-fault.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { EncodedRecord } from "./encode.ts";
import type { HttpAnswer, HttpReceiver } from "./http-exchange.ts";
import { type Delivery, type Sink, SinkFault } from "./sink.ts";

/** A bulk answer tells of each of at most 500 items. */
const answerBytesMax = 1_048_576;
export const requestTimeoutMs = 10_000;
const connectTimeoutMs = 5_000;

export interface HttpPlace {
  readonly dialer: Dialer;
  /** https. */
  readonly origin: string;
  /** The host of the origin may be at a private address, because the sink says so. */
  readonly allowPrivate: boolean;
  /** PEM roots in place of the public ones. */
  readonly ca: string | null;
  /** Client certificate and key, PEM. */
  readonly identity: { readonly cert: string; readonly key: string } | null;
  readonly now: () => number;
}

export interface HttpAsk {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

/** Asks one receiver; every fault is a SinkFault whose words name host and fix. */
export interface HttpAsker {
  ask(request: HttpAsk): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export function openAsker({ dialer, origin, allowPrivate, ca, identity }: HttpPlace): HttpAsker {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, "");
  const client: ChannelClient = createChannelClient({
    dialer,
    origin,
    rules: { allowPrivateHosts: new Set(allowPrivate ? [host] : []), ownAddresses: new Set() },
    tls: { ...(ca === null ? {} : { ca }), ...(identity ?? {}) },
    connectTimeoutMs,
    connectionsMax: 1,
  });
  return {
    async ask({ path, headers, body }) {
      let answer: ChannelAnswer;
      try {
        answer = await client.request(path, {
          method: "POST",
          headers,
          body,
          answerBytesMax,
          timeoutMs: requestTimeoutMs,
        });
      } catch (error) {
        throw asSinkFault(error);
      }
      return { status: answer.status, headers: answer.headers, text: new TextDecoder().decode(answer.body) };
    },
    close: () => client.close(),
  };
}

export function asSinkFault(error: unknown): SinkFault {
  if (error instanceof SinkFault) return error;
  // The words of a DialFault name host, address and fix, never what was sent.
  if (error instanceof DialFault) return new SinkFault(`${error.code}: ${error.message}`, null, error);
  return new SinkFault("the receiver could not be reached", null, error);
}

/** A sink whose receiver says all there is to say in its first answer. */
export function httpSink(receiver: HttpReceiver, place: HttpPlace): Sink {
  const asker = openAsker(place);
  return {
    send: async (batch) => (await deliver(receiver, asker, { batch, now: place.now })).delivery,
    close: () => asker.close(),
  };
}

/** One batch, and the answer that was judged. */
export async function deliver(
  receiver: HttpReceiver,
  asker: HttpAsker,
  { batch, now }: { readonly batch: readonly EncodedRecord[]; readonly now: () => number },
): Promise<{ readonly delivery: Delivery; readonly answer: HttpAnswer }> {
  const { path, headers, body } = receiver.request(batch, now());
  const answer = await asker.ask({
    path,
    headers: receiver.gzip ? { ...headers, "content-encoding": "gzip" } : headers,
    body: receiver.gzip ? gzipSync(body) : body,
  });
  return { delivery: receiver.judge(answer, batch, now()), answer };
}
