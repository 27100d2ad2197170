// Promises one picture of the installation: what is served and what is not, who obeys which snapshot, what is due, where the log stands.
// Trusts the parts of control; nodes' own words only for what they say of themselves. Specified in docs/cli/status.md.

import { expiringWarnings } from "../audit/export/expiring.ts";
import type { FollowerStanding } from "../audit/follow/follower-messages.ts";
import { followerWarnings } from "../audit/follow/follower-warnings.ts";
import { archiveWarnings } from "../audit/keeping/archive-warnings.ts";
import { restoreWarnings } from "../backup/warnings.ts";
import type { ControlParts } from "../control-parts.ts";
import { undeliveredWarnings } from "../identity/people/undelivered-warnings.ts";
import { readEnvironments } from "../registry/estate-state.ts";
import { version } from "../version.ts";
import { ruleWarnings } from "../watch/finding-actions.ts";
import type {
  ArchivedStatus,
  ControlStatus,
  GatewayStatus,
  IntegrationStatus,
  KeptLog,
  LogStatus,
  ServedCounts,
} from "./actions.ts";
import { checkpointWarning, logFindingWarning } from "./checkpoint-warning.ts";
import { decideNotices } from "./notices.ts";
import { peopleActions } from "./people-actions.ts";
import { witnessWarnings } from "./witness-warnings.ts";

/** Every gateway that ever joined, as control sees it. */
export async function gatewayStatus(parts: ControlParts): Promise<readonly GatewayStatus[]> {
  const { tenant, store, hub, service } = parts;
  const connected = new Set(hub.connected().map(({ node }) => node));
  return (await store.run("listNodes", { tenant })).map(({ node, environment, group, state, lastSeenAt }) => {
    const held = hub.acknowledged(node);
    return {
      node,
      environment,
      group,
      state,
      connected: connected.has(node),
      connectedSince: hub.connectedSince(node),
      snapshot: held === null || held.version === 0 ? null : { epoch: held.epoch, version: held.version },
      heardAt: held?.heardAt ?? null,
      lastSeenAt,
      refusal: service.refusals.get(node) ?? null,
      report: hub.report(node),
    };
  });
}

export async function controlStatus(
  parts: ControlParts,
  integrations: readonly IntegrationStatus[],
): Promise<ControlStatus> {
  const { tenant, store, clock, checkpointCopy } = parts;
  const groups = await store.run("listGroups", { tenant });
  const readiness = await parts.readiness();
  const inForce = [...(await readEnvironments(store, tenant)).values()];
  const following = await followingNow(parts);
  return {
    version,
    ready: readiness.ready,
    now: clock.now(),
    served: inForce.map(({ config }): ServedCounts => {
      const states: Record<string, number> = {};
      for (const { environment, state } of integrations)
        if (environment === config.name) states[state] = (states[state] ?? 0) + 1;
      return {
        environment: config.name,
        approval: config.approval,
        systems: config.systems.length,
        operations: config.systems.reduce((sum, { operations }) => sum + operations.length, 0),
        integrations: states,
      };
    }),
    groups: groups.map(({ id, environment, epoch, version: newest }) => {
      const state = parts.publisher.state(id);
      return {
        environment,
        group: id,
        epoch,
        version: newest,
        expiresAt: state?.expiresAt ?? 0,
        broken: state?.broken ?? [],
      };
    }),
    gateways: await gatewayStatus(parts),
    inactive: integrations
      .filter(({ state }) => state !== "active")
      .map(({ id, environment, state, declaredAt }) => ({ id, environment, state, declaredAt })),
    log: await logStatus(parts),
    following,
    archive: parts.mover?.standing() ?? null,
    issuers: [...parts.identities.values()].flatMap(({ environment, trusted, introspections }) =>
      trusted.states(introspections).map((state) => ({ environment, ...state })),
    ),
    notices: decideNotices({
      environments: inForce.map(({ config }) => config),
      issuers: new Map([...parts.identities.values()].map(({ environment, issuer }) => [environment, issuer])),
      now: clock.now(),
      checkpointCopy: checkpointCopy || parts.witnessing.outside().length > 0,
    }),
    warnings: [...readiness.missing, ...(await controlWarnings(parts, following))],
  };
}

/** A sentence for each thing that somebody should look at. */
async function controlWarnings(parts: ControlParts, following: FollowerStanding): Promise<readonly string[]> {
  const { tenant, store, clock, mover, witnessing, alerts, exports } = parts;
  return [
    ...(await restoreWarnings(store, tenant)),
    ...(await historyWarnings(parts)),
    ...witnessWarnings(witnessing, clock.now()),
    ...followerWarnings(following, clock.now()),
    ...(await alerts.warnings()),
    ...(await ruleWarnings(parts)),
    ...archiveWarnings(mover?.standing() ?? null, clock.now()),
    ...expiringWarnings(await exports.expiring(mover?.kept ?? null, clock.now())),
    ...undeliveredWarnings(await peopleActions(parts).undelivered()),
  ];
}

/** A thread that does not answer is a fault to show, not one to fail with. */
async function followingNow({ follower }: ControlParts): Promise<FollowerStanding> {
  try {
    return await follower.standing();
  } catch (error) {
    return { folds: [], fault: error instanceof Error ? error.message : "unknown" };
  }
}

/** Of logs that took something back. */
async function historyWarnings({ store }: ControlParts): Promise<readonly string[]> {
  const refused = await store.run("listRefusedCheckpoints", null);
  const findings = await store.run("listLogFindings", null);
  return [...refused.map(checkpointWarning), ...findings.map(logFindingWarning)];
}

async function logStatus(parts: ControlParts): Promise<LogStatus> {
  const { store, log, checkpointCopy, witnessing } = parts;
  const waiting = await store.run("outboxBacklog", null);
  return {
    origin: log.origin,
    leaves: log.size(),
    checkpointCopy,
    cosigners: witnessing.standings().filter(({ cosigned }) => cosigned.has(log.origin)).length,
    quorum: witnessing.quorum(),
    waiting: waiting.count,
    waitingMs: waiting.ageMs,
    kept: await keptLogs(parts),
  };
}

/** The newest checkpoint of every node's log that control keeps, and how much of the log it holds. */
export async function keptLogs({
  store,
  archive,
}: Pick<ControlParts, "store" | "archive">): Promise<readonly KeptLog[]> {
  const sizes = await archive.sizes();
  return (await store.run("listCheckpoints", null)).map((kept) => {
    const { origin, node, note, at } = kept;
    // Judged before it was kept: the second line is the size (c2sp.org/tlog-checkpoint).
    const leaves = Number(note.split("\n")[1]);
    return { origin, node, at, leaves, archived: archivedStatus(archive, { ...kept, leaves }, sizes.get(origin) ?? 0) };
  });
}

function archivedStatus(
  archive: ControlParts["archive"],
  { node, at, leaves: signed }: { readonly node: string; readonly at: number; readonly leaves: number },
  leaves: number,
): ArchivedStatus {
  const state = archive.state(node);
  const behind = Math.max(0, signed - leaves);
  return {
    leaves,
    behind,
    behindSince: behind === 0 ? null : (state?.behindSince ?? at),
    refused: state?.refused?.code ?? null,
    trouble: state?.trouble?.why ?? null,
  };
}
