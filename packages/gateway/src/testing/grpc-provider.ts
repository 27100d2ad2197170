// Promises a gRPC provider over HTTP/2 in clear, and a caller's side of a call, both with messages framed by hand. Trusts nothing of the gateway.
// Format: the gRPC protocol over HTTP/2.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";

export const message = (text: string): Buffer => {
  const content = Buffer.from(text);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(content.length, 1);
  return Buffer.concat([prefix, content]);
};

export function messagesOf(octets: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at + 5 <= octets.length; ) {
    const length = octets.readUInt32BE(at + 1);
    texts.push(octets.subarray(at + 5, at + 5 + length).toString());
    at += 5 + length;
  }
  return texts;
}

export interface ProviderCall {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

export interface GrpcProvider {
  readonly url: string;
  readonly calls: ProviderCall[];
  /** Serves the next calls; the default echoes each message, and ends well. */
  serve: ((call: ProviderCall) => void) | null;
  close(): Promise<void>;
}

/** Ends a call with these fields behind its content. */
export function endWith(stream: ServerHttp2Stream, trailers: Record<string, string>): void {
  stream.once("wantTrailers", () => stream.sendTrailers(trailers));
  stream.end();
}

export const begin = (stream: ServerHttp2Stream, more: Record<string, string> = {}): void =>
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...more }, { waitForTrailers: true });

export async function startGrpcProvider(): Promise<GrpcProvider> {
  const calls: ProviderCall[] = [];
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const call = { stream, headers };
    calls.push(call);
    if (provider.serve !== null) {
      provider.serve(call);
      return;
    }
    begin(stream);
    stream.on("data", (piece: Buffer) => stream.write(piece));
    stream.on("end", () => endWith(stream, { "grpc-status": "0", "x-behind": "yes" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  const provider: GrpcProvider = {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    serve: null,
    close: () =>
      new Promise((resolve) => {
        for (const session of sessions) session.destroy();
        server.close(() => resolve());
      }),
  };
  return provider;
}

export interface CallEnd {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly messages: readonly string[];
  /** Of the trailers, or of an answer that is nothing but them. */
  readonly status: string;
  readonly id: string;
  readonly reset: number;
}

export interface OpenCall {
  readonly stream: ClientHttp2Stream;
  readonly ended: Promise<CallEnd>;
  /** Messages so far. */
  readonly messages: () => readonly string[];
}

export function openCall(
  session: ClientHttp2Session,
  path: string,
  fields: Readonly<Record<string, string>> = {},
): OpenCall {
  const stream = session.request({
    ":method": "POST",
    ":scheme": "https",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...fields,
  });
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const pieces: Buffer[] = [];
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  stream.on("error", () => {});
  const messages = (): string[] => messagesOf(Buffer.concat(pieces));
  const ended = new Promise<CallEnd>((resolve) => {
    stream.on("close", () =>
      resolve({
        headers,
        trailers,
        messages: messages(),
        status: String(trailers["grpc-status"] ?? headers["grpc-status"] ?? "none"),
        id: String(headers["sallyport-crossing"]),
        reset: stream.rstCode,
      }),
    );
  });
  return { stream, ended, messages };
}

/** One message, and the end of the call. */
export function unary(
  session: ClientHttp2Session,
  path: string,
  text: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<CallEnd> {
  const { stream, ended } = openCall(session, path, fields);
  stream.end(message(text));
  return ended;
}
