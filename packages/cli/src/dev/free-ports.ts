// Promises ports of a loopback address that nobody listens on at this moment. Trusts a plain listen, which fails where another one is.
import { createServer } from "node:net";
import { CommandEnd, exitCode } from "../exit.ts";

const attemptsMax = 50;
/** Identity, channel, admin and status stand side by side; the next block is that far away. */
const blockStep = 10;

/** Is this port free? For 0: which one is. */
function probe(host: string, port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
    });
  });
}

/** `count` ports from `first` on, or from the first block of ten after it where all are free; `first` 0: any. Throws CommandEnd when there is none. */
export async function freePorts(host: string, first: number, count: number): Promise<readonly number[]> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const from = first === 0 ? 0 : first + attempt * (count === 1 ? 1 : blockStep);
    const wanted = Array.from({ length: count }, (_, i) => (from === 0 ? 0 : from + i));
    const found = await Promise.all(wanted.map((port) => probe(host, port)));
    if (found.every((port) => port !== null)) return found;
  }
  throw new CommandEnd(
    exitCode.badUse,
    `no free port near ${first} on ${host}`,
    "end what listens there, or give --port",
  );
}
