// Promises the memory that all worker threads of one node count in, made once by the thread that starts them and opened by each. Trusts its secret to stay
// within the process: places in the tables follow from it. Specified in docs/workers.md.
import { hkdfSync } from "node:crypto";
import { sessionsMax } from "@sallyport/kernel/geo/session-places.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { type AdmissionLimits, defaultAdmissionLimits } from "../admit/admission.ts";
import type { DoorLimits } from "../admit/door.ts";
import { allocateReplaySet, replaySetSlots, signatureReplaySlots } from "../identify/replay-set.ts";
import { allocateRateTable, rateTableSlots } from "../limit/gcra.ts";
import type { UnderWay } from "../limit/in-flight.ts";
import type { TableSizes } from "../ports.ts";
import { admissionWidth, SharedAdmission } from "./shared-admission.ts";
import { doorWidth, SharedDoor } from "./shared-door.ts";
import { inFlightWidth, SharedInFlight } from "./shared-in-flight.ts";
import { SharedSessionPlaces, sessionWidth } from "./shared-session-places.ts";
import { allocateSharedTable, SharedTable, type SharedTableMemory } from "./shared-table.ts";

/** Things whose crossings under way are counted at once. */
const inFlightSlots = 1 << 16;
/** Login sessions remembered: at least as many as one thread alone remembers. */
const sessionSlots = 2 ** Math.ceil(Math.log2(sessionsMax));

/** May be cloned to other threads: the memory itself is one. */
export interface NodeMemory {
  readonly secret: Uint8Array;
  /** Names the replay sets; fresh with them. */
  readonly epoch: string;
  /** When they began, milliseconds since the epoch. */
  readonly sinceMs: number;
  readonly replays: SharedArrayBuffer;
  readonly signatureReplays: SharedArrayBuffer;
  readonly rates: SharedArrayBuffer;
  readonly rateLock: SharedArrayBuffer;
  readonly inFlight: SharedTableMemory;
  readonly sources: SharedTableMemory;
  readonly admitted: SharedArrayBuffer;
  readonly connections: SharedTableMemory;
  readonly handshakes: SharedArrayBuffer;
  /** Where login sessions were seen; null: nobody knows places here. */
  readonly sessions: SharedTableMemory | null;
  /** One word: gateways that count limits together, as any worker heard last. */
  readonly gatewaysHeard: SharedArrayBuffer;
}

export function allocateNodeMemory(of: {
  readonly random: Random;
  readonly clock: Clock;
  readonly tables: Partial<TableSizes> | undefined;
  readonly admission: Partial<AdmissionLimits> | undefined;
  readonly door: Partial<DoorLimits> | undefined;
  readonly knowsPlaces: boolean;
}): NodeMemory {
  const { random, clock, tables, admission, door, knowsPlaces } = of;
  const word = () => new SharedArrayBuffer(4);
  const sources = (max = defaultAdmissionLimits.prefixesMax) => 2 ** Math.ceil(Math.log2(max));
  return {
    secret: random.bytes(32),
    epoch: Buffer.from(random.bytes(12)).toString("base64url"),
    sinceMs: clock.now(),
    replays: allocateReplaySet(tables?.replaySlots ?? replaySetSlots),
    signatureReplays: allocateReplaySet(tables?.signatureSlots ?? signatureReplaySlots),
    rates: allocateRateTable(tables?.rateSlots ?? rateTableSlots),
    rateLock: word(),
    inFlight: allocateSharedTable({ slots: inFlightSlots, width: inFlightWidth }),
    sources: allocateSharedTable({ slots: sources(admission?.prefixesMax), width: admissionWidth }),
    admitted: word(),
    connections: allocateSharedTable({ slots: sources(door?.prefixesMax), width: doorWidth }),
    handshakes: word(),
    sessions: knowsPlaces ? allocateSharedTable({ slots: sessionSlots, width: sessionWidth }) : null,
    gatewaysHeard: word(),
  };
}

/** A key for one use of the node's secret. */
export function memoryKey({ secret }: NodeMemory, use: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), `sallyport-node-memory/v1\n${use}`, 32));
}

export function openSharedAdmission(memory: NodeMemory, limits: AdmissionLimits, clock: Clock): SharedAdmission {
  const table = new SharedTable(memory.sources, memoryKey(memory, "sources"));
  const inFlightOf: UnderWay = new SharedInFlight(new SharedTable(memory.inFlight, memoryKey(memory, "in flight")));
  return new SharedAdmission(limits, clock, { table, total: memory.admitted, inFlightOf });
}

export function openSharedDoor(memory: NodeMemory, limits: DoorLimits, clock: Clock): SharedDoor {
  const table = new SharedTable(memory.connections, memoryKey(memory, "connections"));
  return new SharedDoor(limits, () => clock.monotonic(), { table, handshakes: memory.handshakes });
}

/** Undefined: nobody knows places here, so that there is nothing to remember. */
export function openSharedSessions(memory: NodeMemory | undefined): SharedSessionPlaces | undefined {
  if (memory === undefined || memory.sessions === null) return undefined;
  return new SharedSessionPlaces(new SharedTable(memory.sessions, memoryKey(memory, "sessions")));
}
