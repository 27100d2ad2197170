// Promises that what a node keeps of snapshots, keys and revocations only moves forward, whichever of its workers is ahead. One thread writes.
// Trusts last-known-good.ts for the files. Specified in docs/workers.md and docs/formats/snapshot.md.
import type { LastAccepted, SignedManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import type { LastKnownGood } from "../snapshot/last-known-good.ts";
import type { KeptWrite } from "./messages.ts";

export class KeptState {
  readonly #kept: LastKnownGood;
  #floor: LastAccepted | null;
  #keySeq: number;
  #revocationSeq: number;
  #heartbeatAt: number;
  /** Of each worker: the manifest it has put in force and says the floor of next, and that floor. */
  readonly #manifests = new Map<number, SignedManifest>();
  readonly #floors = new Map<number, LastAccepted>();

  constructor(kept: LastKnownGood) {
    this.#kept = kept;
    this.#floor = kept.readFloor();
    this.#keySeq = kept.readKeys()?.seq ?? 0;
    this.#revocationSeq = kept.readRevocations()?.seq ?? 0;
    this.#heartbeatAt = kept.readHeartbeat() ?? 0;
  }

  write(worker: number, write: KeptWrite): void {
    const kept = this.#kept;
    switch (write[0]) {
      case "writeBlob":
        if (kept.readBlob(write[1]) === null) kept.writeBlob(write[1], write[2]);
        return;
      case "writeManifest":
        this.#manifests.set(worker, write[1]);
        return;
      case "writeFloor":
        this.#writeFloor(worker, write[1]);
        return;
      case "writeKeys":
        if (write[1].seq <= this.#keySeq) return;
        this.#keySeq = write[1].seq;
        kept.writeKeys(write[1]);
        return;
      case "writeRevocations":
        if (write[1].seq <= this.#revocationSeq) return;
        this.#revocationSeq = write[1].seq;
        kept.writeRevocations(write[1]);
        return;
      case "writeHeartbeat":
        if (write[1] <= this.#heartbeatAt) return;
        this.#heartbeatAt = write[1];
        kept.writeHeartbeat(write[1]);
        return;
      case "keepBlobs": {
        // One that is behind would take away what the newer snapshot on the disk is made of.
        const floor = this.#floors.get(worker) ?? this.#floor;
        if (floor?.digest === this.#floor?.digest) kept.keepBlobs(write[1]);
        return;
      }
    }
  }

  #writeFloor(worker: number, floor: LastAccepted): void {
    const manifest = this.#manifests.get(worker);
    this.#manifests.delete(worker);
    this.#floors.set(worker, floor);
    const isNewer =
      this.#floor === null ||
      floor.epoch > this.#floor.epoch ||
      (floor.epoch === this.#floor.epoch && floor.version > this.#floor.version);
    if (!isNewer || manifest === undefined) return;
    this.#kept.writeManifest(manifest);
    this.#kept.writeFloor(floor);
    this.#floor = floor;
  }
}
