// Promises a thread that takes from tables it shares with others as fast as it can, and says what it was given. Trusts shared-tables.test.ts to start it.
import { parentPort, workerData } from "node:worker_threads";
import { lockedRateTable, openRateTable } from "../limit/gcra.ts";
import { memoryKey, type NodeMemory } from "./node-memory.ts";
import { SharedInFlight } from "./shared-in-flight.ts";
import { SharedLock } from "./shared-lock.ts";
import { SharedTable } from "./shared-table.ts";

export interface CountingOrder {
  readonly memory: NodeMemory;
  readonly names: number;
  readonly asks: number;
  readonly burst: number;
}

export interface CountingReport {
  /** Permits given, by name. */
  readonly permits: readonly number[];
  /** Most places held at once of one name that nobody may hold twice, as this thread saw it. */
  readonly doubled: number;
}

const period = 3_600_000;
/** Added to one row by each thread, one by one. */
export const sumSteps = 1_000_000;

function count({ memory, names, asks, burst }: CountingOrder): CountingReport {
  const rates = lockedRateTable(
    openRateTable(memory.rates, memoryKey(memory, "rates")),
    new SharedLock(memory.rateLock),
  );
  const places = new SharedInFlight(new SharedTable(memory.inFlight, memoryKey(memory, "in flight")));
  const permits = Array.from({ length: names }, () => 0);
  let doubled = 0;
  for (let ask = 0; ask < asks; ask++) {
    for (let name = 0; name < names; name++) {
      const nowMs = 1_000 + (ask * names + name) / 10;
      const state = rates.take(rates.key(`name ${name}`), { rate: 1, periodMs: period, burst }, nowMs);
      if (state?.allowed === true) permits[name] = (permits[name] ?? 0) + 1;
      // Things that are used once and never again: their slots are taken over by others all the time.
      rates.take(rates.key(`once ${ask} ${name}`), { rate: 1_000_000, periodMs: 1_000, burst: 1 }, nowMs);
    }
    const place = places.take("alone", 1);
    if (places.countOf("alone") > 1) doubled++;
    place?.giveBack();
  }
  const sums = new SharedTable(memory.sources, memoryKey(memory, "sums"));
  for (let step = 0; step < sumSteps; step++)
    sums.change(
      "sum",
      () => 0,
      ({ words, at }) => {
        words[at] = (words[at] ?? 0) + 1;
      },
    );
  return { permits, doubled };
}

// Its test starts it with nothing else.
if (parentPort !== null) parentPort.postMessage(count(workerData as CountingOrder));
