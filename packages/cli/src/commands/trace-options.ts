// Promises the options that make a gateway tell what its stages took: to a collector of traces, or to the caller. Both are off by default.
// Trusts the operator's choice of collector. Specified in docs/traces.md.
import type { Command } from "commander";
import { CommandEnd, exitCode } from "../exit.ts";

export interface TraceSettings {
  /** OTLP/HTTP endpoint, with its path. */
  readonly url: URL;
  readonly ratio: number;
  /** Fields of each request, for example a collector's key. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface RawTraceOptions {
  readonly traces?: string;
  readonly traceRatio: string;
  readonly traceHeaders?: string;
}

export function addTraceOptions(command: Command): Command {
  return command
    .option(
      "--traces <url>",
      "send OpenTelemetry traces there (OTLP/HTTP, JSON), for example http://127.0.0.1:4318/v1/traces",
    )
    .option(
      "--trace-ratio <share>",
      "share of crossings that begin a trace, 0 to 1; a caller's sampled trace is always continued",
      "0.01",
    )
    .option("--trace-headers <file>", "fields to send to the collector, one Name: value a line (readable by you alone)")
    .option("--server-timing", "tell known callers in Server-Timing what each stage took", false);
}

/** null without `--traces`. Throws CommandEnd (bad use). */
export function parseTraceOptions(
  raw: RawTraceOptions,
  readPrivateText: (path: string) => string,
): TraceSettings | null {
  const ratio = Number(raw.traceRatio);
  if (!/^(0|1|0?\.\d+|1\.0+|0\.0+)$/.test(raw.traceRatio) || !(ratio >= 0 && ratio <= 1))
    throw new CommandEnd(
      exitCode.badUse,
      `--trace-ratio ${raw.traceRatio} is no share`,
      "write a number from 0 to 1, for example 0.01",
    );
  if (raw.traces === undefined) {
    if (raw.traceHeaders !== undefined)
      throw new CommandEnd(exitCode.badUse, "--trace-headers without --traces", "say where traces go: --traces <url>");
    return null;
  }
  return {
    url: parseEndpoint(raw.traces),
    ratio,
    headers: raw.traceHeaders === undefined ? {} : parseHeaders(raw.traceHeaders, readPrivateText(raw.traceHeaders)),
  };
}

function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isPlain = url !== null && url.username === "" && url.password === "" && url.hash === "";
  if (url === null || !isPlain || !["http:", "https:"].includes(url.protocol))
    throw new CommandEnd(
      exitCode.badUse,
      `--traces ${text} is not an endpoint`,
      "write http(s)://host:port/path without credentials, for example http://127.0.0.1:4318/v1/traces; keys go into --trace-headers",
    );
  return url;
}

function parseHeaders(file: string, text: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const match = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+): *([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined)
      throw new CommandEnd(exitCode.badUse, `${file}:${index + 1}: not a field`, "write Name: value, one a line");
    headers[match[1].toLowerCase()] = match[2];
  }
  return headers;
}
