// Promises that a server listens where it was told, or says why not, and that it ends whatever its clients do. Trusts the server's own bounds.
// Described in docs/control.md "Connections".
import type { AddressInfo, Server } from "node:net";

/** What all of our HTTP servers have beside what `node:net` promises. */
interface ClosableServer extends Server {
  closeAllConnections(): void;
}

export interface ListeningPlace {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Told of what goes wrong with the listening itself later on. */
  readonly fault: (error: unknown) => void;
}

/** The bound port. Rejects when it is taken. */
export async function startListening(server: Server, { host, port, fault }: ListeningPlace): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      server.on("error", fault);
      resolve();
    });
  });
  // A listening TCP server's address is never a string.
  return (server.address() as AddressInfo).port;
}

/** Takes nobody new at once, and ends who is there when `last` is over. */
export async function endListening(server: ClosableServer, last: Promise<unknown> = Promise.resolve()): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  await last;
  server.closeAllConnections();
  await closed;
}
