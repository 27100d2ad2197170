// Promises what a gateway records with, put together once: ids, the recorder, and the count of what was seen. Trusts its options. docs/formats/leaf.md.
import type { GatewayOptions } from "../ports.ts";
import { type CrossingIds, createCrossingIds } from "./crossing-id.ts";
import { Recorder } from "./recorder.ts";
import { Tallies } from "./tallies.ts";

export interface Recording {
  readonly recorder: Recorder;
  readonly tallies: Tallies;
  readonly newId: CrossingIds;
}

export function openRecord(options: GatewayOptions): Recording {
  const { clock, random, log, node, logKeys } = options;
  const tallies: Tallies = new Tallies({
    clock,
    flushDenials: (before) => recorder.flushDenials(before),
    append: (fields) => recorder.own({ t: "tally", ...fields }),
  });
  const newId = createCrossingIds(node, { now: () => tallies.idMs() }, random);
  const recorder: Recorder = new Recorder({ identity: options, log, clock, random, newId, tallies });
  if (logKeys !== null) recorder.useKeys(logKeys);
  return { recorder, tallies, newId };
}
