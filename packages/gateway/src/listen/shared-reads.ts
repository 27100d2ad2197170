// Promises that what a socket receives is read into one buffer that all connections of a listener share, instead of into a fresh one of 64 KiB each
// time: a quarter of what a small request costs the sockets. Where Node has it otherwise, reads come as events.
// Trusts the `onread` option of net.Socket, which Node documents and its server has no way to pass; tried by connection.test.ts.
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** Longest read. */
export const sharedReadBytes = 64 * 1024;
/** Majors of Node on which the suite runs this way; every other one gets events. */
const triedMajors: ReadonlySet<string> = new Set(["26"]);
const isTried = triedMajors.has(process.versions.node.split(".")[0] ?? "");

/** What `onread` sets on a socket that is made with it. */
interface UserBuffer {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** The handle behind a socket, as far as `onread` needs it. */
interface ReadingHandle {
  useUserBuffer(buffer: Buffer): void;
}

let found: UserBuffer | null | undefined;

function userBufferOf(socket: Socket): UserBuffer | null {
  if (found !== undefined) return found;
  const named = (description: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === description);
  const buffer = named("kBuffer");
  const callback = named("kBufferCb");
  found = isTried && buffer !== undefined && callback !== undefined ? { buffer, callback } : null;
  return found;
}

/**
 * From now on `read` gets how many octets the next read has put at the start of `buffer`; they are gone once it returns. False where this
 * socket cannot: it emits `data` as ever. For a socket that has just been accepted and has no `data` listener; one that was read before has what came
 * behind that in buffers of its own.
 */
export function readInto(socket: Socket, buffer: Buffer, read: (count: number) => void): boolean {
  // TLS makes its own buffers, and has its own ways to read.
  if (socket instanceof TLSSocket || socket.bytesRead > 0) return false;
  const userBuffer = userBufferOf(socket);
  // No type names the handle: it is what `onread` would be given to.
  const handle = (socket as unknown as { readonly _handle?: Partial<ReadingHandle> | null })._handle;
  if (userBuffer === null || typeof handle?.useUserBuffer !== "function") return false;
  Object.assign(socket, {
    [userBuffer.buffer]: buffer,
    [userBuffer.callback]: (count: number) => {
      read(count);
      return true;
    },
  });
  handle.useUserBuffer(buffer);
  socket.resume();
  return true;
}
