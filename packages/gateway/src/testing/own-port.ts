// Promises ports of 127.0.0.1 for what is stopped and started again at the same place: meanwhile nobody else is given one. Trusts that systems hand out
// ports from 32768 up by themselves, and that tests with lanes of ports have theirs from 20000 up.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

const portsFrom = 10_000;
const portsTo = 20_000;
const triesMax = 100;

/** A port nobody listens on. */
export async function ownPort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries++) {
    const port = randomInt(portsFrom, portsTo);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
  throw new Error(`no free port from ${portsFrom} to ${portsTo}`);
}
