// Promises one proven call through the gateway with what came back and where the time went. Trusts the SDK for token, proof and nonce.
// Specified in docs/cli/call.md.

import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { SallyportFault } from "@sallyport/sdk/fault.ts";
import { type SallyportFetch, sallyportFetch } from "@sallyport/sdk/sallyport-fetch.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { BuiltRequest } from "./build-request.ts";
import { createSender, type Sender, type TimedExchange } from "./sender.ts";
import { clientSteps, gatewaySteps, type Step } from "./timings.ts";
import type { Way } from "./way.ts";

export interface CallAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** The body was longer than what is kept. */
  readonly cut: boolean;
  readonly steps: readonly Step[];
  readonly totalMs: number;
}

export interface CallClient {
  call(request: BuiltRequest): Promise<CallAnswer>;
  close(): Promise<void>;
}

const bodyBytesMax = 16 * 1024 * 1024;
const timeoutMs = 60_000;

export interface CallClientOptions {
  readonly way: Way;
  readonly client: string;
  /** Its signing key, or the API key that is presented in place of a token. */
  readonly key: TokenSigner | string;
  /** The provider. */
  readonly system: string;
  readonly scope?: string;
}

/** A client that keeps its token, nonce and connections between calls. */
export function createCallClient(options: CallClientOptions): CallClient {
  const { way } = options;
  let exchanges: TimedExchange[] = [];
  const timed = (exchange: TimedExchange): void => void exchanges.push(exchange);
  const identity = createSender({ timed, ...(way.identityRoots === undefined ? {} : { roots: way.identityRoots }) });
  const gateway = createSender({ timed, ...(way.gatewayRoots === undefined ? {} : { roots: way.gatewayRoots }) });
  const send = proven(options, identity, gateway);
  return {
    async call(request) {
      exchanges = [];
      const started = performance.now();
      const response = await reached(options, async () =>
        send(request.target, {
          method: request.method,
          headers: request.headers,
          // Bytes of a file of the user's own; the DOM types want them over a plain ArrayBuffer.
          ...(request.body === null ? {} : { body: request.body as Uint8Array<ArrayBuffer> | string }),
          redirect: "manual",
          signal: AbortSignal.timeout(timeoutMs),
        }),
      );
      const headMs = performance.now();
      const { body, cut } = await readBody(response);
      const ended = performance.now();
      return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        body,
        cut,
        steps: [
          ...clientSteps(exchanges, { gateway: way.gateway, bodyMs: ended - headMs }),
          ...gatewaySteps(response.headers.get("server-timing")),
        ],
        totalMs: Math.round((ended - started) * 100) / 100,
      };
    },
    close: async () => {
      await Promise.all([identity.close(), gateway.close()]);
    },
  };
}

function proven(
  { way, client, key, system, scope }: CallClientOptions,
  identity: Sender,
  gateway: Sender,
): SallyportFetch {
  if (typeof key === "string") return keyed(way, gateway, key);
  const tokens = new TokenClient({ issuer: way.issuer, clientId: client, key, fetch: identity.send });
  return sallyportFetch({
    client: tokens,
    gateway: way.gateway,
    resource: `${way.issuer}/systems/${system}`,
    fetch: gateway.send,
    ...(scope === undefined ? {} : { scope }),
  });
}

function keyed({ gateway: origin }: Way, gateway: Sender, key: string): SallyportFetch {
  return async (target, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set("authorization", `ApiKey ${key}`);
    // Never anywhere else than the gateway, whatever the target says.
    const url = new URL(target instanceof Request ? target.url : target, origin);
    if (url.origin !== origin) throw new TypeError(`${url.origin} is not the gateway`);
    return gateway.send(url, { ...init, headers });
  };
}

async function readBody(response: Response): Promise<{ readonly body: Uint8Array; readonly cut: boolean }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    if (length + chunk.length > bodyBytesMax) {
      chunks.push(chunk.subarray(0, bodyBytesMax - length));
      return { body: Buffer.concat(chunks), cut: true };
    }
    length += chunk.length;
    chunks.push(chunk);
  }
  return { body: Buffer.concat(chunks), cut: false };
}

/** Runs a call; what fails on the way to an answer becomes an end with the code it deserves and the fix. */
async function reached<T>(options: CallClientOptions, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw callFault(error, options);
  }
}

/** The end a failed token or connection deserves. */
export function callFault(error: unknown, on: Pick<CallClientOptions, "way" | "client" | "system">): unknown {
  if (error instanceof SallyportFault) return sdkFault(error, on);
  if (error instanceof Error && "code" in error && "problem" in error)
    return new CommandEnd(exitCode.unreachable, `the gateway did not answer: ${error.message}`, reachFix);
  if (error instanceof Error && error.name === "TimeoutError")
    return new CommandEnd(exitCode.unreachable, `no answer within ${timeoutMs / 1000} s`, reachFix);
  return error;
}

const reachFix = "sallyport status says what runs; --gateway, --issuer and --ca say where else to call";

function sdkFault(fault: SallyportFault, on: Pick<CallClientOptions, "way" | "client" | "system">): CommandEnd {
  const cause = fault.cause instanceof Error ? `: ${fault.cause.message}` : "";
  if (fault.code !== "token-endpoint-refused")
    return new CommandEnd(exitCode.unreachable, `${fault.message}${cause}`, reachFix);
  const error = /: (\w+)\.$/.exec(fault.message)?.[1] ?? "";
  return new CommandEnd(exitCode.no, fault.message, refusalFix(error, on));
}

function refusalFix(
  error: string,
  { client, system, way }: Pick<CallClientOptions, "way" | "client" | "system">,
): string {
  const where = way.environment === "production" ? "" : ` --environment ${way.environment}`;
  const why = `sallyport why --from ${client} --op token:issue --for ${system}${where}`;
  switch (error) {
    case "invalid_client":
      return `the public half of this key is not declared for client ${client} in ${way.environment}: identity.keys of its system`;
    case "invalid_target":
    case "invalid_scope":
    case "access_denied":
      return `nothing that is in service lets ${client} call ${system}: ${why}`;
    default:
      return why;
  }
}
