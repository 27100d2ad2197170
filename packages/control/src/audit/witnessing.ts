// Promises both sides of witnessing in control: it cosigns its gateways' logs, its gateways and outside witnesses cosign its own, and whatever
// contradicts itself is kept and said. Trusts the channel, which proves nodes, and the store's compare-and-swap. Specified in docs/witnesses.md.
import { join } from "node:path";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { sha256, verifierFor } from "@sallyport/kernel/log/log-crypto.ts";
import type { OpenedLog } from "@sallyport/kernel/log/log-thread.ts";
import { defaultOriginPrefix } from "@sallyport/kernel/log/origin.ts";
import { prove } from "@sallyport/kernel/log/prove.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type AskedWitness, Cosigning, type WitnessStanding } from "@sallyport/kernel/witness/cosigning.ts";
import { type LogFinding, logFindingCodes } from "@sallyport/kernel/witness/finding.ts";
import { type OutsideWitness, openHttpWitness } from "@sallyport/kernel/witness/http-witness.ts";
import { OwnLog } from "@sallyport/kernel/witness/own-log.ts";
import { Witness, type WitnessedLog, type WitnessState } from "@sallyport/kernel/witness/witness.ts";
import { loadWitnessKey } from "@sallyport/kernel/witness/witness-key.ts";
import { parseWitnessKey } from "@sallyport/protocol/audit/cosignature.ts";
import { originHash, type WitnessedTree } from "@sallyport/protocol/audit/witness-request.ts";
import type { UpMessage, WitnessQuestion } from "@sallyport/protocol/channel/messages.ts";
import type { ControlCommands } from "../commands.ts";
import type { Hub, NodeAddress } from "../gateways/hub.ts";
import type { ChannelWitness } from "../gateways/witness-routes.ts";
import { isOriginOf } from "./judge-checkpoint.ts";
import type { TreeRow, WitnessedRow } from "./witness-store.ts";

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
  readonly outside: readonly OutsideWitness[];
  readonly fault: (error: unknown) => void;
}

export interface Witnessing extends ChannelWitness {
  /** Keeps what a gateway found, where it concerns its own log or control's. */
  report(address: NodeAddress, message: Extract<UpMessage, { t: "log-finding" }>): Promise<void>;
  /** Takes the newest checkpoint of control's log to its witnesses. */
  tick(): Promise<void>;
  standings(): readonly WitnessStanding[];
  /** Outside witnesses that are configured. */
  readonly outside: number;
  close(): Promise<void>;
}

const askTimeoutMs = 3_000;
/** Gateways that are asked, the first by name: outside witnesses need room beside them. */
export const gatewayWitnessesMax = 8;

/** Throws LogFault `log-key` for a witness key that cannot be read. */
export function openWitnessing(options: WitnessingOptions): Witnessing {
  const { tenant, node, dataDirectory, store, log, hub, clock, random, outside, fault } = options;
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
  const dialer = outside.length === 0 ? null : createDialer();
  const outsiders = outside.flatMap((one) => (dialer === null ? [] : [openHttpWitness(dialer, one)]));
  const cosigning = new Cosigning({
    log: new OwnLog(log, disk, directory),
    witnesses: () => [...outsiders, ...gateways.asked(hub)],
    monotonic: () => clock.monotonic(),
    random,
    found,
    fault: (who, why) => fault(new Error(`${who === "" ? "witnesses" : who}: control's log was not cosigned: ${why}`)),
  });
  return {
    verifierKey: witness.verifierKey,
    outside: outside.length,
    add: (address, body) => witness.add(body, { isKeeper: true, keys: (origin) => keysOf(store, address, origin) }),
    kept: async (address, hash) => {
      const kept = await store.run("findWitnessedByHash", { hash });
      return kept !== null && isOriginOf(address, kept.origin) ? kept.note : null;
    },
    report: async (address, { code, origin, witness: by, kept, shown }) => {
      const known = logFindingCodes.find((one) => one === code);
      if (known === undefined || !(isOriginOf(address, origin) || isControlOrigin(tenant, origin))) return;
      await store.run("keepLogFinding", { code: known, origin, witness: by, kept, shown, tenant, by: address.node });
    },
    tick: () => cosigning.round(),
    standings: () => cosigning.standings(),
    close: async () => {
      await Promise.all(outsiders.map((one) => one.close()));
    },
  };
}

/** Of a node's own log the key is the one of its first checkpoint, under the name of every year. */
async function keysOf(store: WitnessingOptions["store"], address: NodeAddress, origin: string) {
  const logKey = isOriginOf(address, origin) ? await store.run("findLogKey", { node: address.node }) : null;
  return logKey === null ? null : [verifierFor(origin, Buffer.from(logKey, "base64"))];
}

/** `<prefix>/<tenant>/sallyport/<control node>/control/<year>` */
export function isControlOrigin(tenant: string, origin: string): boolean {
  const [, of, environment, , role, year, ...more] = origin.split("/");
  return of === tenant && environment === "sallyport" && role === "control" && year !== undefined && more.length === 0;
}

/** Gateways as witnesses of control's log, asked over the channel. */
class GatewayWitnesses {
  readonly #options: WitnessingOptions;
  readonly #directory: string;
  /** What each showed instead of cosigning. */
  readonly #kept = new Map<string, string | null>();

  constructor(options: WitnessingOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
  }

  asked(hub: Hub): readonly AskedWitness[] {
    const nodes = hub.connected().map(({ node }) => node);
    return nodes
      .toSorted()
      .slice(0, gatewayWitnessesMax)
      .map((node) => this.#of(node));
  }

  #of(node: string): AskedWitness {
    return {
      name: node,
      // An empty request is a bad one (400): the answer names the key.
      key: async () => parseWitnessKey(sha256, (await this.#ask(node, "")).key),
      submit: (body) => this.#ask(node, body),
      kept: async () => this.#kept.get(node) ?? null,
    };
  }

  async #ask(node: string, body: string) {
    const { hub, log, store } = this.#options;
    const question = {
      key: log.verifierKey,
      body,
      begins: body.startsWith("old 0\n") ? this.#beginning(log.origin) : null,
    };
    const reply = await hub.askWitness(node, question, askTimeoutMs);
    if (reply === null) throw new Error("it does not answer");
    const key = await store.run("pinWitnessKey", { node, key: reply.key });
    if (key !== reply.key) throw new Error("it names another witness key than before");
    this.#kept.set(node, reply.kept);
    return reply;
  }

  #beginning(origin: string): WitnessQuestion["begins"] {
    const year = Number(origin.slice(origin.lastIndexOf("/") + 1));
    const { leaf, proof } = prove(this.#directory, { index: 0, year });
    return { leaf: Buffer.from(leaf).toString("latin1"), proof };
  }
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const rowOf = ({ size, root }: WitnessedTree): TreeRow => ({ size, root: base64(root) });
const treeOf = ({ size, root, note, logKey }: WitnessedRow): WitnessedLog => ({
  size,
  root: Buffer.from(root, "base64"),
  note,
  logKey,
});

/** The state of control's witness, shared by all control nodes. */
export function storedTrees(store: Pick<Store<ControlCommands>, "run">): WitnessState {
  return {
    find: async (origin) => {
      const row = await store.run("findWitnessed", { origin });
      return row === null ? null : treeOf(row);
    },
    replace: (origin, last, { note, logKey, ...tree }) =>
      store.run("keepWitnessed", {
        hash: originHash(sha256, origin),
        last: last === null ? null : rowOf(last),
        next: { origin, ...rowOf(tree), note, logKey },
      }),
  };
}
