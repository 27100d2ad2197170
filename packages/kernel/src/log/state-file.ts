// Promises what a start continues from: a staged size, its root, and the intents without an outcome at that size. Trusts its checksum only as far as
// the tiles give the same root; when in doubt the write-ahead log is read from its beginning. Specified in docs/formats/leaf.md "State".
import { printHex, sameBytes } from "@sallyport/protocol/audit/base64.ts";
import { crc32c } from "./crc32c.ts";

export interface LogState {
  readonly size: number;
  readonly root: Uint8Array;
  /** Event ids of intents without an outcome. */
  readonly open: readonly string[];
}

export function printState(state: LogState): string {
  const json = JSON.stringify({ v: 1, size: state.size, root: printHex(state.root), open: state.open });
  return `${json} ${crc32c(Buffer.from(json)).toString(16).padStart(8, "0")}\n`;
}

/** The state, or null for anything but exactly what `printState` writes. */
export function parseState(text: string): LogState | null {
  const match = /^(\{.*\}) ([0-9a-f]{8})\n$/.exec(text);
  const json = match?.[1];
  if (json === undefined || crc32c(Buffer.from(json)).toString(16).padStart(8, "0") !== match?.[2]) return null;
  // The checksum says that printState wrote it.
  const value = JSON.parse(json) as { size: number; root: string; open: string[] };
  return { size: value.size, root: new Uint8Array(Buffer.from(value.root, "hex")), open: value.open };
}

/** What verification knows when it comes to the state. */
export interface KnownEnd {
  readonly published: Pick<LogState, "size" | "root"> | null;
  /** The log is closed and whole: its state is that of its last checkpoint. */
  readonly isDue: boolean;
  /** Intents without an outcome at that size; null when they are not known. */
  readonly open: readonly string[] | null;
}

/** Could the log have written this state? */
export function stateAgrees(state: LogState | null, { published, isDue, open }: KnownEnd): boolean {
  if (state === null) return false;
  if (published === null) return true;
  if (state.size !== published.size) return !isDue;
  if (!sameBytes(state.root, published.root)) return false;
  return open === null || [...state.open].sort().join() === [...open].sort().join();
}
