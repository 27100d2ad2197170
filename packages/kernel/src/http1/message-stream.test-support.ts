// Promises the messages that two parsers find in the same octets, in one shape: ours, and Node's llhttp behind a node:http server without a network.
// Trusts node:http, as the oracle. For the tests of this folder.
import { createServer, METHODS } from "node:http";
import { Duplex } from "node:stream";
import { ContentReader } from "./content-reader.ts";
import { RequestReader } from "./request-reader.ts";

export interface Message {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly content: string;
}

export interface Reading {
  /** Those that came to their end. */
  readonly messages: readonly Message[];
  /** Why there are no more; null: the octets ended. */
  readonly fault: string | null;
}

export const testBounds = { headBytesMax: 4_096, fieldsMax: 20 };

/** Reads as a connection does: octets arrive in the given pieces, and of a head all its octets are kept until it is whole. */
export function readOurs(pieces: readonly Buffer[], bounds = testBounds): Reading {
  const heads = new RequestReader(bounds);
  const contents = new ContentReader();
  const messages: Message[] = [];
  let kept = Buffer.alloc(0);
  let head: Omit<Message, "content"> | null = null;
  let content = "";
  let at = 0;
  let closes = false;
  heads.begin(0);
  for (const piece of pieces) {
    heads.moved(-at);
    kept = Buffer.concat([kept.subarray(at), piece]);
    at = 0;
    for (;;) {
      if (head === null) {
        if (closes && at < kept.length) return { messages, fault: "closed" };
        const read = heads.read(kept, kept.length);
        if (typeof read === "string") return { messages, fault: read };
        if (read === null) break;
        at = heads.at;
        head = { method: read.method, target: read.target, rawHeaders: read.rawHeaders };
        closes = read.framing.closes;
        contents.begin(read.framing.contentLength);
      }
      const read = contents.read(kept, at, kept.length);
      at = contents.at;
      content += contents.take(kept)?.toString("latin1") ?? "";
      if (read === "more") break;
      if (read !== "over") return { messages, fault: read };
      messages.push({ ...head, content });
      head = null;
      content = "";
      heads.begin(at);
    }
  }
  return { messages, fault: null };
}

/** What node:http hands to its handlers for the same octets, in one piece, with its parser in the strict form. */
export async function readOracle(octets: Buffer): Promise<Reading> {
  const messages: Message[] = [];
  const server = createServer({ insecureHTTPParser: false, requireHostHeader: false, maxHeaderSize: 64 * 1024 });
  server.maxHeadersCount = 0;
  let fault: string | null = null;
  const handle: Parameters<typeof server.on>[1] = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const content = Buffer.concat(chunks).toString("latin1");
      messages.push({ method: request.method, target: request.url, rawHeaders: request.rawHeaders, content });
      response.end();
    });
  };
  for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, handle);
  const socket = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => done(),
    final: (done) => done(),
  });
  const ended = new Promise<void>((resolve) => socket.once("close", resolve));
  server.on("clientError", (error) => {
    fault = "code" in error ? String(error.code) : error.message;
    // What came whole before the fault is still to be handed over.
    setImmediate(() => socket.destroy());
  });
  server.emit("connection", socket);
  socket.push(octets);
  socket.push(null);
  await ended;
  return { messages, fault };
}

/** Node refuses every method that it does not know. */
export const oracleMethods: ReadonlySet<string> = new Set(METHODS);
