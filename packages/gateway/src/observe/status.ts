// Promises what an operator needs to know about one gateway in one object: what is in force, how old it is, what is not served and why.
// Trusts its inputs; holds no secret and no caller's text. Shape: docs/gateway.md (status).

import type { RefusedSnapshot } from "@sallyport/protocol/snapshot/manifest.ts";
import type { BrokenObject } from "@sallyport/protocol/snapshot/objects.ts";
import type { ShippingStanding } from "../archive/shipper.ts";
import type { DataPlaneStatus } from "../idempotency/data-plane.ts";
import type { SharedLimitsStatus } from "../limit/shared-limits.ts";
import type { GatewayOptions } from "../ports.ts";
import type { Estate } from "../snapshot/estate.ts";
import type { SnapshotFollower } from "../snapshot/follower.ts";
import type { WaitingSnapshot } from "../snapshot/newer-offer.ts";
import { type Unenforced, unenforcedIn } from "./unenforced.ts";

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
  /** The way of the log to control's archive; null: nothing ships it. */
  readonly shipping: ShippingStanding | null;
  readonly inFlight: number;
  readonly draining: boolean;
  /** Worker threads this sums up; absent: one gateway says it of itself. */
  readonly workers?: number;
  /** The data-plane store, as far as anybody needed it. */
  readonly dataPlane: DataPlaneStatus;
  /** Limits across gateways, as far as any is in force. */
  readonly sharedLimits: SharedLimitsStatus;
}

export interface StatusParts
  extends Pick<GatewayStatus, "listeners" | "inFlight" | "draining" | "dataPlane" | "sharedLimits"> {
  /** Of the snapshot in force; null: there is none. */
  readonly estate: Estate | null;
  readonly follower: Pick<SnapshotFollower, "stalenessMs" | "waiting">;
  readonly refused: RefusedSnapshot | null;
  readonly held: Pick<GatewayStatus, "keySeq" | "revocationSeq">;
}

/** Of one gateway, now. */
export function statusOf(options: GatewayOptions, parts: StatusParts): GatewayStatus {
  const { tenant, environment, region, group, node, clock, log } = options;
  const { estate, refused, follower } = parts;
  const stalenessMs = follower.stalenessMs();
  return {
    node,
    tenant,
    environment,
    region,
    group,
    listeners: parts.listeners,
    snapshot:
      estate === null
        ? null
        : {
            epoch: estate.manifest.epoch,
            version: estate.manifest.version,
            ageMs: clock.now() - estate.manifest.issuedAt,
            expiresInMs: estate.manifest.expiresAt - clock.now(),
            policySet: estate.object.policySet,
          },
    stalenessMs: Number.isFinite(stalenessMs) ? stalenessMs : null,
    ...parts.held,
    broken: estate?.broken ?? [],
    unenforced: unenforcedIn(estate, clock.now()),
    waiting: follower.waiting(),
    refused: refused === null ? null : { refusal: refused.refusal, why: refused.why },
    logOrigin: log.origin,
    logLeaves: log.size(),
    shipping: options.shipping?.() ?? null,
    inFlight: parts.inFlight,
    draining: parts.draining,
    dataPlane: parts.dataPlane,
    sharedLimits: parts.sharedLimits,
  };
}

export interface Readiness {
  readonly ready: boolean;
  /** Worker threads this is said of; absent: one gateway says it of itself. */
  readonly workers?: number;
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
  broken.push(...faultsOf(status));
  if (status.waiting !== null) broken.push(newerWaiting(status.waiting));
  return { ready: missing.length === 0, missing, broken };
}

/** What this gateway would need and cannot use, each as one sentence with the fix where there is one. Control does not know it unless it is told. */
export function faultsOf({ dataPlane, sharedLimits }: Pick<GatewayStatus, "dataPlane" | "sharedLimits">): string[] {
  const broken: string[] = [];
  if (sharedLimits.state === "absent")
    broken.push(
      "limits across gateways are in force and this gateway has no place to count them: name a Redis with --limits-store; until then it lets through the whole of those that say `onLoss: local`, and nothing of the others",
    );
  else if (sharedLimits.state === "lost")
    broken.push(`limits across gateways cannot be shared at ${sharedLimits.place}: ${sharedLimits.why}`);
  if (dataPlane.why !== null && dataPlane.state !== "open")
    broken.push(`the data-plane store cannot be used, so operations that need it are denied: ${dataPlane.why}`);
  return broken;
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
