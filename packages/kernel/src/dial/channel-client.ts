// Promises bounded requests and long NDJSON answers to one origin over the guarded dialer: no redirect, no unbounded line, answer or
// wait. Trusts the pin or the roots it is given. Specified in docs/dial.md; used as docs/formats/join.md says.
import type { Dispatcher } from "undici";
import { DialFault, toDialFault } from "./dial-fault.ts";
import { patience } from "./patience.ts";
import type { Dialer, DialRules, DialTls } from "./port.ts";

export interface ChannelClientOptions {
  readonly dialer: Dialer;
  /** `https://host:port` */
  readonly origin: string;
  readonly rules: DialRules;
  /** Absent: the runtime's public roots, or none for plain http. */
  readonly tls?: DialTls;
  readonly connectTimeoutMs: number;
  readonly connectionsMax?: number;
}

export type StreamEnd =
  /** `close()` was called. */
  | { readonly kind: "closed" }
  /** The other side ended the answer. */
  | { readonly kind: "ended" }
  /** The answer was not 200; `body` holds at most 16 KiB of it. */
  | { readonly kind: "status"; readonly status: number; readonly body: string }
  | { readonly kind: "fault"; readonly fault: DialFault };

export interface StreamOptions {
  /** What is asked, with a POST; absent: a GET. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** One line without its newline, in order; a returned promise is awaited before the next (back-pressure). A throw ends the stream as a fault. */
  readonly onLine: (line: string) => void | Promise<void>;
  /** Called exactly once. */
  readonly onEnd: (end: StreamEnd) => void;
  readonly onOpen?: () => void;
  readonly lineBytesMax: number;
  /** Longest silence, also before the first byte. */
  readonly idleTimeoutMs: number;
}

export interface RequestOptions {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly answerBytesMax: number;
  /** From the call to the last byte. */
  readonly timeoutMs: number;
}

export interface ChannelAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Uint8Array;
}

export interface ChannelClient {
  /** `path` begins with `/`. */
  openStream(path: string, options: StreamOptions): { close(): void };
  /** Faults: DialFault. Any status is an answer, redirects too. */
  request(path: string, options: RequestOptions): Promise<ChannelAnswer>;
  /** Ends streams and requests and closes the connections. */
  close(): Promise<void>;
}

const refusalBytesMax = 16 * 1024;

function assertPath(path: string): void {
  if (!/^\/(?!\/)[\x21-\x7e]*$/.test(path))
    throw new TypeError("a channel path begins with one / and is printable ASCII");
}

async function readBounded(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > bytesMax) throw new DialFault("answer-too-large", `the answer is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Splits at newlines; a line that grows beyond the bound is a fault, not a bigger buffer. */
function createLineSplitter(bytesMax: number): (chunk: Uint8Array) => string[] {
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let parts: Uint8Array[] = [];
  let held = 0;
  return (chunk) => {
    const lines: string[] = [];
    let from = 0;
    while (from <= chunk.length) {
      const at = chunk.indexOf(0x0a, from);
      const part = chunk.subarray(from, at < 0 ? chunk.length : at);
      held += part.length;
      if (held > bytesMax) throw new DialFault("answer-too-large", `a line is longer than ${bytesMax} bytes`);
      parts.push(part);
      if (at < 0) break;
      try {
        lines.push(utf8.decode(parts.length === 1 ? part : Buffer.concat(parts)));
      } catch (cause) {
        throw new DialFault("protocol", "a line is not UTF-8", cause);
      }
      parts = [];
      held = 0;
      from = at + 1;
    }
    return lines;
  };
}

async function handle(line: string, options: StreamOptions): Promise<void> {
  try {
    await options.onLine(line);
  } catch (cause) {
    throw new DialFault("aborted", "the stream was given up because one of its lines could not be handled", cause);
  }
}

async function runStream(
  pool: Dispatcher,
  path: string,
  options: StreamOptions,
  abort: AbortController,
): Promise<StreamEnd> {
  const idle = () => abort.abort(new DialFault("answer-timeout", `nothing came for ${options.idleTimeoutMs} ms`));
  const silence = patience(options.idleTimeoutMs, idle);
  try {
    const { statusCode, body } = await pool.request({
      path,
      ...(options.body === undefined ? { method: "GET" } : { method: "POST", body: options.body }),
      headers: { accept: "application/x-ndjson", ...options.headers },
      signal: abort.signal,
      // Ours alone counts: undici's coarse timers would end a silent but healthy stream.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    if (statusCode !== 200) {
      const text = await readBounded(body, refusalBytesMax);
      return { kind: "status", status: statusCode, body: new TextDecoder().decode(text) };
    }
    options.onOpen?.();
    const split = createLineSplitter(options.lineBytesMax);
    for await (const chunk of body) {
      silence.renew();
      for (const line of split(chunk)) if (!abort.signal.aborted) await handle(line, options);
      silence.renew();
    }
    return { kind: "ended" };
  } finally {
    silence.end();
  }
}

/** A client for one origin. New TLS identity or new rules: make a new one and close this. */
export function createChannelClient(options: ChannelClientOptions): ChannelClient {
  const { dialer, origin, rules, tls, connectTimeoutMs, connectionsMax = 4 } = options;
  const pool = dialer.pool(origin, {
    rules,
    ...(tls === undefined ? {} : { tls }),
    connectTimeoutMs,
    connectionsMax,
  });
  return {
    openStream(path, stream) {
      assertPath(path);
      const abort = new AbortController();
      const closed = new Error("closed");
      runStream(pool, path, stream, abort).then(stream.onEnd, (error: unknown) => {
        const reason: unknown = abort.signal.aborted ? abort.signal.reason : error;
        stream.onEnd(reason === closed ? { kind: "closed" } : { kind: "fault", fault: toDialFault(reason) });
      });
      return { close: () => abort.abort(closed) };
    },
    async request(path, request) {
      assertPath(path);
      const abort = new AbortController();
      const { signal } = abort;
      const late = patience(request.timeoutMs, () =>
        abort.abort(new DialFault("answer-timeout", `no answer within ${request.timeoutMs} ms`)),
      );
      try {
        const { statusCode, headers, body } = await pool.request({
          path,
          method: request.method,
          headers: request.headers ?? {},
          body: request.body ?? null,
          signal,
          headersTimeout: 0,
          bodyTimeout: 0,
        });
        return { status: statusCode, headers, body: await readBounded(body, request.answerBytesMax) };
      } catch (error) {
        throw toDialFault(signal.aborted ? signal.reason : error);
      } finally {
        late.end();
      }
    },
    close: () => pool.destroy(),
  };
}
