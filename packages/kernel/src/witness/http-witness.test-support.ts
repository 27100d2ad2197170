// Promises a witness, or whatever else answers in its place, at a real socket; for tests. Trusts nothing.
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { originHash } from "@sallyport/protocol/audit/witness-request.ts";
import { sha256 } from "../log/log-crypto.ts";
import type { Submitter, Witness } from "./witness.ts";

export interface Given {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

export interface Answered {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ServedWitness {
  readonly url: string;
  /** Requests so far. */
  readonly asked: readonly Given[];
  close(): Promise<void>;
}

const servers: Server[] = [];

/** `answer` null: it never comes. */
export async function serveAnswers(answer: (given: Given) => Promise<Answered | null>): Promise<ServedWitness> {
  const asked: Given[] = [];
  const server = createServer((request, response) => {
    const serve = async () => {
      const given = { method: request.method ?? "", path: request.url ?? "", body: await textOf(request) };
      asked.push(given);
      const answered = await answer(given);
      if (answered === null) return;
      response.writeHead(answered.status, { ...answered.headers }).end(answered.body);
    };
    serve().catch(() => response.destroy());
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A listening TCP server's address is never a string.
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked, close: () => closeServer(server) };
}

/** A witness over HTTP, as the specification has it. */
export function serveWitness(witness: Witness, from: Submitter, origins: readonly string[]): Promise<ServedWitness> {
  return serveAnswers(async ({ method, path, body }) => {
    if (method === "POST" && path === "/add-checkpoint") {
      const { status, body: text } = await witness.add(body, from);
      return { status, body: text };
    }
    const origin = origins.find((one) => path === `/${originHash(sha256, one)}/checkpoint`);
    const kept = origin === undefined ? null : await witness.kept(origin);
    return kept === null ? { status: 404, body: "" } : { status: 200, body: kept };
  });
}

/** Those that a failed test left open too. */
export async function closeServedWitnesses(): Promise<void> {
  await Promise.all(servers.splice(0).map(closeServer));
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
