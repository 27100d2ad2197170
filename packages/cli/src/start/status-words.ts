// Promises `status` for people: what is served, what is not and why, who obeys what, what is due, where the log stands. Pure.
// Trusts control's answer. Specified in docs/cli/status.md.
import type { ControlStatus, GatewayStatus } from "@sallyport/control/admin/actions.ts";
import { formatTable } from "../terminal.ts";
import { servedLines } from "./serve-reporter.ts";

/** A clock further off than this makes tokens and proofs fail (they allow 5 s less their own age). */
export const skewMsMax = 2_000;

/** Is something declared not served, or a gateway away? Decides the exit code. */
export function isTroubled(status: ControlStatus): boolean {
  return (
    !status.ready ||
    status.groups.some((group) => group.broken.length > 0) ||
    status.inactive.length > 0 ||
    status.gateways.some(
      ({ state, connected, report }) => state === "active" && (!connected || (report?.faults ?? []).length > 0),
    )
  );
}

export function statusLines(status: ControlStatus): readonly string[] {
  const broken = status.groups.flatMap((group) =>
    group.broken.map((one) => ({
      environment: group.environment,
      object: one.object,
      place: `${one.file}:${one.line}`,
      why: one.why,
    })),
  );
  const inactive = status.inactive.map(({ id, environment, state, declaredAt }) => ({
    environment,
    object: `integration/${id}`,
    place: declaredAt,
    why: `it is ${state}. Fix: sallyport integration activate ${id} --environment ${environment}`,
  }));
  const notServed = [
    ...new Map([...broken, ...inactive].map((one) => [`${one.environment}/${one.object}`, one])).values(),
  ];
  const standing = { served: status.served, notServed, notices: status.notices, warnings: status.warnings };
  return [
    `control ${status.version}: ${status.ready ? "ready" : "not ready"}`,
    ...servedLines({ standing }),
    "",
    ...gatewayLines(status),
    "",
    ...logLines(status),
    ...archiveLines(status),
    ...status.issuers.map((issuer) => issuerLine(issuer, status.now)),
    ...status.warnings.map((warning) => `warning: ${warning}`),
    ...status.notices.flatMap(noticeLines),
  ];
}

function noticeLines({ urgency, object, text, fix, file, line }: ControlStatus["notices"][number]): readonly string[] {
  const when = urgency === "standing" ? "note" : urgency === "over" ? "OVER" : `within ${urgency}`;
  const where = file === null ? "" : ` (${file}:${line})`;
  return [`${when}: ${object === "" ? "" : `${object}: `}${text}${where}`, `    fix: ${fix}`];
}

function gatewayLines(status: ControlStatus): readonly string[] {
  if (status.gateways.length === 0)
    return [
      "no gateway has joined: sallyport gateway token --group <group> --out <file>, then serve --role gateway --join-file <file>",
    ];
  const newest = new Map(status.groups.map((group) => [group.group, group]));
  const rows = status.gateways.map((gateway) => rowOf(gateway, newest.get(gateway.group), status.now));
  const table = formatTable([
    ["GATEWAY", "GROUP", "STATE", "SINCE", "SNAPSHOT", "VERSION", "STALE", "CLOCK", "UNDER WAY", "LOG"],
    ...rows,
  ]);
  const refused = status.gateways.flatMap(({ node, refusal }) =>
    refusal === null ? [] : [`  ${node} refused a snapshot: ${refusal}`],
  );
  const faults = status.gateways.flatMap(({ node, connected, report }) =>
    connected ? (report?.faults ?? []).map((fault) => `  ${node}: ${fault}`) : [],
  );
  return [...table, ...refused, ...faults];
}

function rowOf(
  gateway: GatewayStatus,
  group: ControlStatus["groups"][number] | undefined,
  now: number,
): readonly string[] {
  const { node, state, connected, connectedSince, snapshot, report, lastSeenAt } = gateway;
  const held = snapshot === null ? "none yet" : `${snapshot.epoch}.${snapshot.version}`;
  const isOld = snapshot !== null && group !== undefined && snapshot.version < group.version;
  const isHere = state === "active" && connected;
  return [
    node,
    gateway.group,
    state === "revoked" ? "revoked" : connected ? "connected" : "AWAY",
    isHere && connectedSince !== null ? ago(now - connectedSince) : `seen ${ago(now - lastSeenAt)} ago`,
    isOld ? `${held} (newest ${group.epoch}.${group.version})` : held,
    report?.version ?? "-",
    report === null
      ? "-"
      : report.stalenessMs === null
        ? "never heard"
        : `${(report.stalenessMs / 1_000).toFixed(1)} s`,
    report === null ? "-" : clockText(report.skewMs),
    report === null
      ? "-"
      : `${report.inFlight}${report.waitingMs > 0 ? `, a snapshot waits ${ago(report.waitingMs)}` : ""}`,
    report === null ? "-" : `${report.logLeaves} leaves`,
  ];
}

function clockText(skewMs: number): string {
  // A clock that is right to the tenth has no sign.
  const tenths = Math.round(skewMs / 100);
  const text = `${tenths > 0 ? "+" : ""}${tenths === 0 ? "0.0" : (tenths / 10).toFixed(1)} s`;
  return Math.abs(skewMs) > skewMsMax ? `${text} OFF` : text;
}

function logLines({ log, now }: ControlStatus): readonly string[] {
  const waiting = log.waiting === 0 ? "nothing waits" : `${log.waiting} records wait, the oldest ${ago(log.waitingMs)}`;
  const copy = `${log.checkpointCopy ? "checkpoints copied" : "no copy of checkpoints"}, cosigned by ${log.cosigners}${quorumWords(log)}`;
  return [
    `log ${log.origin}: ${log.leaves} leaves, ${waiting}, ${copy}`,
    ...log.kept.map(
      ({ origin, leaves, at, archived }) =>
        `log ${origin}: checkpoint at ${leaves} leaves kept here ${ago(now - at)} ago, ${archivedWords(archived, now)}`,
    ),
  ];
}

function quorumWords({ quorum, leaves }: ControlStatus["log"]): string {
  // A control plane of before this version does not say.
  if (quorum === undefined || quorum.asked === 0) return "";
  return `, witnessed to ${quorum.leaves} of ${leaves} leaves (${quorum.asked} outside witnesses must have cosigned)`;
}

function archiveLines({ archive, now }: ControlStatus): readonly string[] {
  // A control plane of before this version does not say.
  if (archive === null || archive === undefined) return [];
  const { place, health, whole, behind, fault, moved } = archive;
  const kept =
    health === null ? "" : health.keptBy === "place" ? ", kept by the place itself" : ", kept by Sallyport alone";
  const state = fault === null ? (health === null ? ", not opened yet" : kept) : `, FAILS: ${fault}`;
  return [
    `archive store ${place}: ${whole} of ${whole + behind.length} logs are wholly there${state}`,
    // A control plane of before this version does not say.
    ...(moved === undefined
      ? []
      : [`  since control began: ${moved.segments} segments, ${moved.bytes} bytes, ${moved.failures} failures`]),
    ...behind.map(
      ({ origin, leaves, since, fault: why }) =>
        `  ${origin}: ${leaves} leaves are not there yet, for ${ago(now - since)}${why === null ? "" : `: ${why}`}`,
    ),
  ];
}

/** How far a node's log is archived, in words. */
export function archivedWords(archived: ControlStatus["log"]["kept"][number]["archived"], now: number): string {
  const { behind, behindSince, refused, trouble } = archived;
  const missing = behind === 0 ? "archived" : `${behind} not archived for ${ago(now - (behindSince ?? now))}`;
  if (refused !== null) return `${missing}: REFUSED (${refused}); see docs/audit.md "The archive"`;
  return trouble === null ? missing : `${missing}: ${trouble}`;
}

/** Control fetches published keys about every ten minutes; twice that without an answer is worth a look. */
export const keysOldMs = 1_200_000;

export type IssuerState = ControlStatus["issuers"][number];

interface IssuerWords {
  readonly isSound: boolean;
  readonly says: string;
}

/** How the keys of one outside issuer stand, and asking it about tokens, in words, and whether that is as it should be. */
export function issuerWords(issuer: IssuerState, now: number): IssuerWords {
  const { introspection, keys, from } = issuer;
  // An older control says nothing of it.
  if (introspection === null || introspection === undefined) return keyWords(issuer, now);
  const asked = askedWords(introspection, now);
  if (from === "file" && keys === 0) return asked;
  const held = keyWords(issuer, now);
  return { isSound: held.isSound && asked.isSound, says: `${held.says}; ${asked.says}` };
}

function askedWords({ answeredAt, trouble }: NonNullable<IssuerState["introspection"]>, now: number): IssuerWords {
  const last = answeredAt === null ? "not answered yet" : `last answered ${ago(now - answeredAt)} ago`;
  const why = trouble === null ? "" : `; the last question was not answered: ${trouble}`;
  return { isSound: trouble === null, says: `asked about opaque tokens, ${last}${why}` };
}

function keyWords(issuer: IssuerState, now: number): IssuerWords {
  const { keys, from, fetchedAt, believedUntil, failure } = issuer;
  const count = `${keys} key${keys === 1 ? "" : "s"}`;
  if (from === "file") return { isSound: keys > 0, says: `${count} in a file` };
  const why = failure === null ? "" : `; the last try failed: ${failure}`;
  if (fetchedAt === null || believedUntil === null)
    return { isSound: false, says: `no keys yet: nobody of it gets in${why}` };
  const age = now - fetchedAt;
  if (now >= believedUntil)
    return { isSound: false, says: `last fetched ${ago(age)} ago, too old to be believed: nobody of it gets in${why}` };
  const until = ` STALE, believed for another ${ago(believedUntil - now)}`;
  const isSound = age <= keysOldMs && failure === null;
  return { isSound, says: `${count}, fetched ${ago(age)} ago${isSound ? "" : until}${why}` };
}

function issuerLine(issuer: IssuerState, now: number): string {
  const use = issuer.gateways ? "tokens presented at gateways" : "tokens traded only";
  return `issuer ${issuer.issuer} (${issuer.environment}): ${issuerWords(issuer, now).says}; ${use}`;
}

/** `42 s`, `7 min`, `3 h`, `12 d` */
export function ago(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  if (s < 120) return `${s} s`;
  if (s < 7_200) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} d`;
}
