// Promises control's copy of every node's log: of each node one shipment at a time, taken only when it is what the node signed, durable before the
// answer; what is refused is told and kept out. Trusts the channel, which has proven the node. Described in docs/audit.md "The archive".
import { join } from "node:path";
import { errorCode } from "@sallyport/kernel/log/disk.ts";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { HeldRecords } from "@sallyport/kernel/log/held-records.ts";
import type { SettlingDisk } from "@sallyport/kernel/log/settling-disk.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { ArchiveAnswer, ArchiveRefusalCode } from "@sallyport/protocol/channel/archive.ts";
import type { NodeAddress } from "../../gateways/hub.ts";
import { ArchivedLog, type ProvenCheckpoint, type Taken } from "./archived-log.ts";
import { archivedLogs } from "./archived-logs.ts";
import type { Shipment } from "./judge-records.ts";

export interface ArchiveOptions {
  /** `<data>/archive`; made with the first log. */
  readonly directory: string;
  readonly disk: SettlingDisk;
  readonly clock: Pick<Clock, "now">;
  /** Shipments are put off when the volume has less than this free. */
  readonly lowSpaceBytes?: number;
  readonly segmentBytesMax?: number;
  readonly fault: (error: unknown) => void;
}

/** How a node's shipping stands, in this run of control. */
export interface ShippingState {
  /** Leaves of signed checkpoints that are not archived. */
  readonly behind: number;
  /** Milliseconds since the epoch since when some are, or nothing was taken; null while all are. */
  readonly behindSince: number | null;
  readonly refused: { readonly code: ArchiveRefusalCode; readonly at: number } | null;
  /** Why control takes nothing at present, though the node is in order. */
  readonly trouble: { readonly code: "disk-full" | "archive-fault"; readonly why: string } | null;
}

/** Shipments taken at once, over all nodes. */
const activeMax = 16;
const busyMs = 250;
const troubleMs = 30_000;
const lowSpaceBytesDefault = 268_435_456;

interface Shipping {
  readonly claimed: Map<string, number>;
  readonly signed: Map<string, number>;
  behindSince: number | null;
  refused: ShippingState["refused"];
  trouble: ShippingState["trouble"];
}

export class Archive {
  readonly #options: ArchiveOptions;
  readonly directory: string;
  /** Bounded by the registry's nodes. */
  readonly #logs = new Map<string, Promise<ArchivedLog>>();
  readonly #shipping = new Map<string, Shipping>();
  readonly #active = new Set<string>();
  #reader: HeldRecords | null = null;
  #closed = false;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.directory = options.directory;
  }

  /** The folder of a node's log. */
  directoryOf({ tenant, environment, node }: Pick<NodeAddress, "tenant" | "environment" | "node">): string {
    return join(this.#options.directory, tenant, environment, node);
  }

  /** Leaves under the newest proven checkpoint, by origin: of all runs of control. */
  async sizes(): Promise<ReadonlyMap<string, number>> {
    const directories = () => archivedLogs(this.#options.directory);
    this.#reader ??= openHeldLogs({ directories, fault: (fault) => this.#options.fault(fault) });
    return new Map((await this.#reader.origins()).map(({ origin, size }) => [origin, size]));
  }

  /** Over all nodes that ship in this run of control. */
  totals(): { readonly refused: number; readonly troubled: number } {
    const all = [...this.#shipping.values()];
    return {
      refused: all.filter(({ refused }) => refused !== null).length,
      troubled: all.filter(({ trouble }) => trouble !== null).length,
    };
  }

  /** A checkpoint whose origin is the node's and whose signature was verified. Never throws. */
  async checkpoint(address: NodeAddress, checkpoint: ProvenCheckpoint): Promise<ArchiveAnswer> {
    const shipping = this.#shippingOf(address.node);
    const answer = await this.#guarded(address, async (log) => log.take(checkpoint));
    if (answer.t === "held") {
      shipping.claimed.set(checkpoint.origin, checkpoint.size);
      shipping.signed.set(checkpoint.origin, answer.signed);
      if (answer.signed === checkpoint.size) shipping.refused = null;
    }
    // What was not taken is not archived, however much it is.
    const isBehind = answer.t !== "held" || behindOf(shipping) > 0;
    shipping.behindSince = isBehind ? (shipping.behindSince ?? this.#options.clock.now()) : null;
    return answer;
  }

  /** Entries of a node's origin. Never throws. */
  ship(address: NodeAddress, origin: string, shipment: Shipment): Promise<ArchiveAnswer> {
    return this.#guarded(address, async (log) => log.append(origin, shipment));
  }

  /** Says that a node's log is refused for a reason found elsewhere. */
  refuse(node: string, code: ArchiveRefusalCode): ArchiveAnswer {
    this.#shippingOf(node).refused = { code, at: this.#options.clock.now() };
    return { t: "refused", code };
  }

  /** Null: the node has not shipped in this run of control. */
  state(node: string): ShippingState | null {
    const shipping = this.#shipping.get(node);
    if (shipping === undefined) return null;
    const { behindSince, refused, trouble } = shipping;
    return { behind: behindOf(shipping), behindSince, refused, trouble };
  }

  /** Takes nothing more; what is under way ends by itself. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#logs.values());
  }

  async #guarded(address: NodeAddress, act: (log: ArchivedLog) => Promise<Taken>): Promise<ArchiveAnswer> {
    const { node } = address;
    if (this.#closed || this.#active.has(node) || this.#active.size >= activeMax)
      return { t: "later", code: "busy", afterMs: busyMs };
    this.#active.add(node);
    try {
      this.#refuseWhenFull();
      const taken = await act(await this.#open(address));
      this.#shippingOf(node).trouble = null;
      if (taken.kind === "held") return { t: "held", size: taken.size, signed: taken.signed };
      this.#options.fault(new Error(`the log of ${node} is not archived any further (${taken.code}): ${taken.why}`));
      return this.refuse(node, taken.code);
    } catch (error) {
      return this.#later(node, error);
    } finally {
      this.#active.delete(node);
    }
  }

  #refuseWhenFull(): void {
    const { disk, directory, lowSpaceBytes = lowSpaceBytesDefault } = this.#options;
    // The folder itself may not be there yet; its parent is control's data directory.
    if (disk.freeBytes(join(directory, "..")) < lowSpaceBytes)
      throw new LogFault("disk-full", `less than ${lowSpaceBytes} bytes are free on the volume of ${directory}`);
  }

  #open(address: NodeAddress): Promise<ArchivedLog> {
    const known = this.#logs.get(address.node);
    if (known !== undefined) return known;
    const { disk, directory: root, segmentBytesMax } = this.#options;
    const more = segmentBytesMax === undefined ? {} : { segmentBytesMax };
    const opening = ArchivedLog.open({ disk, root, directory: this.directoryOf(address), ...more });
    this.#logs.set(address.node, opening);
    // What could not be opened is tried again: an operator may have put a file back.
    opening.catch(() => this.#logs.delete(address.node));
    return opening;
  }

  #later(node: string, error: unknown): ArchiveAnswer {
    const isFull = (error instanceof LogFault && error.code === "disk-full") || errorCode(error) === "ENOSPC";
    const code = isFull ? "disk-full" : "archive-fault";
    const why = error instanceof Error ? error.message : String(error);
    const shipping = this.#shippingOf(node);
    // Said once, not at every try.
    if (shipping.trouble?.why !== why) this.#options.fault(error);
    shipping.trouble = { code, why };
    return { t: "later", code, afterMs: troubleMs };
  }

  #shippingOf(node: string): Shipping {
    const known = this.#shipping.get(node);
    if (known !== undefined) return known;
    const made = { claimed: new Map(), signed: new Map(), behindSince: null, refused: null, trouble: null };
    this.#shipping.set(node, made);
    return made;
  }
}

function behindOf({ claimed, signed }: Shipping): number {
  let behind = 0;
  for (const [origin, size] of claimed) behind += Math.max(0, size - (signed.get(origin) ?? 0));
  return behind;
}
