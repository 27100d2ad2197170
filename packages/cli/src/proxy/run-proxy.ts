// Promises the life of one signing proxy: who it calls as is settled before it listens, and it ends cleanly on SIGTERM or SIGINT.
// Trusts calling/ for the way and the client. Specified in docs/cli/proxy.md.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { findClient, findSystem, loadEnvironment } from "../calling/find-operation.ts";
import { createSender } from "../calling/sender.ts";
import type { Way } from "../calling/way.ts";
import type { ProxyEvent } from "../commands/proxy.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { hashSecret } from "./decide-inbound.ts";
import { type AskProvider, createFindProvider, onlyProvider, relearning } from "./find-provider.ts";
import { Forwarder } from "./forward-proven.ts";
import { openSigningProxy, type ProxyAddress, type SigningProxy } from "./signing-proxy.ts";

export interface ProxyOrder {
  readonly way: Way;
  readonly as: string | undefined;
  readonly only: string | null;
  readonly address: ProxyAddress;
  readonly secret: string | null;
  readonly allowedOrigins: ReadonlySet<string>;
  readonly keyFile: string | undefined;
  key(client: string): TokenSigner;
  readonly graceMs: number;
  readonly log: (event: ProxyEvent) => void;
}

/** One connection pool to the gateway; its size bounds what runs at once. */
const connectionsMax = 64;

export async function runProxy(order: ProxyOrder): Promise<void> {
  const { way } = order;
  const { client, provider } = await settle(order);
  const identity = createSender(way.identityRoots === undefined ? {} : { roots: way.identityRoots });
  const gateway = createSender({
    connectionsMax,
    ...(way.gatewayRoots === undefined ? {} : { roots: way.gatewayRoots }),
  });
  const tokens = new TokenClient({
    issuer: way.issuer,
    clientId: client,
    key: order.key(client),
    fetch: identity.send,
  });
  const stopping = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.resolve());
  const forwarder = new Forwarder({
    tokens,
    pool: gateway.pool(way.gateway),
    gateway: way.gateway,
    issuer: way.issuer,
  });
  const proxy = await open(order, { provider, forwarder });
  order.log({ event: "ready", url: proxy.url, client, gateway: way.gateway });
  await stopping.promise;
  order.log({ event: "stopping" });
  await proxy.close(order.graceMs);
  await Promise.all([identity.close(), gateway.close()]);
  order.log({ event: "stopped" });
}

async function settle(order: ProxyOrder): Promise<{ readonly client: string; readonly provider: AskProvider }> {
  const { way, as, only } = order;
  if (way.configDirectory === null && as !== undefined && only !== null)
    return { client: as, provider: async (path) => onlyProvider(only)(path) };
  const environment = await loadEnvironment(way.configDirectory, way.environment);
  if (only !== null) findSystem(environment, only);
  const found = findClient(environment, as, {
    provider: only,
    dataDirectory: way.dataDirectory,
    key: order.keyFile,
  });
  const read = async () =>
    createFindProvider((await loadEnvironment(way.configDirectory, way.environment)).systems, only);
  const first = createFindProvider(environment.systems, only);
  return { client: found.client, provider: relearning(first, read, () => performance.now()) };
}

async function open(
  order: ProxyOrder,
  on: { readonly provider: AskProvider; readonly forwarder: Forwarder },
): Promise<SigningProxy> {
  try {
    return await openSigningProxy({
      address: order.address,
      allowedOrigins: order.allowedOrigins,
      secretHash: order.secret === null ? null : hashSecret(order.secret),
      ...on,
      log: (line) => order.log({ event: "request", ...line }),
    });
  } catch (error) {
    const inUse = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    const where = "path" in order.address ? order.address.path : `port ${order.address.port}`;
    if (!inUse) throw error;
    throw new CommandEnd(
      exitCode.badUse,
      `${where} is in use`,
      "path" in order.address
        ? "remove the socket if nothing runs on it, or name another"
        : "choose another port with --listen",
    );
  }
}
