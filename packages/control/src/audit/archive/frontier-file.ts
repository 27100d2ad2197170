// Promises the Merkle state of an archived origin at its newest checkpoint, so that a start need not read the whole log. Trusts the root alone:
// a file that does not give the root of the checkpoint is as good as none. Described in docs/audit.md "The archive".
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { sameBytes } from "@sallyport/protocol/audit/base64.ts";
import type { Checkpoint } from "@sallyport/protocol/audit/checkpoint.ts";
import { Frontier } from "@sallyport/protocol/audit/merkle.ts";

/** One line of JSON: version, size, and the hash of each complete subtree by its height. */
export function printFrontier(frontier: Frontier): string {
  const subtrees = frontier.subtrees().map(({ height, hash }) => [height, Buffer.from(hash).toString("hex")]);
  return `${JSON.stringify({ v: 1, size: frontier.size, subtrees })}\n`;
}

/** A frontier that has exactly the size and root of the checkpoint, or null. */
export function parseFrontier(text: string, checkpoint: Pick<Checkpoint, "size" | "root">): Frontier | null {
  const match = /^\{"v":1,"size":([0-9]{1,16}),"subtrees":(\[.{0,8000}\])\}\n$/.exec(text);
  if (match === null || Number(match[1]) !== checkpoint.size) return null;
  try {
    // Whatever it holds: what does not lead to the signed root is not used.
    const byHeight = new Map(JSON.parse(match[2] ?? "") as [number, string][]);
    const frontier = new Frontier(sha256);
    frontier.restore(checkpoint.size, (height) => new Uint8Array(Buffer.from(byHeight.get(height) ?? "", "hex")));
    return sameBytes(frontier.root(), checkpoint.root) ? frontier : null;
  } catch {
    return null;
  }
}

/** A second one in the same state. */
export function copyFrontier(frontier: Frontier): Frontier {
  const byHeight = new Map(frontier.subtrees().map(({ height, hash }) => [height, hash]));
  const copy = new Frontier(sha256);
  // `restore` asks for exactly the heights that a frontier of this size has.
  copy.restore(frontier.size, (height) => byHeight.get(height) ?? new Uint8Array(32));
  return copy;
}
