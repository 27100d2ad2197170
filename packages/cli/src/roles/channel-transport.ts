// Promises the gateway's way to control: the pinned listener, mTLS once there is a certificate, bounded answers.
// Trusts the pin of the join token. Specified in docs/formats/join.md.
import type { ChannelTransport } from "@sallyport/gateway/channel/feed.ts";
import { createChannelClient, type StreamEnd } from "@sallyport/kernel/dial/channel-client.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";

const lineBytesMax = 4 * 1024 * 1024;
const answerBytesMax = 64 * 1024 * 1024;
const askedBytesMax = 1024 * 1024;
const timeoutMs = 15_000;
const connectTimeoutMs = 5_000;
const idleTimeoutMs = 5_000;

/** An answer of control that is not the one hoped for; `status` tells a refusal from an absence. */
export class ChannelRefusal extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`control answered ${status}`);
    this.name = "ChannelRefusal";
    this.status = status;
  }
}

/** The channel, where the answer's status is part of what is said. */
export interface AskingTransport extends ChannelTransport {
  ask(
    path: string,
    request: { readonly method: "GET" | "POST"; readonly body?: string },
  ): Promise<{ readonly status: number; readonly body: string }>;
}

export interface ChannelTarget {
  readonly url: string;
  /** SHA-256 of the listener's SubjectPublicKeyInfo, base64. */
  readonly pin: string;
}

/** A transport and its end. A new client certificate needs a new transport. */
export function openChannelTransport(
  dialer: Dialer,
  target: ChannelTarget,
  client?: { readonly cert: string; readonly key: string },
): AskingTransport & { close(): Promise<void> } {
  const channel = createChannelClient({
    dialer,
    origin: target.url,
    // The join token names this host: it is usually a private one, and nothing but the pinned key is believed there.
    rules: {
      allowPrivateHosts: new Set([new URL(target.url).hostname.replace(/^\[|\]$/g, "")]),
      ownAddresses: new Set(),
    },
    tls: { pins: [target.pin], pinOnly: true, ...client },
    connectTimeoutMs,
  });
  const body = async (
    path: string,
    options: { readonly method: "GET" | "POST"; readonly body?: string | Uint8Array },
  ) => {
    const type = typeof options.body === "string" ? "application/json" : "application/octet-stream";
    const headers = options.body === undefined ? {} : { "content-type": type };
    const answer = await channel.request(path, { ...options, headers, answerBytesMax, timeoutMs });
    if (answer.status < 200 || answer.status > 299) throw new ChannelRefusal(answer.status);
    return answer.body;
  };
  return {
    ask: async (path, { method, body: text }) => {
      const headers = { "content-type": "text/plain; charset=utf-8" };
      const request = { method, headers, ...(text === undefined ? {} : { body: text }) };
      const answer = await channel.request(path, { ...request, answerBytesMax: askedBytesMax, timeoutMs });
      return { status: answer.status, body: new TextDecoder("utf-8", { fatal: true }).decode(answer.body) };
    },
    get: (path) => body(path, { method: "GET" }),
    post: (path, text) => body(path, { method: "POST", body: text }),
    stream: (path, onLine) =>
      new Promise((resolve, reject) => {
        const ended = Promise.withResolvers<Error>();
        const stream = channel.openStream(path, {
          onLine,
          lineBytesMax,
          idleTimeoutMs,
          onOpen: () => resolve({ ended: ended.promise, close: () => stream.close() }),
          onEnd: (end) => {
            const why = endReason(end);
            ended.resolve(why);
            // Before the opening this rejects; after it the promise is settled and this says nothing.
            reject(why);
          },
        });
      }),
    close: () => channel.close(),
  };
}

function endReason(end: StreamEnd): Error {
  switch (end.kind) {
    case "status":
      return new ChannelRefusal(end.status);
    case "fault":
      return end.fault;
    case "closed":
      return new Error(
        "the connection to control was closed on this side: it was silent, replaced or no longer needed",
      );
    case "ended":
      return new Error("control ended the connection");
  }
}
