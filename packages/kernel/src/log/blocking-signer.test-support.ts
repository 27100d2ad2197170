// Promises a signer of checkpoints that holds the log's thread up while it is told to, and counts the syncs of running segments meanwhile and afterwards: what
// arrives while it holds is what the thread finds waiting. Trusts log-seats.test.ts to let it go.
import { generateKeyPairSync, sign } from "node:crypto";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { CheckpointSigner } from "./checkpoint-signer.ts";

/** Words of the memory it is given. */
export const [holds, isHolding, syncs] = [0, 1, 2];
const rawKeyBytes = 32;
/** A test that failed lets nobody wait for ever. */
const heldMsMax = 120_000;

export function openSigner(memory: SharedArrayBuffer): CheckpointSigner {
  const words = new Int32Array(memory);
  const { fdatasyncSync } = fs;
  fs.fdatasyncSync = (fd) => {
    if (fs.readlinkSync(`/proc/self/fd/${fd}`).endsWith(".wal")) Atomics.add(words, syncs, 1);
    fdatasyncSync(fd);
  };
  syncBuiltinESMExports();
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    publicKey: publicKey.export({ format: "der", type: "spki" }).subarray(-rawKeyBytes),
    sign: (message) => {
      if (Atomics.load(words, holds) === 1) {
        Atomics.store(words, isHolding, 1);
        Atomics.wait(words, holds, 1, heldMsMax);
      }
      return sign(null, message, privateKey);
    },
  };
}
