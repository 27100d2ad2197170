// Promises a gateway between two ends that are nothing but sockets and a test's own octets: a provider that answers handshakes as it is told, and callers
// that send what no library would. Trusts its caller to close it. Specified in RFC 6455.
import { createHash, randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import type { WebSocketRule } from "@sallyport/protocol/snapshot/objects.ts";
import { openTestLog } from "./open-test-log.ts";
import { outcomeOf, startTestGateway, type TestGateway, type TestGatewayOptions, until } from "./start-test-gateway.ts";
import { TestCaller, type TokenChanges } from "./test-caller.ts";
import type { TestEstate } from "./test-estate.ts";

export interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly payload: Buffer;
}

/** One end of a connection: all it has received, and the frames in it. */
export class RawEnd {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (octets: Buffer) => {
      this.received = Buffer.concat([this.received, octets]);
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isClosed = true;
    });
  }

  /** Head of the message, once it is whole. */
  async head(): Promise<string> {
    await until(() => this.received.includes("\r\n\r\n") || this.isClosed, "a head");
    return this.received.subarray(0, Math.max(0, this.received.indexOf("\r\n\r\n"))).toString("latin1");
  }

  frames(): readonly Frame[] {
    const at = this.received.indexOf("\r\n\r\n");
    return at < 0 ? [] : readFrames(this.received.subarray(at + 4));
  }

  /** The messages put together again, and control frames among them. */
  async frameAt(index: number): Promise<Frame> {
    await until(() => this.frames().length > index || this.isClosed, `frame ${index}`);
    const found = this.frames()[index];
    if (found === undefined) throw new Error(`there is no frame ${index}`);
    return found;
  }

  /** Code and reason of the Close it got. */
  async close(): Promise<readonly [number, string]> {
    await until(() => this.frames().some(({ opcode }) => opcode === 8) || this.isClosed, "a Close");
    const payload = this.frames().find(({ opcode }) => opcode === 8)?.payload;
    if (payload === undefined) throw new Error("it got no Close");
    return payload.length === 0 ? [1005, ""] : [payload.readUInt16BE(0), payload.subarray(2).toString("utf8")];
  }

  send(...octets: readonly (Buffer | string)[]): void {
    for (const one of octets) this.socket.write(one);
  }
}

/** A reader of its own, so that the gateway's does not judge itself. */
function readFrames(octets: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 2 <= octets.length; ) {
    const [first = 0, second = 0] = octets.subarray(at, at + 2);
    let length = second & 0x7f;
    let from = at + 2;
    if (length === 126) {
      if (octets.length < from + 2) break;
      length = octets.readUInt16BE(from);
      from += 2;
    } else if (length === 127) {
      if (octets.length < from + 8) break;
      length = Number(octets.readBigUInt64BE(from));
      from += 8;
    }
    const mask = (second & 0x80) === 0 ? null : octets.subarray(from, from + 4);
    if (mask !== null) from += 4;
    if (octets.length < from + length) break;
    const payload = Buffer.from(octets.subarray(from, from + length));
    if (mask !== null) for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i % 4] ?? 0);
    frames.push({ opcode: first & 0x0f, isFinal: (first & 0x80) !== 0, payload });
    at = from + length;
  }
  return frames;
}

export interface FrameMaking {
  readonly opcode?: number;
  readonly isFinal?: boolean;
  readonly reserved?: number;
  readonly isMasked?: boolean;
  /** Octets of the length, where they are not the fewest. */
  readonly lengthBytes?: 0 | 2 | 8;
}

/** One frame as a caller (masked) or, with `isMasked: false`, a provider sends it. */
export function makeFrame(payload: string | Buffer, making: FrameMaking = {}): Buffer {
  const { opcode = 1, isFinal = true, reserved = 0, isMasked = true } = making;
  const content = Buffer.from(payload);
  const lengthBytes = making.lengthBytes ?? (content.length < 126 ? 0 : content.length < 65_536 ? 2 : 8);
  const length = Buffer.alloc(1 + lengthBytes);
  if (lengthBytes === 2) length.writeUInt16BE(content.length, 1);
  if (lengthBytes === 8) length.writeBigUInt64BE(BigInt(content.length), 1);
  length[0] = (isMasked ? 0x80 : 0) | (lengthBytes === 0 ? content.length : lengthBytes === 2 ? 126 : 127);
  const mask = isMasked ? randomBytes(4) : Buffer.alloc(0);
  if (isMasked) for (let i = 0; i < content.length; i++) content[i] = (content[i] ?? 0) ^ (mask[i % 4] ?? 0);
  return Buffer.concat([Buffer.from([(isFinal ? 0x80 : 0) | (reserved << 4) | opcode]), length, mask, content]);
}

export function closeFrame(code: number, reason = "", isMasked = true): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return makeFrame(Buffer.concat([payload, Buffer.from(reason)]), { opcode: 8, isMasked });
}

export interface WebSocketBench {
  readonly bed: TestGateway;
  readonly orders: TestCaller;
  readonly portal: TestCaller;
  readonly url: string;
  /** Handshakes that reached the provider, in order. */
  readonly providers: RawEnd[];
  /** Answers a handshake; the default is the right 101. */
  answer(end: RawEnd, key: string): void;
  publish(change?: (estate: TestEstate) => TestEstate): Promise<void>;
  /** The fields of a good handshake. */
  fields(who: TestCaller, path?: string, claims?: TokenChanges): Promise<string[]>;
  /** Sends a handshake; `lines` behind the good fields. */
  open(options?: OpenOptions): Promise<RawEnd>;
  outcome(id: string): Promise<Extract<Leaf, { t: "outcome" }>>;
  close(): Promise<void>;
}

export interface OpenOptions {
  readonly who?: TestCaller;
  readonly path?: string;
  readonly claims?: TokenChanges;
  /** Changes the request before it is sent. */
  readonly bend?: (head: string) => string;
}

export const callerKey = "dGhlIHNhbXBsZSBub25jZQ==";
export const acceptFor = (key: string): string =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
export const switching = (key: string, ...lines: readonly string[]): string =>
  [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptFor(key)}`,
    ...lines,
    "",
    "",
  ].join("\r\n");
/** The crossing an answer names. */
export const idOf = (head: string): string => /^sallyport-crossing: (\S+)$/im.exec(head)?.[1] ?? "";

const rule: WebSocketRule = {
  origins: ["https://shop.example"],
  protocols: ["prices.v1", "prices.v2"],
  messageBytesMax: 100_000,
  bytesMax: 8_000_000,
  idleMs: 60_000,
};

export function pricesEstate(url: string): TestEstate {
  const watch = (name: string, changes: Partial<WebSocketRule>) => ({
    name: `price.${name}`,
    method: "GET",
    path: `/v1/${name}`,
    changes: { webSocket: { ...rule, ...changes } },
  });
  const operations = [
    watch("watch", {}),
    watch("idle", { idleMs: 150 }),
    watch("little", { bytesMax: 1_000 }),
    watch("wide", { bytesMax: 1_000_000_000 }),
    { name: "price.read", method: "GET", path: "/v1/price" },
  ];
  return {
    systems: [
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
      { id: "prices", url, operations },
    ],
    integrations: ["orders", "portal"].map((from) => ({
      id: `${from}-to-prices`,
      from,
      to: "prices",
      operations: operations.map(({ name }) => ({ name })),
    })),
  };
}

export async function openWebSocketBench(
  options: Partial<Omit<TestGatewayOptions, "estate" | "openLog">> = {},
): Promise<WebSocketBench> {
  const providers: RawEnd[] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const end = new RawEnd(socket);
    const look = (): void => {
      if (!end.received.includes("\r\n\r\n")) return;
      socket.off("data", look);
      providers.push(end);
      bench.answer(end, /^sec-websocket-key: (\S+)\r$/im.exec(end.received.toString("latin1"))?.[1] ?? "");
    };
    socket.on("data", look);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the provider has no address");
  const upstream = `http://127.0.0.1:${address.port}`;
  const bed = await startTestGateway({ estate: pricesEstate(upstream), openLog: openTestLog, ...options });
  const url = bed.addresses[0]?.url ?? "";
  const caller = (client: string) => new TestCaller(bed.feed, client, () => bed.clock.now());
  const bench: WebSocketBench = {
    bed,
    orders: caller("orders"),
    portal: caller("portal"),
    url,
    providers,
    answer: (end, key) => end.send(switching(key)),
    publish: (change = (estate) => estate) => bed.publish(change(pricesEstate(upstream))),
    async fields(who, path = "/prices/v1/watch", claims = {}) {
      if (who.nonce === undefined) await who.learnNonce(`${url}${path}`);
      const token = who.token("prices", claims);
      return [`Authorization: DPoP ${token}`, `DPoP: ${who.proof("GET", `${url}${path}`, token)}`];
    },
    async open({ who = bench.orders, path = "/prices/v1/watch", claims, bend = (head: string) => head } = {}) {
      const head = [
        `GET ${path} HTTP/1.1`,
        `Host: ${new URL(url).host}`,
        ...(await bench.fields(who, path, claims)),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        `Sec-WebSocket-Key: ${callerKey}`,
      ];
      const socket = connect(Number(new URL(url).port), "127.0.0.1");
      sockets.push(socket);
      const end = new RawEnd(socket);
      end.send(bend(`${head.join("\r\n")}\r\n\r\n`));
      await end.head();
      return end;
    },
    outcome: (id) => outcomeOf(bed, id),
    async close() {
      for (const socket of sockets) socket.destroy();
      await bed.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return bench;
}
