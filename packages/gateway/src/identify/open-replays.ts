// Promises the replay domain of a gateway: the nonces it gives and the sets of what was used under them, its own or those it shares with the other worker
// threads of its node. Trusts the random port for secrets. Specified in docs/identity.md (DPoP) and docs/workers.md.
import type { GatewayOptions } from "../ports.ts";
import { memoryKey, type NodeMemory } from "../workers/node-memory.ts";
import { createNonces, type Nonces } from "./nonce.ts";
import {
  allocateReplaySet,
  openReplaySet,
  type ReplaySet,
  replaySetSlots,
  signatureReplaySlots,
} from "./replay-set.ts";

export interface ReplayDomain {
  readonly nonces: Nonces;
  /** Of DPoP proofs. */
  readonly proofs: ReplaySet;
  /** Of message signatures; made when the first comes. */
  replays(): ReplaySet;
  /** When the sets began, milliseconds since the epoch. */
  readonly sinceMs: number;
}

export function openReplays(
  options: Pick<GatewayOptions, "node" | "clock" | "random" | "tables" | "worker">,
): ReplayDomain {
  const { node, clock, random, tables, worker } = options;
  if (worker !== undefined) return openShared(worker.memory, node);
  const epoch = Buffer.from(random.bytes(12)).toString("base64url");
  let signatures: ReplaySet | null = null;
  return {
    nonces: createNonces(random.bytes(32), { node, epoch }),
    proofs: openReplaySet(allocateReplaySet(tables?.replaySlots ?? replaySetSlots), random.bytes(32)),
    replays: () => {
      signatures ??= openReplaySet(allocateReplaySet(tables?.signatureSlots ?? signatureReplaySlots), random.bytes(32));
      return signatures;
    },
    sinceMs: clock.now(),
  };
}

function openShared(memory: NodeMemory, node: string): ReplayDomain {
  const signatures = openReplaySet(memory.signatureReplays, memoryKey(memory, "signatures"));
  return {
    nonces: createNonces(memoryKey(memory, "nonces"), { node, epoch: memory.epoch }),
    proofs: openReplaySet(memory.replays, memoryKey(memory, "proofs")),
    replays: () => signatures,
    sinceMs: memory.sinceMs,
  };
}
