// Promises the strongest plain opponent Node offers: node:http in front, an undici pool behind, dispatch without streams, nothing checked,
// nothing recorded. A second port also verifies one ES256 token per request. Trusts everybody. Definition: RESULTS.md.
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Dispatcher, Pool } from "undici";
import { answerQuestions } from "./process.ts";

const connectionsMax = 256;
const dropped: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
]);
let pool: Pool | null = null;
let issuerKey: KeyObject | null = null;

class Answer implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  #chunks: Buffer[] = [];

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  onRequestStart(): void {}

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const headers: string[] = [];
    const raw = Array.isArray(controller.rawHeaders) ? controller.rawHeaders : [];
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = String(raw[i]).toLowerCase();
      if (name === "content-length" || !dropped.has(name)) headers.push(name, String(raw[i + 1]));
    }
    this.#response.writeHead(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [only] = this.#chunks;
    this.#response.end(this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks));
  }

  onResponseError(): void {
    this.#response.destroy();
  }
}

function forward(incoming: IncomingMessage, response: ServerResponse, body: Buffer | null): void {
  const headers: string[] = [];
  const raw = incoming.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    if (!dropped.has(name.toLowerCase())) headers.push(name, raw[i + 1] ?? "");
  }
  // The server gives requests only: method and url are there.
  const method = incoming.method as Dispatcher.HttpMethod;
  pool?.dispatch({ path: incoming.url ?? "/", method, headers, body }, new Answer(response));
}

function serve(incoming: IncomingMessage, response: ServerResponse): void {
  if (incoming.method === "GET") {
    forward(incoming, response, null);
    return;
  }
  const chunks: Buffer[] = [];
  incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
  incoming.on("end", () => forward(incoming, response, Buffer.concat(chunks)));
}

/** As little as a verifier can do: split, one signature, one look at `exp`. */
function hasGoodToken(authorization: string | undefined): boolean {
  const token = authorization?.slice(authorization.indexOf(" ") + 1) ?? "";
  const dot = token.lastIndexOf(".");
  const signature = Buffer.from(token.slice(dot + 1), "base64url");
  const key = issuerKey === null ? null : ({ key: issuerKey, dsaEncoding: "ieee-p1363" } as const);
  if (key === null || !verify("sha256", Buffer.from(token.slice(0, dot), "latin1"), key, signature)) return false;
  const claims: { exp: number } = JSON.parse(
    Buffer.from(token.slice(token.indexOf(".") + 1, dot), "base64url").toString(),
  );
  return claims.exp * 1000 > Date.now();
}

function serveVerified(incoming: IncomingMessage, response: ServerResponse): void {
  if (hasGoodToken(incoming.headers.authorization)) serve(incoming, response);
  else response.writeHead(401).end();
}

async function listen(server: Server): Promise<number> {
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port; // listening on TCP
}

const servers = [createServer(serve), createServer(serveVerified)];

answerQuestions(
  {
    async start({ upstream, jwk }: { upstream: number; jwk: Record<string, string> }) {
      pool = new Pool(`http://127.0.0.1:${upstream}`, { connections: connectionsMax, pipelining: 1 });
      issuerKey = createPublicKey({ key: jwk, format: "jwk" });
      const [plain, verifying] = await Promise.all(servers.map(listen));
      return { plain, verifying };
    },
    usage() {
      const { user, system } = process.cpuUsage();
      return {
        cpuMs: (user + system) / 1000,
        systemMs: system / 1000,
        residentBytes: process.memoryUsage.rss(),
        leaves: 0,
      };
    },
  },
  async () => {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await pool?.destroy();
  },
);
