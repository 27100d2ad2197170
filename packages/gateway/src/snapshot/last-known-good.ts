// Promises that a restarted gateway obeys the very snapshot it obeyed before, or says by name why not: altered, older, expired and foreign files
// are refused exactly as from the channel. Trusts the snapshot key fixed at joining, not the disk. Specified in docs/formats/snapshot.md.

import type { LastAccepted, SignedManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import type { RevocationState } from "./revocations.ts";
import type { StateDirectory } from "./state-directory.ts";
import type { RingState } from "./token-ring.ts";

const manifestFile = "manifest.json";
const floorFile = "floor.json";
const keysFile = "keys.json";
const revocationsFile = "revocations.json";
const heartbeatFile = "heartbeat.json";

export interface LastKnownGood {
  readManifest(): SignedManifest | null;
  writeManifest(signed: SignedManifest): void;
  /** The highest (epoch, version) ever accepted: kept apart from the manifest, so that putting back an older file is noticed. */
  readFloor(): LastAccepted | null;
  writeFloor(floor: LastAccepted): void;
  readKeys(): RingState | null;
  writeKeys(state: RingState): void;
  readRevocations(): RevocationState | null;
  writeRevocations(state: RevocationState): void;
  /** Milliseconds since the epoch of the last heartbeat that left no gap; null when there never was one. */
  readHeartbeat(): number | null;
  writeHeartbeat(atMs: number): void;
  readBlob(id: string): Uint8Array | null;
  writeBlob(id: string, bytes: Uint8Array): void;
  /** Forgets blobs that no snapshot in use names. */
  keepBlobs(ids: ReadonlySet<string>): void;
}

/** A state file that is not what we wrote. The gateway then starts without it, which denies. */
export class StateFault extends Error {
  readonly code = "state-unreadable";
  readonly public = "The gateway's stored state cannot be used";
}

export function openLastKnownGood(directory: StateDirectory): LastKnownGood {
  const readJson = <T>(name: string): T | null => {
    const bytes = directory.read(name);
    if (bytes === null) return null;
    try {
      return JSON.parse(Buffer.from(bytes).toString("utf8")) as T; // written by this file; the manifest inside is verified by its signature
    } catch (cause) {
      throw new StateFault(`${name} is not JSON; remove it and the gateway fetches it again`, { cause });
    }
  };
  return {
    readManifest: () => readJson(manifestFile),
    writeManifest: (signed) => directory.write(manifestFile, JSON.stringify(signed)),
    readFloor: () => readJson(floorFile),
    writeFloor: (floor) => directory.write(floorFile, JSON.stringify(floor)),
    readKeys: () => readJson(keysFile),
    writeKeys: (state) => directory.write(keysFile, JSON.stringify(state)),
    readRevocations: () => readJson(revocationsFile),
    writeRevocations: (state) => directory.write(revocationsFile, JSON.stringify(state)),
    readHeartbeat: () => readJson<{ at: number }>(heartbeatFile)?.at ?? null,
    writeHeartbeat: (at) => directory.writeSoon(heartbeatFile, JSON.stringify({ at })),
    readBlob: (id) => directory.read(`blobs/${id}`),
    writeBlob: (id, bytes) => directory.write(`blobs/${id}`, bytes),
    keepBlobs(ids) {
      for (const id of directory.list("blobs")) if (!ids.has(id)) directory.remove(`blobs/${id}`);
    },
  };
}
