// Promises whether this node is ready, as `grpc.health.v1.Health` says it, to whoever can reach the status listener: Check at once, Watch whenever it changes.
// Trusts whoever can reach it with nothing but that. Specified in docs/cli/serve.md "Status listener"; the gRPC health checking protocol (grpc/doc/health-checking.md).
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";

export interface HealthAnswers {
  isReady(): Promise<boolean>;
  /** May it be asked under that name? */
  isMeant(authority: string | undefined): boolean;
}

const service = "/grpc.health.v1.Health/";
/** A question names one service; nobody here has a longer name. */
const questionBytesMax = 1_024;
const streamsMax = 8;
const pollMs = 1_000;
const prefixBytes = 5;

const served = { serving: 1, notServing: 2, unknown: 3 } as const;
const grpc = { ok: "0", notFound: "5", denied: "7", tooLarge: "8", unimplemented: "12", internal: "13" } as const;

/** Given connections, it never listens itself. */
export function grpcHealthServer(answers: HealthAnswers): Http2Server {
  const server = createServer({ settings: { maxConcurrentStreams: streamsMax, maxHeaderListSize: 8_192 } });
  server.on("session", (session) => session.on("error", () => session.destroy()));
  server.on("sessionError", () => {
    // Told by the session itself.
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => stream.destroy());
    const path = headers[":path"] ?? "";
    if (headers[":method"] !== "POST" || !headers["content-type"]?.startsWith("application/grpc")) refuse(stream, 415);
    else if (!answers.isMeant(authorityOf(headers)))
      end(stream, grpc.denied, "this address answers to loopback names only");
    else if (path !== `${service}Check` && path !== `${service}Watch`)
      end(stream, grpc.unimplemented, "Check and Watch");
    else read(stream, (question) => void answer(stream, { question, path, answers }));
  });
  return server;
}

const authorityOf = (headers: IncomingHttpHeaders): string | undefined => headers[":authority"] ?? headers["host"];

function refuse(stream: ServerHttp2Stream, status: number): void {
  stream.respond({ ":status": status }, { endStream: true });
}

/** An answer of nothing but trailers. */
function end(stream: ServerHttp2Stream, status: string, message: string): void {
  if (stream.destroyed || stream.headersSent) return;
  const fields = { ":status": 200, "content-type": "application/grpc", "grpc-status": status, "grpc-message": message };
  stream.respond(fields, { endStream: true });
}

/** The one message of a call; another length, or one that is compressed, is refused. */
function read(stream: ServerHttp2Stream, told: (question: Buffer) => void): void {
  const pieces: Buffer[] = [];
  let length = 0;
  stream.on("data", (piece: Buffer) => {
    length += piece.length;
    if (length > questionBytesMax) end(stream, grpc.tooLarge, "the question is too long");
    else pieces.push(piece);
  });
  stream.once("end", () => {
    const octets = Buffer.concat(pieces);
    if (stream.headersSent) return;
    if (octets.length < prefixBytes || octets[0] !== 0 || octets.readUInt32BE(1) !== octets.length - prefixBytes)
      end(stream, grpc.internal, "no one message");
    else told(octets.subarray(prefixBytes));
  });
}

interface Asked {
  /** Of a node that has no other name than none: empty, or a field 1 that is empty. */
  readonly question: Buffer;
  readonly path: string;
  readonly answers: HealthAnswers;
}

async function answer(stream: ServerHttp2Stream, { question, path, answers }: Asked): Promise<void> {
  const isNode = question.length === 0 || question.equals(Buffer.from([0x0a, 0]));
  const status = async (): Promise<number> => {
    if (!isNode) return served.unknown;
    const isReady = await answers.isReady().catch(() => false);
    return isReady ? served.serving : served.notServing;
  };
  const first = await status();
  if (stream.destroyed) return;
  const isWatch = path.endsWith("Watch");
  if (!isWatch && !isNode) {
    end(stream, grpc.notFound, "only the node itself has a health here: leave the service out");
    return;
  }
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": grpc.ok }));
  stream.write(messageOf(first));
  if (isWatch) watch(stream, first, status);
  else stream.end();
}

function watch(stream: ServerHttp2Stream, first: number, status: () => Promise<number>): void {
  let last = first;
  const timer = setInterval(async () => {
    const now = await status();
    if (now === last || stream.destroyed) return;
    last = now;
    stream.write(messageOf(now));
  }, pollMs);
  timer.unref();
  stream.once("close", () => clearInterval(timer));
}

/** `HealthCheckResponse`: field 1, an enum. */
const messageOf = (status: number): Buffer => Buffer.from([0, 0, 0, 0, 2, 0x08, status]);
