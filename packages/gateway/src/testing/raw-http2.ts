// Promises exactly the frames a test says on one TLS connection, and every frame that comes back, read by hand. Trusts nothing: no HTTP/2 library is
// on this side. For tests of what a well-behaved client would never send. Formats: RFC 9113, RFC 7541.
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { errorCode, frame, frameFlag, frameHeadBytes, frameType, preface } from "@sallyport/kernel/http2/frames.ts";
import { HeaderDecoder } from "@sallyport/kernel/http2/header-decoder.ts";

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface ReceivedStream {
  /** Of each header block: the head, and trailers where there are any. */
  readonly blocks: readonly Readonly<Record<string, string>>[];
  readonly text: string;
  readonly ended: boolean;
  /** Error code of its RST_STREAM. */
  readonly reset: number | null;
}

export type Fields = readonly (readonly [string, string])[];

const waitMs = 60_000;

/** A literal field without indexing and without Huffman code (RFC 7541 §6.2.2): whatever the test says, to the octet. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const octets = Buffer.from(value, "latin1");
  if (octets.length < 127) return Buffer.concat([Buffer.from([octets.length]), octets]);
  const rest: number[] = [];
  let left = octets.length - 127;
  for (; left >= 128; left = Math.floor(left / 128)) rest.push((left % 128) + 128);
  return Buffer.concat([Buffer.from([127, ...rest, left]), octets]);
}

export const blockOf = (fields: Fields): Buffer => Buffer.concat(fields.map(([name, value]) => literal(name, value)));

export const settingsFrame = (entries: readonly (readonly [number, number])[] = []): Buffer =>
  frame(
    { type: frameType.settings, flags: 0, stream: 0 },
    Buffer.concat(
      entries.map(([id, value]) => {
        const entry = Buffer.alloc(6);
        entry.writeUInt16BE(id, 0);
        entry.writeUInt32BE(value, 2);
        return entry;
      }),
    ),
  );

export const headersFrame = (stream: number, fields: Fields, flags: number = frameFlag.endStream): Buffer =>
  frame({ type: frameType.headers, flags: flags | frameFlag.endHeaders, stream }, blockOf(fields));

export const dataFrame = (stream: number, content: string | Buffer, flags = 0): Buffer =>
  frame({ type: frameType.data, flags, stream }, Buffer.from(content));

export function numberFrame(type: number, stream: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value, 0);
  return frame({ type, flags: 0, stream }, payload);
}

export class RawHttp2 {
  readonly socket: TLSSocket;
  readonly frames: ReceivedFrame[] = [];
  closed = false;
  #octets = Buffer.alloc(0);
  readonly #decoder = new HeaderDecoder({ listBytesMax: 64 * 1024, fieldsMax: 1_000 });
  readonly #blocks = new Map<number, Record<string, string>[]>();
  readonly #watchers = new Set<() => void>();

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on("data", (octets: Buffer) => this.#read(octets));
    socket.on("error", () => {
      // Its end is told by `close`.
    });
    socket.on("close", () => {
      this.closed = true;
      this.#tell();
    });
  }

  /** Shakes hands offering `h2`, and sends preface and settings unless told otherwise. */
  static async open(
    url: string,
    tls: { readonly ca: string; readonly cert?: string; readonly key?: string },
    begin: Buffer = Buffer.concat([preface, settingsFrame()]),
  ): Promise<RawHttp2> {
    const { port } = new URL(url);
    const socket = connect({
      ...{ host: "127.0.0.1", port: Number(port), servername: "localhost", ALPNProtocols: ["h2"] },
      ...tls,
    });
    await once(socket, "secureConnect");
    if (socket.alpnProtocol !== "h2") throw new Error("h2 was not chosen");
    const raw = new RawHttp2(socket);
    raw.send(begin);
    return raw;
  }

  send(...frames: readonly Buffer[]): void {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(frames));
  }

  /** Says that the other side's settings were heard. */
  async acknowledge(): Promise<void> {
    await this.until(() => this.frames.some(({ type, flags }) => type === frameType.settings && flags === 0));
    this.send(frame({ type: frameType.settings, flags: frameFlag.ack, stream: 0 }, Buffer.alloc(0)));
  }

  stream(id: number): ReceivedStream {
    const own = this.frames.filter(({ stream }) => stream === id);
    const reset = own.find(({ type }) => type === frameType.rstStream);
    return {
      blocks: this.#blocks.get(id) ?? [],
      text: Buffer.concat(own.filter(({ type }) => type === frameType.data).map(({ payload }) => payload)).toString(),
      ended: own.some(({ type, flags }) => type < 2 && (flags & frameFlag.endStream) !== 0),
      reset: reset === undefined ? null : reset.payload.readUInt32BE(0),
    };
  }

  /** Resolves when the answer on this stream is whole, or there will be none. */
  async answer(id: number): Promise<ReceivedStream> {
    await this.until(() => this.closed || this.stream(id).ended || this.stream(id).reset !== null);
    return this.stream(id);
  }

  /** Error code of the last GOAWAY; null: none came. */
  get goAway(): number | null {
    const said = this.frames.filter(({ type }) => type === frameType.goAway).at(-1);
    return said === undefined ? null : said.payload.readUInt32BE(4);
  }

  /** Resolves with the code the connection ended with. */
  async ended(): Promise<number | null> {
    await this.until(() => this.closed || (this.goAway ?? errorCode.none) !== errorCode.none);
    return this.goAway;
  }

  until(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!done()) return;
        clearTimeout(limit);
        this.#watchers.delete(look);
        resolve();
      };
      const limit = setTimeout(() => {
        this.#watchers.delete(look);
        reject(new Error(`waited too long; frames: ${this.frames.map(({ type, stream }) => `${type}@${stream}`)}`));
      }, waitMs);
      this.#watchers.add(look);
      look();
    });
  }

  close(): void {
    this.socket.destroy();
  }

  #read(octets: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, octets]);
    while (this.#octets.length >= frameHeadBytes) {
      const length = this.#octets.readUIntBE(0, 3);
      if (this.#octets.length < frameHeadBytes + length) break;
      const received = {
        type: this.#octets[3] ?? 0,
        flags: this.#octets[4] ?? 0,
        stream: this.#octets.readUInt32BE(5),
        payload: Buffer.from(this.#octets.subarray(frameHeadBytes, frameHeadBytes + length)),
      };
      this.#octets = this.#octets.subarray(frameHeadBytes + length);
      this.#take(received);
    }
    this.#tell();
  }

  #take(received: ReceivedFrame): void {
    this.frames.push(received);
    if (received.type !== frameType.headers) return;
    const read = this.#decoder.read(received.payload);
    if (read.kind !== "fields") throw new Error(`an answer's header block is ${read.kind}`);
    const fields: Record<string, string> = {};
    for (let i = 0; i + 1 < read.fields.length; i += 2) fields[read.fields[i] ?? ""] = read.fields[i + 1] ?? "";
    this.#blocks.set(received.stream, [...(this.#blocks.get(received.stream) ?? []), fields]);
  }

  #tell(): void {
    for (const look of this.#watchers) look();
  }
}
