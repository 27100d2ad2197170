// Promises a provider in a process of its own that fails as it is told, and says each effect it began before it answers. Trusts its parent alone.
import { createServer, type Socket } from "node:net";
import type { Fault, ProviderWord } from "./words.ts";

let fault: Fault = "none";
const slowMs = 400;
const tailEvery = 50;
let served = 0;

function answer(socket: Socket, status: number): void {
  const body = '{"ok":true}';
  socket.write(
    `HTTP/1.1 ${status} x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}

function serve(socket: Socket): void {
  if (fault === "reset") {
    socket.write('HTTP/1.1 200 x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half"');
    setImmediate(() => socket.resetAndDestroy());
  } else if (fault === "tail" && ++served % tailEvery === 0) setTimeout(() => answer(socket, 200), slowMs);
  else if (fault === "status") answer(socket, 503);
  else if (fault === "slow") setTimeout(() => answer(socket, 200), slowMs);
  else if (fault !== "hang") answer(socket, 200);
}

const server = createServer((socket) => {
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1");
    for (;;) {
      const end = text.indexOf("\r\n\r\n");
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, Math.max(0, end)))?.[1] ?? 0);
      if (end < 0 || text.length < end + 4 + length) return;
      const body = text.slice(end + 4, end + 4 + length);
      text = text.slice(end + 4 + length);
      const effect = /"customer":"([^"]+)"/.exec(body)?.[1];
      if (effect === undefined) serve(socket);
      // Told before anything is answered, so that not even a kill hides an effect.
      else process.send?.({ effect } satisfies ProviderWord, undefined, {}, () => serve(socket));
    }
  });
});

process.on("message", (word: { readonly fault: Fault }) => {
  fault = word.fault;
  process.send?.({ fault } satisfies ProviderWord);
});
process.on("disconnect", () => process.exit());
server.listen(Number(process.argv[2]), "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address === "object") process.send?.({ port: address.port } satisfies ProviderWord);
});
