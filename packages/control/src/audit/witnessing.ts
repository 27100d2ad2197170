// Promises both sides of witnessing in control: it cosigns its gateways' logs, its gateways and outside witnesses cosign its own, and whatever
// contradicts itself is kept and said. Trusts the channel, which proves nodes, and the store's compare-and-swap. Specified in docs/witnesses.md.
import { join } from "node:path";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Dialer } from "@sallyport/kernel/dial/port.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-client.ts";
import { verifierFor } from "@sallyport/kernel/log/log-crypto.ts";
import { defaultOriginPrefix } from "@sallyport/kernel/log/origin.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { Cosigning, type WitnessStanding } from "@sallyport/kernel/witness/cosigning.ts";
import { type LogFinding, logFindingCodes } from "@sallyport/kernel/witness/finding.ts";
import type { OutsideWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { conflictWords, OutsideSet } from "@sallyport/kernel/witness/outside-set.ts";
import { OwnLog } from "@sallyport/kernel/witness/own-log.ts";
import { Witness } from "@sallyport/kernel/witness/witness.ts";
import { loadWitnessKey } from "@sallyport/kernel/witness/witness-key.ts";
import type { UpMessage } from "@sallyport/protocol/channel/messages.ts";
import type { ControlCommands } from "../commands.ts";
import type { Hub, NodeAddress } from "../gateways/hub.ts";
import type { ChannelWitness } from "../gateways/witness-routes.ts";
import type { WitnessesConfig } from "../registry/config/estate.ts";
import { readWitnesses } from "../registry/estate-state.ts";
import { GatewayWitnesses } from "./gateway-witnesses.ts";
import { isOriginOf } from "./judge-checkpoint.ts";
import { outsideConflicts, witnessForOthers } from "./outside-logs.ts";
import { Quorum, type QuorumStanding } from "./quorum.ts";
import { storedTrees } from "./stored-trees.ts";
import type { PublicWitness } from "./witness-listener.ts";

export interface WitnessingOptions {
  readonly tenant: string;
  /** Of this control node. */
  readonly node: string;
  readonly dataDirectory: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly log: OpenedLog;
  readonly hub: Hub;
  readonly clock: Clock;
  readonly random: Random;
  /** Named at the start; the estate may name more. */
  readonly outside: readonly OutsideWitness[];
  readonly fault: (error: unknown) => void;
}

export interface Witnessing extends ChannelWitness, PublicWitness {
  /** Keeps what a gateway found, where it concerns its own log or control's. */
  report(address: NodeAddress, message: Extract<UpMessage, { t: "log-finding" }>): Promise<void>;
  /** Takes the newest checkpoint of control's log to its witnesses. */
  tick(): Promise<void>;
  standings(): readonly WitnessStanding[];
  /** What the estates say of witnesses, as of the last tick. */
  configured(): WitnessesConfig;
  /** Witnesses outside that are asked: those of the start, then the estate's. */
  outside(): readonly OutsideWitness[];
  /** Witnesses of the estate that are not asked, and logs of it that are not cosigned, as sentences. */
  conflicts(): readonly string[];
  quorum(): QuorumStanding;
  close(): Promise<void>;
}

/** Throws LogFault `log-key` for a witness key that cannot be read. */
export function openWitnessing(options: WitnessingOptions): Witnessing {
  const { tenant, node, dataDirectory, store, log, clock, random, outside, fault } = options;
  const disk = realDisk();
  // Not in a backup: a witness whose state went back with a restore must not go on under the key it cosigned later trees with.
  const place = { folder: join(dataDirectory, "witness"), file: node };
  const name = `${defaultOriginPrefix}/${tenant}/sallyport/${node}/witness`;
  const found = async (finding: LogFinding) => {
    await store.run("keepLogFinding", { ...finding, tenant, by: "control" });
    fault(
      new Error(`${finding.origin}: ${finding.code}, by what ${finding.witness} cosigned; sallyport audit findings`),
    );
  };
  const signer = loadWitnessKey(disk, { ...place, name });
  const witness = new Witness({ state: storedTrees(store), signer, now: () => clock.now(), found });
  const directory = join(dataDirectory, "log");
  const gateways = new GatewayWitnesses(options, directory);
  let dialer: Dialer | null = null;
  const outsiders = new OutsideSet(() => (dialer ??= createDialer()), outside);
  let read: WitnessesConfig | null = null;
  let logConflicts: readonly string[] = [];
  const logsOptions = { store, own: log, now: () => clock.now() };
  const configured = () => read ?? unsaid;
  const quorum = new Quorum({ log, directory, disk, now: () => clock.now() });
  const cosigning = new Cosigning({
    log: new OwnLog(log, disk, directory),
    witnesses: () => [...outsiders.asked(), ...gateways.asked()],
    monotonic: () => clock.monotonic(),
    now: () => clock.now(),
    random,
    found,
    fault: (who, why) => fault(new Error(`${who === "" ? "witnesses" : who}: control's log was not cosigned: ${why}`)),
  });
  return {
    verifierKey: witness.verifierKey,
    configured,
    named: () => read?.outside.map(({ url, key, allowPrivate }) => ({ url, key, allowPrivate })) ?? null,
    outside: () => outsiders.named,
    conflicts: () => [...outsiders.conflicts.map(conflictWords), ...logConflicts],
    quorum: () => quorum.standing,
    add: (address, body) => witness.add(body, { isKeeper: true, keys: (origin) => keysOf(store, address, origin) }),
    kept: async (address, hash) => {
      const kept = await store.run("findWitnessedByHash", { hash });
      return kept !== null && isOriginOf(address, kept.origin) ? kept.note : null;
    },
    ...witnessForOthers(logsOptions, witness, () => configured().logs),
    report: async (address, { code, origin, witness: by, kept, shown }) => {
      const known = logFindingCodes.find((one) => one === code);
      if (known === undefined || !(isOriginOf(address, origin) || isControlOrigin(tenant, origin))) return;
      await store.run("keepLogFinding", { code: known, origin, witness: by, kept, shown, tenant, by: address.node });
    },
    tick: async () => {
      read = await readWitnesses(store, tenant);
      for (const name of outsiders.take(read.outside)) cosigning.forget(name);
      logConflicts = await outsideConflicts(logsOptions, read.logs);
      quorum.judge(outsiders.named, read.quorum, await cosigning.round());
    },
    standings: () => cosigning.standings(),
    close: () => outsiders.close(),
  };
}

const unsaid: WitnessesConfig = { quorum: "all", outside: [], logs: [] };

/** Of a node's own log the key is the one of its first checkpoint, under the name of every year. */
async function keysOf(store: WitnessingOptions["store"], address: NodeAddress, origin: string) {
  const logKey = isOriginOf(address, origin) ? await store.run("findLogKey", { node: address.node }) : null;
  const kept = logKey === null ? null : await store.run("findWitnessed", { origin });
  // Somebody else's log was cosigned under this origin: one origin is one history.
  if (kept !== null && kept.logKey !== logKey) return null;
  return logKey === null ? null : [verifierFor(origin, Buffer.from(logKey, "base64"))];
}

/** `<prefix>/<tenant>/sallyport/<control node>/control/<year>` */
export function isControlOrigin(tenant: string, origin: string): boolean {
  const [, of, environment, , role, year, ...more] = origin.split("/");
  return of === tenant && environment === "sallyport" && role === "control" && year !== undefined && more.length === 0;
}
