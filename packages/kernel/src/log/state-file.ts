// Promises what a start continues from: a staged size, its root, and the intents without an outcome at that size. Trusts its checksum only as far as
// the tiles give the same root; when in doubt the write-ahead log is read from its beginning. Specified in docs/formats/leaf.md "State".
import { printHex } from "@sallyport/protocol/audit/base64.ts";
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
