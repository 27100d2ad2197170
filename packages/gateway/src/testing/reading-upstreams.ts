// Promises providers that say how they read each request that came to them: a node:http server, and Debian's nginx, whose own reading is what it sends on.
// Trusts node:http where it stands behind nginx: nginx writes each request anew. For tests that compare readings.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One request, as a provider read it. */
export interface ReadRequest {
  readonly crossing: string;
  readonly method: string;
  readonly target: string;
  /** Of its content: length, and the beginning of its SHA-256. */
  readonly bytes: number;
  readonly digest: string;
  /** Fields of the caller's that are passed on, names in lower case, in order. */
  readonly fields: readonly string[];
}

export interface ReadingUpstream {
  readonly url: string;
  /** In the order they came to their end. */
  readonly seen: ReadRequest[];
  /** What it could not read, in its own words; it closes the connection then. */
  refusals(): readonly string[];
  /** Connections that were used for more than one request. */
  reused(): number;
  close(): Promise<void>;
}

/** Fields that tests give to requests; all others are the gateway's, or end at it. */
const watched: ReadonlySet<string> = new Set([
  "content-type",
  "x-probe",
  "x-empty",
  "cookie",
  "accept",
  "x",
  "x-a",
  "x-b",
]);

function fieldsOf({ rawHeaders }: IncomingMessage): string[] {
  const fields: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    if (watched.has(name)) fields.push(`${name}: ${rawHeaders[i + 1] ?? ""}`);
  }
  return fields.toSorted();
}

/** Answers with the crossing whose request this is, so that an answer given to another one is found. */
function answer(request: IncomingMessage, response: ServerResponse, seen: ReadRequest[]): void {
  const digest = createHash("sha256");
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    digest.update(piece);
    bytes += piece.length;
  });
  request.on("error", () => response.destroy());
  request.on("end", () => {
    const crossing = String(request.headers["sallyport-crossing"] ?? "");
    seen.push({
      ...{ crossing, bytes, digest: digest.digest("hex").slice(0, 16), fields: fieldsOf(request) },
      ...{ method: request.method ?? "", target: request.url ?? "" },
    });
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ of: crossing }));
  });
}

/** The gateway hung up in the middle of content that it was passing on: nobody takes that for a request. */
const isCutShort = ({ code }: NodeJS.ErrnoException): boolean =>
  code === "ECONNRESET" || code === "HPE_INVALID_EOF_STATE";

export async function startNodeUpstream(): Promise<ReadingUpstream> {
  const seen: ReadRequest[] = [];
  const refused: string[] = [];
  const requests = new Map<object, number>();
  const server = createServer((request, response) => {
    requests.set(request.socket, (requests.get(request.socket) ?? 0) + 1);
    answer(request, response, seen);
  });
  server.keepAliveTimeout = 60_000;
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!isCutShort(error)) refused.push(error.code ?? error.message);
    socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the upstream has no address");
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    refusals: () => refused,
    reused: () => [...requests.values()].filter((count) => count > 1).length,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** nginx as people run it: its reading goes to a node:http server behind it, with its own request line beside what it made of it. */
export async function startNginxUpstream(program: string): Promise<ReadingUpstream> {
  const behind = await startNodeUpstream();
  const folder = mkdtempSync(join(tmpdir(), "sallyport-nginx-"));
  const read = (name: string): readonly string[] => readFileSync(join(folder, name), "utf8").split("\n");
  const { child, port } = await startNginx(program, folder, behind.url);
  return {
    url: `http://127.0.0.1:${port}`,
    seen: behind.seen,
    // Each of its reasons to answer 400 or 413 begins so.
    refusals: () => [
      ...read("error.log").filter((line) => / client (?:sent|intended) /.test(line)),
      ...behind.refusals(),
    ],
    reused: () => read("access.log").filter((line) => line === "2").length,
    close: async () => {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
      await behind.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function configuration(folder: string, port: number, behind: string): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  return `daemon off; ${process.getuid?.() === 0 ? "user root;" : ""} pid ${folder}/pid; error_log ${folder}/error.log info; worker_processes 1;
events {} http { ${folders.join(" ")}
log_format nth "$connection_requests"; access_log ${folder}/access.log nth;
server {
  listen 127.0.0.1:${port}; keepalive_timeout 60s; keepalive_requests 1000000; merge_slashes off;
  client_body_buffer_size 1m; client_max_body_size 2m;
  location / { proxy_pass ${behind}; proxy_set_header Host $http_host; }
} }`;
}

const attempts = 5;

async function startNginx(
  program: string,
  folder: string,
  behind: string,
): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const file = join(folder, "nginx.conf");
    writeFileSync(file, configuration(folder, port, behind));
    const child = spawn(program, ["-p", folder, "-e", "stderr", "-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr.on("data", (text) => {
      said += String(text);
    });
    while (child.exitCode === null) if (await answers(port)) return { child, port };
    // Somebody else took the port meanwhile.
    if (attempt === attempts) throw new Error(`nginx ended: ${said}`);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.end());
    socket.once("error", () => setTimeout(resolve, 20, false));
    socket.once("close", (failed) => !failed && resolve(true));
    socket.resume();
  });
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
