// Promises a provider with its own count of what reached it, so that a denial can be believed. Trusts nothing of the gateway.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface CountingUpstream {
  readonly url: string;
  /** Requests whose head arrived. */
  readonly seen: ReceivedRequest[];
  /** Answers the next requests; the default is a small JSON text. */
  answer: ((request: IncomingMessage, response: ServerResponse, body: string) => void) | null;
  close(): Promise<void>;
}

export async function startCountingUpstream(): Promise<CountingUpstream> {
  const seen: ReceivedRequest[] = [];
  const server = createServer((request, response) => {
    const at = seen.length;
    const head = {
      method: request.method ?? "",
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
      headers: request.headers,
    };
    seen.push({ ...head, body: "" });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => response.destroy());
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      seen[at] = { ...head, body };
      if (upstream.answer !== null) upstream.answer(request, response, body);
      else response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}');
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the upstream has no address");
  const upstream: CountingUpstream = {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    answer: null,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return upstream;
}
