// Promises that an address is free before it is listened on: a listener with `reusePort` would bind beside another process without a word, so the port is
// tried plainly first. Trusts the operating system. Specified in docs/gateway.md (listen) and docs/workers.md.
import { createServer } from "node:net";
import { GatewayFault, type ListenerOptions } from "../ports.ts";

/** The port of the options; for 0 one that was free a moment ago. Throws GatewayFault `port-in-use` or `listen-failed`, naming the listener and the fix. */
export async function probePort(options: ListenerOptions): Promise<number> {
  const probe = createServer();
  return new Promise<number>((resolve, reject) => {
    probe.once("error", (cause) => reject(listenFault(options, cause)));
    probe.listen({ host: options.host, port: options.port, exclusive: true }, () => {
      const at = probe.address();
      const port = at === null || typeof at === "string" ? options.port : at.port;
      probe.close(() => resolve(port));
    });
  });
}

export function listenFault(options: ListenerOptions, cause: Error): GatewayFault {
  const at = `${options.host}:${options.port}`;
  if ("code" in cause && cause.code === "EADDRINUSE") {
    return new GatewayFault(
      "port-in-use",
      `listener ${options.name}: ${at} is taken by another process; stop it, or give the listener another address with --listen ${options.name}=host:port`,
      cause,
    );
  }
  return new GatewayFault(
    "listen-failed",
    `listener ${options.name}: cannot listen on ${at} (${cause.message}); name one of this machine with --listen ${options.name}=host:port`,
    cause,
  );
}
