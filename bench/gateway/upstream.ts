// Promises the cheapest upstream that still speaks HTTP/1.1: it must never be what is measured. Counts what reaches it.
// Trusts its two proxies to frame with Content-Length. Shape of the answer: roles.ts.
import { type AddressInfo, createServer, type Socket } from "node:net";
import { answerQuestions } from "./process.ts";
import { upstreamContent } from "./roles.ts";

const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${upstreamContent.length}\r\n\r\n${upstreamContent}`,
);
const headersEnd = Buffer.from("\r\n\r\n");
const length = /\r\ncontent-length: *(\d+)/i;
const headBytesMax = 64 * 1024;
let requests = 0;

/** Answers every whole request in what has come; gives back the rest. */
function answerWhole(socket: Socket, received: Buffer): Buffer {
  let rest = received;
  for (;;) {
    const head = rest.indexOf(headersEnd);
    if (head < 0) {
      if (rest.length > headBytesMax) socket.destroy();
      return rest;
    }
    const isGet = rest[0] === 0x47;
    const content = isGet ? 0 : Number(length.exec(rest.toString("latin1", 0, head))?.[1] ?? Number.NaN);
    if (Number.isNaN(content)) {
      socket.destroy();
      return rest;
    }
    const end = head + headersEnd.length + content;
    if (rest.length < end) return rest;
    requests++;
    socket.write(answer);
    rest = rest.subarray(end);
  }
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    rest = answerWhole(socket, rest.length === 0 ? chunk : Buffer.concat([rest, chunk]));
  });
  socket.on("error", () => socket.destroy());
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

answerQuestions(
  {
    port: () => (server.address() as AddressInfo).port, // listening on TCP
    requests: () => requests,
  },
  () => void server.close(),
);
