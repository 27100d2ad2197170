// Promises what an operator needs to know about one gateway in one object: what is in force, how old it is, what is not served and why.
// Trusts its inputs; holds no secret and no caller's text. Shape: docs/gateway.md (status).
import type { BrokenObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { WaitingSnapshot } from "../snapshot/newer-offer.ts";
import type { Unenforced } from "./unenforced.ts";

export interface GatewayStatus {
  readonly node: string;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  readonly listeners: readonly {
    readonly name: string;
    readonly url: string;
    readonly address: string;
    readonly port: number;
  }[];
  readonly snapshot: {
    readonly epoch: number;
    readonly version: number;
    readonly ageMs: number;
    readonly expiresInMs: number;
    readonly policySet: string;
  } | null;
  /** Milliseconds since control was last heard without a gap; null: never. */
  readonly stalenessMs: number | null;
  readonly keySeq: number;
  readonly revocationSeq: number;
  readonly broken: readonly BrokenObject[];
  /** What observe and passthrough leave out now, each with its end. */
  readonly unenforced: readonly Unenforced[];
  /** The last snapshot that was refused, by name. */
  readonly refused: { readonly refusal: string; readonly why: string } | null;
  /** A newer snapshot that was offered and is not in force yet. */
  readonly waiting: WaitingSnapshot | null;
  readonly logOrigin: string;
  readonly logLeaves: number;
  readonly inFlight: number;
  readonly draining: boolean;
}

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, each as one sentence with the fix where there is one. */
  readonly missing: readonly string[];
  /** Served around: named, but no reason not to be ready. */
  readonly broken: readonly string[];
}

export interface ReadinessInputs {
  readonly status: GatewayStatus;
  readonly hasLogKeys: boolean;
  readonly hasHopKey: boolean;
}

/** May a load balancer send traffic here? Pure. */
export function decideReadiness({ status, hasLogKeys, hasHopKey }: ReadinessInputs): Readiness {
  const missing: string[] = [];
  if (status.draining) missing.push("the gateway is draining");
  if (status.snapshot === null) missing.push(noSnapshot(status));
  else if (status.snapshot.expiresInMs <= 0) missing.push("the snapshot has expired: reconnect the control plane");
  if (status.keySeq === 0) missing.push("no token keys have come from the control plane yet");
  if (!hasLogKeys) missing.push("no log keys: nothing can be recorded, so nothing passes");
  if (!hasHopKey) missing.push("control has not certified this node's hop key: nothing can be forwarded");
  const broken = status.broken.map((one) => `${one.object} at ${one.file}:${one.line}: ${one.why}`);
  if (status.waiting !== null) broken.push(newerWaiting(status.waiting));
  return { ready: missing.length === 0, missing, broken };
}

function noSnapshot(status: GatewayStatus): string {
  return status.refused === null
    ? "no snapshot is in force: waiting for the control plane"
    : `no snapshot is in force: the last one was refused as ${status.refused.refusal} (${status.refused.why})`;
}

function newerWaiting({ epoch, version, waitingMs, failures }: WaitingSnapshot): string {
  const seconds = Math.round(waitingMs / 1000);
  return `a newer snapshot (${epoch}, ${version}) has been waiting for ${seconds} s (${failures} failed attempts): check the channel to the control plane; the log says why`;
}
