// Promises one call of an operation by its name, as a declared client would make it, with the answer and where the time went.
// Trusts the estate for method and path and the SDK for token and proof. Specified in docs/cli/call.md.
import { readFileSync, statSync } from "node:fs";
import { printKeyField } from "@sallyport/protocol/idempotency-key.ts";
import type { Command } from "commander";
import { findWay, readApiKey, readClientKey, type WayOptions, wayOptions } from "../calling/way.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { createTerminal } from "../terminal.ts";

interface CallOptions extends WayOptions {
  readonly as?: string;
  readonly scope?: string;
  readonly header?: readonly string[];
  readonly idempotencyKey?: string;
  readonly repeat?: string;
  readonly verbose?: boolean;
  readonly curl?: boolean;
  readonly receipt?: string;
  readonly apiKey?: string;
}

const examples = `
Arguments:
  id=1            a path parameter; else the query (no body) or a text member of the JSON body
  amount:=12      a member of the JSON body as JSON
  page==2         the query
  @order.json, -  the whole body, from a file or from standard input

Examples:
  sallyport call billing:invoice.read id=1
  sallyport call billing:invoice.create customer=c-7 amount:=1200 --as orders
  sallyport call billing:invoice.read id=1 --repeat 200
  sallyport call billing:invoice.create customer=c-7 amount:=1200 --receipt order-4711.receipt
`;

const repeatMax = 10_000;
const bodyBytesMax = 16 * 1024 * 1024;

/** `sallyport call <operation>`: exit 0 for an answer below 400, 1 for a refusal, 3 when nothing answers. */
export function callCommand(program: Command): void {
  const command = program
    .command("call <operation> [arguments...]")
    .description("call an operation by its name: token, proof and request in one step, each of them timed")
    .option("--as <system>", "the calling system, or its client; default: the only one that could");
  wayOptions(command)
    .option("--scope <scope>", "ask for a token with this scope only; default: what the grants allow")
    .option("--api-key <file>", "present the API key in this file (0600) in place of a token; with --as")
    .option("--header <header...>", "more request headers, as 'Name: value'")
    .option(
      "--idempotency-key <key>",
      "send it as Idempotency-Key: the same call with the same key is no second effect",
    )
    .option("--repeat <n>", "call n times over the same connections and show p50 and p99")
    .option("--receipt <file>", "save the receipt of the (first) call: proof of what was decided and how it ended")
    .option("--verbose", "show every header of the answer and every step of the first call")
    .option("--curl", "do not call: print the curl line that does the same through sallyport proxy")
    .addHelpText("after", examples)
    .action(async (operation: string, words: readonly string[], options: CallOptions, made: Command) => {
      const terminal = createTerminal(made.optsWithGlobals<{ json?: boolean }>().json === true);
      const { runCall } = await import("../calling/run-call.ts");
      const { rest, body } = readBodyArgument(words);
      const way = findWay(options);
      const end = await runCall({
        way,
        operation,
        words: rest,
        body,
        headers: [...(options.header ?? []), ...keyHeader(options.idempotencyKey)],
        as: options.as,
        scope: options.scope,
        keyFile: options.key,
        repeat: parseRepeat(options.repeat),
        verbose: options.verbose === true,
        curl: options.curl === true,
        receipt: options.receipt,
        apiKey: options.apiKey === undefined ? null : readApiKey(options.apiKey),
        key: (client) => readClientKey(way, client, options.key),
        terminal,
      });
      if (end !== null) throw end;
    });
}

/** As the structured field wants it, in quotes. */
function keyHeader(key: string | undefined): readonly string[] {
  return key === undefined ? [] : [`Idempotency-Key: ${printKeyField(key)}`];
}

function parseRepeat(text: string | undefined): number {
  if (text === undefined) return 1;
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= repeatMax) return count;
  throw new CommandEnd(exitCode.badUse, `--repeat ${text} is not a number of calls`, `write 1 to ${repeatMax}`);
}

/** `@file` and `-` are the whole body; everything else stays. */
function readBodyArgument(words: readonly string[]): {
  readonly rest: readonly string[];
  readonly body: Uint8Array | null;
} {
  const whole = words.filter((word) => word === "-" || word.startsWith("@"));
  const rest = words.filter((word) => !whole.includes(word));
  const [source, second] = whole;
  if (second !== undefined) throw new CommandEnd(exitCode.badUse, "two whole bodies are given", "give one @file or -");
  if (source === undefined) return { rest, body: null };
  return { rest, body: source === "-" ? bounded("standard input", readFileSync(0)) : readFile(source.slice(1)) };
}

function readFile(path: string): Uint8Array {
  try {
    if (statSync(path).size <= bodyBytesMax) return readFileSync(path);
  } catch {
    throw new CommandEnd(exitCode.badUse, `${path} cannot be read`, "check the path and its permissions");
  }
  return bounded(path, Buffer.alloc(bodyBytesMax + 1));
}

function bounded(what: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length <= bodyBytesMax) return bytes;
  throw new CommandEnd(exitCode.badUse, `${what} is larger than 16 MiB`, "no operation takes more");
}
