// Promises a connection to the admin listener whose key the operator key file pins, and to nothing else.
// Trusts the operator key file. Specified in docs/identity.md "Operators".
import { type ChannelClient, createChannelClient, type StreamEnd } from "@sallyport/kernel/dial/channel-client.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import {
  type AdminClient,
  type AdminOpen,
  type AdminSend,
  createAdminClient,
  readOperatorKey,
} from "./admin-client.ts";

const timeoutMs = 30_000;
const answerBytesMax = 64 * 1024 * 1024;

/** A client for the control plane that `keyFile` belongs to. Throws CommandEnd when the file is missing or damaged. */
export function openAdminClient(keyFile: string): AdminClient {
  const key = readOperatorKey(keyFile);
  const origin = new URL(key.issuer).origin;
  const over = { send: sendOver(origin, key.pin), open: openOver(origin, key.pin) };
  return createAdminClient(key, over, () => Date.now());
}

/** One connection per call: a command makes few calls, and nothing is left open behind it. */
function sendOver(origin: string, pin: string): AdminSend {
  return async ({ method, path, headers, body }) => {
    const client = connect(origin, pin);
    try {
      const answer = await client.request(path, {
        // The admin API has these two methods only.
        method: method === "POST" ? "POST" : "GET",
        headers,
        ...(body === null ? {} : { body }),
        answerBytesMax,
        timeoutMs,
      });
      return {
        status: answer.status,
        headers: firstValues(answer.headers),
        body: Buffer.from(answer.body).toString("utf8"),
      };
    } finally {
      await client.close();
    }
  };
}

function openOver(origin: string, pin: string): AdminOpen {
  return async ({ path, headers, body }, onLine) => {
    const client = connect(origin, pin);
    try {
      const end = await new Promise<StreamEnd>((onEnd) =>
        client.openStream(path, {
          headers,
          body,
          onLine,
          onEnd,
          lineBytesMax: answerBytesMax,
          idleTimeoutMs: timeoutMs,
        }),
      );
      if (end.kind === "fault") return { kind: "broken", why: end.fault.message };
      return end.kind === "closed" ? { kind: "ended" } : end;
    } finally {
      await client.close();
    }
  };
}

function connect(origin: string, pin: string): ChannelClient {
  return createChannelClient({
    dialer: createDialer(),
    origin,
    // The operator named this address; an admin listener is usually on a private one.
    rules: { allowPrivateHosts: new Set([new URL(origin).hostname]), ownAddresses: new Set() },
    tls: { pins: [pin], pinOnly: true },
    connectTimeoutMs: 5_000,
    connectionsMax: 1,
  });
}

function firstValues(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      typeof value === "string" ? value : value?.[0],
    ]),
  );
}
