// Promises a thread that appends to a log it was handed a seat of, and says what it was told of each record. Trusts log-seats.test.ts to start it.
import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { LogFault } from "./fault.ts";
import { type LogSeat, openSeat } from "./log-client.ts";
import { sampleLeaf } from "./sample-leaves.ts";

/** What the thread is started with; its records are numbers `from` to `from + count - 1`. */
export interface SeatOrder {
  readonly seat: LogSeat;
  readonly from: number;
  readonly count: number;
}

/** Index of each record in its order; the code of the fault where it was refused. */
export type SeatReport = readonly (number | string)[];

/** Every so many is no leaf that may be appended from outside. */
export const refusedEvery = 7;

const port = parentPort;
if (port !== null) {
  // Its test starts it with nothing else.
  const { seat, from, count } = workerData as SeatOrder;
  const log = openSeat(seat);
  const bytes = (n: number) => (n % refusedEvery === 0 ? Buffer.from("no leaf") : sampleLeaf("crossing", n));
  const told = Array.from({ length: count }, (_, place) =>
    log.append(bytes(from + place)).then(
      ({ index }) => index,
      (fault: unknown) => {
        assert.ok(fault instanceof LogFault);
        return fault.code;
      },
    ),
  );
  port.postMessage((await Promise.all(told)) satisfies SeatReport);
  port.once("message", () => {
    void log.close().then(() => port.close());
  });
}
