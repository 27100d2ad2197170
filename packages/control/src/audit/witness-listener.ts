// Promises C2SP tlog-witness to anybody over plain HTTP, for the logs the estate names and no other: bounded requests, bounded work at once, and no
// cosignature before its state is durable. Trusts the witness behind it. Specified in docs/witnesses.md "A witness for others" and docs/formats/witness.md.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "@sallyport/kernel/http-server.ts";
import type { WitnessAnswer } from "@sallyport/kernel/witness/witness.ts";
import { submissionCharactersMax } from "@sallyport/protocol/audit/witness-request.ts";
import { decodeUtf8, readBody } from "../gateways/read-body.ts";
import { endListening, startListening } from "../listening.ts";
import { boundSources } from "../source-places.ts";

export interface PublicWitness {
  /** Answers an `add-checkpoint` request of a stranger. */
  addOutside(body: string): Promise<WitnessAnswer>;
  /** The checkpoint cosigned last of a log the estate names, by the origin's hash (64 hexadecimal digits). */
  keptOutside(hash: string): Promise<string | null>;
}

export interface WitnessListenerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly witness: PublicWitness;
  readonly fault: (error: unknown) => void;
  readonly connectionRefused?: () => void;
}

const plain = "text/plain; charset=utf-8";
const connectionsMax = 64;
/** Signatures verified and states written at once; beyond it a client is told to come again. */
export const submissionsMax = 8;

export class WitnessListener {
  readonly #server: Server;
  readonly #options: WitnessListenerOptions;
  #submissions = 0;

  constructor(options: WitnessListenerOptions) {
    this.#options = options;
    const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 15_000 };
    this.#server = createServer(limits, (request, response) => {
      this.#serve(request, response).catch((error: unknown) => {
        options.fault(error);
        if (response.headersSent) response.destroy();
        else send(response, { status: 503, body: "", headers: { "retry-after": "5" } });
      });
    });
    this.#server.maxConnections = connectionsMax;
    boundSources(this.#server, options.connectionRefused ?? (() => {}));
  }

  /** The port. Rejects when it is taken. */
  start(): Promise<number> {
    return startListening(this.#server, this.#options);
  }

  close(): Promise<void> {
    return endListening(this.#server);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "" } = request;
    if (url === "/add-checkpoint")
      return method === "POST"
        ? this.#add(request, response)
        : send(response, { status: 405, body: "", headers: { allow: "POST" } });
    const hash = /^\/([0-9a-f]{64})\/checkpoint$/.exec(url)?.[1];
    const note = method === "GET" && hash !== undefined ? await this.#options.witness.keptOutside(hash) : null;
    send(response, note === null ? { status: 404, body: "" } : { status: 200, body: note });
  }

  async #add(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, submissionCharactersMax);
    if (body.kind === "gone") return;
    if (body.kind === "too-large") return send(response, { status: 413, body: "", headers: { connection: "close" } });
    const text = decodeUtf8(body.bytes);
    if (text === null) return send(response, { status: 400, body: "" });
    // Counted once the body is there: who sends slowly holds a connection, and nobody else's turn.
    if (this.#submissions >= submissionsMax)
      return send(response, { status: 503, body: "", headers: { "retry-after": "1" } });
    this.#submissions += 1;
    try {
      const answer = await this.#options.witness.addOutside(text);
      send(response, { status: answer.status, body: answer.body, headers: { "content-type": answer.contentType } });
    } finally {
      this.#submissions -= 1;
    }
  }
}

function send(
  response: ServerResponse,
  answer: { readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> },
): void {
  const length = String(Buffer.byteLength(answer.body));
  response
    .writeHead(answer.status, {
      "content-type": plain,
      "content-length": length,
      "cache-control": "no-store",
      ...answer.headers,
    })
    .end(answer.body);
}
