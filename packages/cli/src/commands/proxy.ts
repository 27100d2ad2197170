// Promises a local signing proxy: plain HTTP in, proven calls out, for programs that cannot make proofs themselves.
// Trusts the estate for which provider a path belongs to. Specified in docs/cli/proxy.md.
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import type { Command } from "commander";
import { findWay, readClientKey, type Way, type WayOptions, wayOptions } from "../calling/way.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { ProxyAddress, ProxyLine } from "../proxy/signing-proxy.ts";
import { outliveReader, printable } from "../terminal.ts";

interface ProxyOptions extends WayOptions {
  readonly as?: string;
  readonly listen: string;
  readonly only?: string;
  readonly tokenFile?: string;
  readonly allowOrigin?: readonly string[];
}

const examples = `
Every program of this machine that can reach the address calls as the client. On a machine shared with others
listen on a Unix socket, or give --token-file.

Examples:
  sallyport proxy --as orders --listen :9000
  curl http://127.0.0.1:9000/billing/v1/invoices/1

  sallyport proxy --as orders --listen unix:/run/orders/sallyport.sock
  curl --unix-socket /run/orders/sallyport.sock http://localhost/billing/v1/invoices/1
`;

const secretBytesMax = 4096;
const graceMs = 10_000;

/** `sallyport proxy`: runs until SIGTERM or SIGINT. */
export function proxyCommand(program: Command): void {
  const command = program
    .command("proxy")
    .description("sign calls for programs that cannot: plain HTTP on this machine in, proven calls to the gateway out")
    .option("--as <system>", "the calling system, or its client; default: the only one that could")
    .option("--listen <address>", "where to listen: :port, 127.0.0.1:port, [::1]:port or unix:/path", ":9000");
  wayOptions(command)
    .option("--only <system>", "carry calls to this provider only; needed where no estate is at hand")
    .option("--token-file <file>", "ask callers for the content of this file (0600) as Sallyport-Proxy-Token")
    .option("--allow-origin <origin...>", "web pages that may use the proxy; none by default")
    .addHelpText("after", examples)
    .action(async (options: ProxyOptions, made: Command) => {
      const json = made.optsWithGlobals<{ json?: boolean }>().json === true;
      const address = parseListen(options.listen);
      const secret = options.tokenFile === undefined ? null : readSecret(options.tokenFile);
      outliveReader();
      const { runProxy } = await import("../proxy/run-proxy.ts");
      const way = findWay(options);
      await runProxy({
        way: withoutEstate(way, options),
        as: options.as,
        only: options.only ?? null,
        address,
        secret,
        allowedOrigins: new Set(options.allowOrigin ?? []),
        keyFile: options.key,
        key: (client) => readClientKey(way, client, options.key),
        graceMs,
        log: createLog(json),
      });
    });
}

/** With --only and --as no estate is needed: the provider and the client are named. */
function withoutEstate(way: Way, options: ProxyOptions): Way {
  const named = options.only !== undefined && options.as !== undefined;
  if (way.configDirectory !== null || named) return way;
  throw new CommandEnd(
    exitCode.badUse,
    "no estate says which path belongs to which provider",
    "name its directory with --config <directory>, or give both --as <client> and --only <system>",
  );
}

/** Loopback or a Unix socket, nothing else: whoever reaches the proxy calls as the client. Throws CommandEnd (bad use). */
export function parseListen(text: string): ProxyAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path.startsWith("/") && path.length <= 100) return { path };
    throw new CommandEnd(exitCode.badUse, `--listen ${text} is not the path of a socket`, "write unix:/absolute/path");
  }
  const match = /^(127\.0\.0\.1|localhost|\[::1\])?:(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535)
    throw new CommandEnd(
      exitCode.badUse,
      `--listen ${text} is not an address of this machine alone`,
      "a signing proxy listens on loopback or a Unix socket only: write :9000, 127.0.0.1:9000, [::1]:9000 or unix:/path",
    );
  return { host: match[1] === "[::1]" ? "::1" : "127.0.0.1", port };
}

function readSecret(path: string): string {
  let bytes: Uint8Array | null;
  try {
    bytes = readPrivateFile(path, secretBytesMax);
  } catch (error) {
    const words = error instanceof Error ? error.message : `${path} cannot be read`;
    throw new CommandEnd(exitCode.badUse, words, "if others may have read it, write a new secret into it");
  }
  const text = bytes === null ? "" : new TextDecoder().decode(bytes).trim();
  if (/^[\x21-\x7e]{16,1024}$/.test(text)) return text;
  throw new CommandEnd(
    exitCode.badUse,
    `${path} holds no secret of 16 to 1024 printable characters`,
    `make one: (umask 077; openssl rand -hex 32 > ${path})`,
  );
}

export type ProxyEvent =
  | { readonly event: "ready"; readonly url: string; readonly client: string; readonly gateway: string }
  | ({ readonly event: "request" } & ProxyLine)
  | { readonly event: "stopping" | "stopped" };

function createLog(json: boolean): (event: ProxyEvent) => void {
  if (json) return (event) => void process.stdout.write(`${JSON.stringify(event)}\n`);
  return (event) => {
    const time = new Date().toISOString().slice(11, 23);
    process.stdout.write(`${time} ${printable(words(event))}\n`);
  };
}

function words(event: ProxyEvent): string {
  if (event.event === "ready") return `${event.url} calls ${event.gateway} as ${event.client}`;
  if (event.event !== "request") return event.event;
  const { method, path, status, ms, crossing, why } = event;
  const denied = status >= 400 && crossing !== null ? `  sallyport why ${crossing}` : "";
  return `${method} ${path} ${status} ${ms} ms${why === null ? "" : `  ${why}`}${denied}`;
}
