// Promises that the gateway obeys exactly the newest snapshot control signed for its group, with the keys and revocations that belong to it, and
// that a refused one is named and changes nothing. Trusts acceptManifest, the blobs' hashes and the channel's order. Specified in
// docs/formats/snapshot.md and docs/formats/join.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { DownMessage, Revocation, SnapshotFeed, UpMessage } from "@sallyport/protocol/channel/messages.ts";
import {
  acceptManifest,
  blobMatches,
  type LastAccepted,
  openManifest,
  type RefusedSnapshot,
  type SignedManifest,
  type SnapshotManifest,
} from "@sallyport/protocol/snapshot/manifest.ts";
import type { TokenCrypto, VerifyKey } from "@sallyport/protocol/token/crypto.ts";
import type { GatewayIdentity, Logger } from "../ports.ts";
import type { LastKnownGood } from "./last-known-good.ts";
import { type Moment, NewerOffer, type WaitingSnapshot } from "./newer-offer.ts";
import type { Revocations } from "./revocations.ts";
import type { TokenRing } from "./token-ring.ts";

/** Blobs asked for at once. */
const blobRequestsMax = 8;
/** A feed is reopened for a gap at most this often. */
const reopenMs = 1_000;
/** Heartbeats are written down at most this often; a lost one only makes the gateway stricter. */
const heartbeatWriteMs = 1_000;

export interface FollowerPorts {
  readonly identity: GatewayIdentity;
  readonly snapshotKey: VerifyKey;
  readonly crypto: TokenCrypto;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly feed: SnapshotFeed;
  readonly disk: LastKnownGood;
  readonly ring: TokenRing;
  readonly revocations: Revocations;
  /** Compiles and puts in force; throws when it cannot. */
  swap(manifest: SnapshotManifest, blob: (id: string) => Uint8Array): void;
  /** These have just been taken. */
  revoked(entries: readonly Revocation[]): void;
  /** Tokens are verified with other keys from now on. */
  ringChanged(): void;
  refused(refusal: RefusedSnapshot): void;
  /** An accepted offer could not be fetched or put in force; it is tried again. */
  attemptFailed(): void;
  /** Messages that are not about snapshots, keys or revocations. */
  other(message: DownMessage, send: (message: UpMessage) => void): void;
}

export class SnapshotFollower {
  readonly #ports: FollowerPorts;
  #floor: LastAccepted | null = null;
  #channel: ReturnType<SnapshotFeed["open"]> | null = null;
  /** When we last heard, on both clocks; null when never. */
  #heard: { readonly wallMs: number; readonly monotonicMs: number; readonly beforeMs: number } | null = null;
  #heartbeatWrittenMs = Number.NEGATIVE_INFINITY;
  #reopenedMs = Number.NEGATIVE_INFINITY;
  #waiting: SignedManifest | null = null;
  #working: Promise<void> = Promise.resolve();
  #closed = false;
  readonly #newer: NewerOffer;
  /** Digest of the snapshot in force. */
  #inForce: string | null = null;

  constructor(ports: FollowerPorts) {
    this.#ports = ports;
    const { clock, random } = ports;
    this.#newer = new NewerOffer({ clock, random, again: (signed) => this.#offer(signed) });
    const storedMs = ports.disk.readHeartbeat();
    const { wallMs, monotonicMs } = this.#moment();
    // A stored time in the future says that a clock was set; then nothing was heard.
    if (storedMs !== null && storedMs <= wallMs) this.#heard = { wallMs, monotonicMs, beforeMs: wallMs - storedMs };
  }

  /** A newer snapshot than the one in force, offered and not yet taken. */
  waiting(): WaitingSnapshot | null {
    return this.#newer.waiting();
  }

  /**
   * Milliseconds since the last heartbeat that left no gap, also over restarts; infinite when there never was one. Heartbeats do not
   * make fresh what is known to be superseded: after `newerWaitingMsMax` it counts from the offer that could not be taken.
   */
  stalenessMs(): number {
    return Math.max(this.#silenceMs(), this.#newer.stalenessMs());
  }

  #moment(): Moment {
    const { clock } = this.#ports;
    return { wallMs: clock.now(), monotonicMs: clock.monotonic() };
  }

  #silenceMs(): number {
    const heard = this.#heard;
    if (heard === null) return Number.POSITIVE_INFINITY;
    const { clock } = this.#ports;
    // The larger of both: a wall clock set back must not make us fresh, nor a monotonic one that stood still while the machine slept.
    return heard.beforeMs + Math.max(clock.now() - heard.wallMs, clock.monotonic() - heard.monotonicMs);
  }

  /** Puts the stored snapshot in force, or says by name why not. */
  restore(): void {
    const { disk, ring, revocations } = this.#ports;
    this.#floor = disk.readFloor();
    const keys = disk.readKeys();
    if (keys !== null) ring.replace(keys);
    const stored = disk.readRevocations();
    if (stored !== null) revocations.restore(stored);
    const signed = disk.readManifest();
    if (signed === null) return;
    const accepted = this.#judge(signed);
    if (accepted.kind === "refused") {
      this.#ports.refused(accepted);
      return;
    }
    const blobs = new Map<string, Uint8Array>();
    for (const id of new Set(Object.values(accepted.manifest.objects))) {
      const bytes = disk.readBlob(id);
      if (bytes === null || !blobMatches(id, bytes, this.#ports.crypto)) {
        this.#ports.refused({
          kind: "refused",
          refusal: "altered",
          why: `stored blob ${id} is missing or not what its name says`,
        });
        return;
      }
      blobs.set(id, bytes);
    }
    this.#swap(accepted, blobs);
  }

  open(): void {
    this.#channel = this.#ports.feed.open((message) => this.#on(message));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#newer.close();
    await this.#channel?.close();
    await this.#working;
    this.#newer.close();
  }

  send(message: UpMessage): void {
    this.#channel
      ?.send(message)
      .catch((cause) =>
        this.#ports.logger.warn({ t: message.t, err: String(cause) }, "a message to control was not delivered"),
      );
  }

  #on(message: DownMessage): void {
    switch (message.t) {
      case "heartbeat":
        this.#heartbeat(message);
        return;
      case "keys":
        this.#takeKeys(message);
        return;
      case "revocations":
        this.#takeRevocations(message);
        return;
      case "snapshot":
        this.#offer(message.signed);
        return;
      default:
        this.#ports.other(message, (up) => this.send(up));
    }
  }

  #heartbeat(message: Extract<DownMessage, { t: "heartbeat" }>): void {
    const { ring, revocations, clock, disk } = this.#ports;
    if (message.keySeq > ring.seq || message.revocationSeq > revocations.seq) {
      this.#resync("a heartbeat is ahead of what we hold");
      return;
    }
    const wallMs = clock.now();
    this.#heard = { wallMs, monotonicMs: clock.monotonic(), beforeMs: 0 };
    if (clock.monotonic() - this.#heartbeatWrittenMs < heartbeatWriteMs) return;
    this.#heartbeatWrittenMs = clock.monotonic();
    disk.writeHeartbeat(wallMs);
  }

  #takeKeys(message: Extract<DownMessage, { t: "keys" }>): void {
    const { ring, disk, logger } = this.#ports;
    if (!ring.replace(message)) {
      logger.warn({ seq: message.seq, held: ring.seq }, "a key ring that is older or malformed was refused");
      return;
    }
    this.#ports.ringChanged();
    disk.writeKeys(ring.state());
    this.#ack();
    this.#retryWaiting();
  }

  #takeRevocations(message: Extract<DownMessage, { t: "revocations" }>): void {
    const { revocations, disk, clock, logger } = this.#ports;
    const taken = revocations.take(message, message.entries, clock.now());
    if (taken === "gap") this.#resync("a revocation is missing");
    else if (taken === "full")
      logger.error({ held: revocations.size }, "too many revocations to hold; the gateway goes stale until some end");
    else if (taken === "unknown-kind")
      logger.error(
        { held: revocations.seq },
        "control revokes what this version does not know; the gateway goes stale until it is updated",
      );
    if (taken !== "taken") return;
    this.#ports.revoked(message.entries);
    disk.writeRevocations(revocations.state());
    this.#ack();
    this.#retryWaiting();
  }

  #ack(): void {
    const { ring, revocations } = this.#ports;
    this.send({
      t: "ack",
      keySeq: ring.seq,
      revocationSeq: revocations.seq,
      epoch: this.#floor?.epoch ?? 0,
      version: this.#floor?.version ?? 0,
    });
  }

  /** Asks again from our own numbers by opening the feed anew. */
  #resync(why: string): void {
    const now = this.#ports.clock.monotonic();
    if (this.#closed || now - this.#reopenedMs < reopenMs) return;
    this.#reopenedMs = now;
    this.#ports.logger.warn(
      { keySeq: this.#ports.ring.seq, revocationSeq: this.#ports.revocations.seq },
      `the channel left a gap: ${why}; asking again`,
    );
    this.#ack();
    const old = this.#channel;
    this.#channel = null;
    // After the running message: the feed must not be closed from inside its own call.
    this.#working = this.#working.then(async () => {
      await old?.close();
      if (!this.#closed) this.open();
    });
  }

  #offer(signed: SignedManifest): void {
    if (this.#closed) return;
    const at = this.#moment();
    this.#working = this.#working
      .then(() => this.#take(signed, at))
      .catch((cause) => {
        this.#ports.attemptFailed();
        this.#ports.logger.error({ err: String(cause) }, "a snapshot could not be put in force; it is tried again");
        if (!this.#closed) this.#newer.failed(signed);
      });
  }

  #retryWaiting(): void {
    const signed = this.#waiting;
    this.#waiting = null;
    if (signed !== null) this.#offer(signed);
  }

  #judge(signed: SignedManifest): ReturnType<typeof acceptManifest> {
    const { identity, snapshotKey, crypto, clock, ring, revocations } = this.#ports;
    const { tenant, environment, region, group } = identity;
    return acceptManifest({
      signed,
      snapshotKey,
      group: { tenant, environment, region, group },
      lastAccepted: this.#floor,
      now: clock.now(),
      keySeq: ring.seq,
      revocationSeq: revocations.seq,
      crypto,
    });
  }

  async #take(signed: SignedManifest, at: Moment): Promise<void> {
    const judged = this.#judge(signed);
    if (judged.kind === "refused") {
      // Its keys are on their way: it is tried again when they come.
      if (judged.refusal === "needs-keys") this.#waiting = signed;
      this.#refuse(signed, judged);
      return;
    }
    const { manifest } = judged;
    const isSame = this.#floor !== null && this.#floor.digest === judged.digest;
    // From the offer on, also while a fetch hangs.
    if (this.#inForce !== judged.digest) this.#newer.begin(signed, manifest, at);
    const blobs = await this.#fetch(manifest);
    if (this.#closed) return;
    this.#swap(judged, blobs);
    if (!isSame) {
      // Blobs, manifest, floor, in this order: a crash in between leaves a whole snapshot, the new one or the one before.
      this.#ports.disk.writeManifest(signed);
      this.#ports.disk.writeFloor({ epoch: manifest.epoch, version: manifest.version, digest: judged.digest });
    }
    this.#ports.disk.keepBlobs(new Set(Object.values(manifest.objects)));
    this.#ack();
  }

  #refuse(signed: SignedManifest, refusal: RefusedSnapshot): void {
    this.#ports.refused(refusal);
    const opened = openManifest(signed, this.#ports.snapshotKey);
    const { epoch, version } = opened.kind === "opened" ? opened.manifest : { epoch: 0, version: 0 };
    this.send({ t: "refused-snapshot", epoch, version, why: refusal.refusal });
  }

  #swap(
    accepted: { readonly manifest: SnapshotManifest; readonly digest: string },
    blobs: ReadonlyMap<string, Uint8Array>,
  ): void {
    const { manifest, digest } = accepted;
    this.#ports.swap(manifest, (id) => {
      const bytes = blobs.get(id);
      if (bytes === undefined) throw new Error(`blob ${id} is not in the snapshot`);
      return bytes;
    });
    this.#floor = { epoch: manifest.epoch, version: manifest.version, digest };
    this.#inForce = digest;
    this.#newer.taken(manifest);
  }

  async #fetch(manifest: SnapshotManifest): Promise<Map<string, Uint8Array>> {
    const ids = [...new Set(Object.values(manifest.objects))];
    const blobs = new Map<string, Uint8Array>();
    const one = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) blobs.set(id, await this.#blob(id));
    };
    await Promise.all(Array.from({ length: Math.min(blobRequestsMax, ids.length) }, one));
    return blobs;
  }

  async #blob(id: string): Promise<Uint8Array> {
    const { disk, crypto, feed } = this.#ports;
    const stored = disk.readBlob(id);
    if (stored !== null && blobMatches(id, stored, crypto)) return stored;
    const fetched = await feed.blob(id);
    if (!blobMatches(id, fetched, crypto)) throw new Error(`blob ${id} is not what its name says`);
    disk.writeBlob(id, fetched);
    return fetched;
  }
}
