// Promises what all nodes share and what each has alone, and where they differ, from control's view. Pure.
// Trusts control's answer to `status`. Specified in docs/cli/doctor.md "The fleet".
import type { ControlStatus, GatewayStatus } from "@sallyport/control/admin/actions.ts";
import { ago, skewMsMax } from "../start/status-words.ts";
import { type CheckResult, fail, good, warn } from "./check-result.ts";

export interface FleetPart {
  readonly what: string;
  /** `all nodes`, `nodes of one group`, `one node` … */
  readonly sharedBy: string;
  readonly because: string;
}

/** What a second node shares with the first, as this version is built. */
export const fleetParts: readonly FleetPart[] = [
  { what: "snapshot", sharedBy: "nodes of one group", because: "compiled and signed by control; versions only go up" },
  {
    what: "signing keys, revocations",
    sharedBy: "nodes of one environment",
    because: "pushed by control over the channel",
  },
  {
    what: "registry, key ring, revocations, assertion ids",
    sharedBy: "all control nodes",
    because: "the control store",
  },
  {
    what: "pseudonyms in the log",
    sharedBy: "nodes of one environment, for a year",
    because: "one key per environment and year, sealed to each node",
  },
  { what: "log and log key", sharedBy: "one node", because: "one origin per node; checkpoints are kept at control" },
  {
    what: "replay set and nonces",
    sharedBy: "one node",
    because: "a nonce is bound to the node that gave it, so a proof is good at that node only",
  },
  {
    what: "rate limits",
    sharedBy: "one node",
    because:
      "counters are in memory: with n nodes a caller may reach n times the rate, but for limits that say `across: gateways`",
  },
  { what: "hop key, node certificate", sharedBy: "one node", because: "made on the spot; control certifies them" },
];

export function decideFleet(status: ControlStatus): readonly CheckResult[] {
  const active = status.gateways.filter(({ state }) => state === "active");
  if (active.length === 0)
    return [
      warn(
        "fleet.nodes",
        "no gateway has joined",
        "sallyport gateway token --group <group> --out <file>, then serve --role gateway --join-file <file>",
      ),
    ];
  return [
    ...active.map((gateway) => decideConnected(gateway, status.now)),
    ...active.map((gateway) => decideSnapshot(gateway, status)),
    ...active.flatMap(decideReported),
    decideVersions(active, status.version),
    ...decideRates(active),
    decideKept(active, status),
    decideCopy(status),
  ];
}

function decideConnected({ node, connected, lastSeenAt }: GatewayStatus, now: number): CheckResult {
  if (connected) return good(`fleet.${node}.channel`, "connected");
  return fail(
    `fleet.${node}.channel`,
    `away, last seen ${ago(now - lastSeenAt)} ago`,
    `start it, or open its way to the channel listener; if it is gone for good: sallyport gateway revoke ${node}`,
  );
}

function decideSnapshot({ node, group, snapshot, refusal }: GatewayStatus, { groups }: ControlStatus): CheckResult {
  const check = `fleet.${node}.snapshot`;
  const newest = groups.find((one) => one.group === group);
  if (refusal !== null)
    return fail(
      check,
      `refused ${refusal}`,
      "sallyport status names what is wrong with it; the log of the node says more",
    );
  if (snapshot === null)
    return warn(check, "it has acknowledged none in this run of control", "wait a moment; then look at its log");
  const held = `${snapshot.epoch}.${snapshot.version} of group ${group}`;
  if (newest !== undefined && (snapshot.version < newest.version || snapshot.epoch < newest.epoch))
    return warn(
      check,
      `${held}, the newest is ${newest.epoch}.${newest.version}`,
      "wait a moment; if it stays behind, its log says why",
    );
  return good(check, held);
}

function decideReported({ node, connected, report }: GatewayStatus): readonly CheckResult[] {
  if (!connected) return [];
  const check = `fleet.${node}.clock`;
  if (report === null) return [warn(check, "it has said nothing of itself yet", "wait a moment and ask again")];
  const skew = `${report.skewMs >= 0 ? "+" : ""}${(report.skewMs / 1_000).toFixed(1)} s against control`;
  const clock =
    Math.abs(report.skewMs) > skewMsMax
      ? fail(
          check,
          skew,
          "synchronise it with NTP (chrony, systemd-timesyncd): tokens and proofs are judged by the clock",
        )
      : good(check, skew);
  const waits =
    report.waitingMs > 5_000
      ? [
          warn(
            `fleet.${node}.waiting`,
            `a newer snapshot waits for ${ago(report.waitingMs)}`,
            "the log of the node says why it cannot be taken",
          ),
        ]
      : [];
  const faults = (report.faults ?? []).map((fault, n) =>
    warn(`fleet.${node}.fault-${n + 1}`, fault, "as it says, or the log of the node does"),
  );
  return [clock, ...waits, ...faults];
}

function decideVersions(active: readonly GatewayStatus[], control: string): CheckResult {
  const versions = new Set([control, ...active.flatMap(({ report }) => (report === null ? [] : [report.version]))]);
  if (versions.size === 1) return good("fleet.version", `every process is ${control}`);
  return warn(
    "fleet.version",
    `versions ${[...versions].sort().join(", ")} run side by side`,
    "finish the upgrade: control first, then the gateways",
  );
}

function decideRates(active: readonly GatewayStatus[]): readonly CheckResult[] {
  const perGroup = new Map<string, number>();
  for (const { group } of active) perGroup.set(group, (perGroup.get(group) ?? 0) + 1);
  return [...perGroup].map(([group, nodes]) =>
    nodes === 1
      ? good(`fleet.${group}.rates`, "one node counts every rate")
      : warn(
          `fleet.${group}.rates`,
          `${nodes} nodes count rates each for themselves, but for those that say \`across: gateways\`: a caller may reach ${nodes} times a limit`,
          `write \`across: gateways\` (serve --limits-store), divide the limits by ${nodes}, or let the load balancer keep each caller on one node`,
        ),
  );
}

function decideKept(active: readonly GatewayStatus[], { log, now }: ControlStatus): CheckResult {
  const kept = new Set(log.kept.map(({ node }) => node));
  const missing = active.filter(({ node }) => !kept.has(node)).map(({ node }) => node);
  if (missing.length > 0)
    return warn(
      "fleet.checkpoints",
      `control keeps no checkpoint of ${missing.join(", ")}`,
      "it comes with the first record; if it stays away, sallyport status says why it was refused",
    );
  const newest = Math.max(...log.kept.map(({ at }) => at));
  return good(
    "fleet.checkpoints",
    `control keeps a checkpoint of every node's log, the newest ${ago(now - newest)} old`,
  );
}

function decideCopy({ log }: ControlStatus): CheckResult {
  if (log.checkpointCopy) return good("fleet.copy", "checkpoints of control's own log are copied elsewhere");
  if (log.cosigners > 0)
    return good("fleet.copy", `checkpoints of control's own log are cosigned by ${log.cosigners} witnesses`);
  return warn(
    "fleet.copy",
    "no copy of the checkpoints of control's own log is kept elsewhere",
    "serve --witness <url> --witness-key <key>, or --checkpoint-copy <file on another disk>, and keep what `sallyport audit checkpoints` gives",
  );
}
