// Promises a provider that fails in the ways providers fail, on purpose and with its own count. Trusts nothing of the gateway.
import { createServer, type Socket } from "node:net";
import { ownPort } from "./own-port.ts";

/** `hang`: no byte comes; `reset`: cut before an answer; `cut`: cut in the middle of one; `stall`: nothing follows there; a number: that status. */
export type Behaviour = "ok" | "hang" | "reset" | "cut" | "stall" | number;

export interface FailingProvider {
  readonly url: string;
  behaviour: Behaviour;
  /** Fields of answers besides their length, each with its line end. */
  fields: string;
  /** What `cut` and `stall` send. */
  cutText: string;
  /** Requests whose head arrived, by their first line. */
  readonly seen: string[];
  /** Their header sections. */
  readonly heads: string[];
  /** Called as a request arrives, before anything becomes of it. */
  reached: (() => void) | null;
  /** Connections open now. */
  connections(): number;
  /** Stops or begins to listen, on the same port. */
  listen(is: boolean): Promise<void>;
  /** Ends what hangs with an answer. */
  release(): void;
  close(): Promise<void>;
}

const cutText = "HTTP/1.1 200 x\r\nContent-Length: 1000\r\n\r\nhalf";

export async function startFailingProvider(name = "one"): Promise<FailingProvider> {
  const sockets = new Set<Socket>();
  const hanging: Socket[] = [];
  const port = await ownPort();
  const answer = (socket: Socket, status: number): void => {
    const body = `{"from":"${name}"}`;
    socket.write(
      `HTTP/1.1 ${status} x\r\nContent-Type: application/json\r\n${provider.fields}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
  };
  const take = (socket: Socket, head: string): void => {
    provider.seen.push(head.slice(0, head.indexOf("\r\n")));
    provider.heads.push(head);
    provider.reached?.();
    const { behaviour } = provider;
    if (behaviour === "ok") answer(socket, 200);
    else if (typeof behaviour === "number") answer(socket, behaviour);
    else if (behaviour === "hang") hanging.push(socket);
    else if (behaviour === "reset") socket.resetAndDestroy();
    else if (behaviour === "stall") socket.write(provider.cutText);
    else if (behaviour === "cut") {
      socket.write(provider.cutText);
      setImmediate(() => socket.destroy());
    }
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (;;) {
        const end = text.indexOf("\r\n\r\n");
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? 0);
        if (end < 0 || text.length < end + 4 + length) return;
        const head = text.slice(0, end + 2);
        text = text.slice(end + 4 + length);
        take(socket, head);
      }
    });
  });
  const listen = async (is: boolean): Promise<void> => {
    if (is === server.listening) return;
    if (is)
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
    else {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    }
  };
  await listen(true);
  const provider: FailingProvider = {
    url: `http://127.0.0.1:${port}`,
    behaviour: "ok",
    fields: "",
    cutText,
    seen: [],
    heads: [],
    reached: null,
    connections: () => sockets.size,
    listen,
    release: () => {
      for (const socket of hanging.splice(0)) answer(socket, 200);
    },
    close: () => listen(false),
  };
  return provider;
}
