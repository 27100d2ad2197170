// Promises which nodes may have recorded something that control does not hold, so that no answer about records looks final where it is not.
// Pure but for what it asks of control's parts. Described in docs/audit-search.md "What is not there".

import type { GatewayStatus, KeptLog } from "../../admin/actions.ts";
import { gatewayStatus, keptLogs } from "../../admin/status.ts";
import type { ControlParts } from "../../control-parts.ts";

export interface Unheld {
  readonly node: string;
  /** A sentence without an end, as `refused: rolled-back, 17 records behind since 2026-11-30T08:00:00.000Z`. */
  readonly why: string;
}

/** Shipping takes some seconds; what is younger is no news. */
const patienceMs = 15_000;

export async function unheldNodes(parts: ControlParts): Promise<readonly Unheld[]> {
  return decideUnheld(await gatewayStatus(parts), await keptLogs(parts), parts.clock.now());
}

/** One row per node, by name. Control's own log is always there. */
export function decideUnheld(
  gateways: readonly Pick<GatewayStatus, "node" | "state" | "connected" | "lastSeenAt">[],
  kept: readonly Pick<KeptLog, "node" | "archived">[],
  now: number,
): readonly Unheld[] {
  const reasons = new Map<string, string>();
  for (const { node, state, connected, lastSeenAt } of gateways) {
    if (state === "active" && !connected && now - lastSeenAt > patienceMs)
      reasons.set(node, `away since ${timeOf(lastSeenAt)}: what it records meanwhile comes when it is back`);
  }
  for (const { node, archived } of kept) {
    const { behind, behindSince, refused, trouble } = archived;
    if (behind === 0 && refused === null) continue;
    if (refused === null && trouble === null && (behindSince === null || now - behindSince <= patienceMs)) continue;
    const since = behindSince === null ? "" : ` since ${timeOf(behindSince)}`;
    const cause = refused === null ? (trouble ?? "not shipped yet") : `refused as ${refused}`;
    reasons.set(node, `${cause}, ${behind} records behind${since}`);
  }
  return [...reasons].map(([node, why]) => ({ node, why })).toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

const timeOf = (at: number): string => new Date(at).toISOString();
