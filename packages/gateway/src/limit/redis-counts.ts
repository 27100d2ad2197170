// Promises connections to one Redis, each logged in and with our scripts loaded, that end when anything is wrong with them: trying again, and what holds
// meanwhile, are decided elsewhere (shared-limits.ts). The only file that imports @redis/client. Trusts redis-url.ts. docs/decisions/0028-redis-client.md.
import type { LimitsConnection, LimitsStorePort } from "./limits-store.ts";
import { renewScript, takeScript } from "./limits-store.ts";
import type { RedisAddress } from "./redis-url.ts";

export const connectMsMax = 1_000;
/** Commands that wait for an answer; beyond it they are refused at once. */
const unansweredMax = 20_000;

export function limitsStoreAt(address: RedisAddress): LimitsStorePort {
  return {
    waitMs: address.waitMs,
    place: `${address.host}:${address.port}`,
    connect: () => connect(address),
  };
}

async function connect(address: RedisAddress): Promise<LimitsConnection> {
  const { createClient } = await import("@redis/client");
  const { host, port, username, password, database, tls } = address;
  const place = { host, port, connectTimeout: connectMsMax, reconnectStrategy: false } as const;
  const client = createClient({
    socket:
      tls === false
        ? place
        : { ...place, tls: true, servername: host, minVersion: "TLSv1.2", ...(tls.ca === null ? {} : { ca: tls.ca }) },
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    database,
    RESP: 2,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
    commandsQueueMaxLength: unansweredMax,
  });
  const end = Promise.withResolvers<string>();
  client.on("error", (cause: unknown) => end.resolve(cause instanceof Error ? cause.message : String(cause)));
  client.on("end", () => end.resolve("the connection was closed"));
  const destroy = (): void => {
    if (client.isOpen) client.destroy();
    end.resolve("the connection was closed");
  };
  try {
    await client.connect();
    for (const { text } of [takeScript, renewScript]) await client.sendCommand(["SCRIPT", "LOAD", text]);
  } catch (cause) {
    destroy();
    throw cause;
  }
  return {
    run: (script, keys, args) => {
      const rest = [String(keys.length), ...keys, ...args];
      return client.sendCommand(["EVALSHA", script.sha, ...rest]).catch((cause: unknown) => {
        // Somebody emptied its cache of scripts.
        if (!(cause instanceof Error) || !cause.message.startsWith("NOSCRIPT")) throw cause;
        return client.sendCommand(["EVAL", script.text, ...rest]);
      });
    },
    release: (key, member) => void client.sendCommand(["ZREM", key, member]).catch(() => {}), // Its lease ends by itself.
    onEnd: (told) => void end.promise.then(told),
    destroy,
  };
}
