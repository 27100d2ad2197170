// Promises whom a log says was erased, every year of it, so that a restored control plane can be told again. Trusts the log's checkpoints for what is
// signed, and not for whose log it is. Leaves: docs/formats/leaf.md "Payloads"; specified in docs/payloads.md "After a restore".
import { existsSync } from "node:fs";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { yearFolders } from "@sallyport/kernel/log/origin.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { logFolders } from "@sallyport/kernel/log/seam.ts";
import { parseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";

export interface RecordedErasure {
  readonly pseudonym: string;
  readonly environment: string;
}

const readMax = 2_048;
/** What a leaf of an erasure holds, as no value holds a quote. */
const mark = ',"action":"payload.erase","object":"data-subject/';

/** In the order of their first records; null: there is no log. Throws LogFault and LeafRefused where any of the log cannot be read. */
export async function erasuresIn(directory: string): Promise<readonly RecordedErasure[] | null> {
  if (!existsSync(directory)) return null;
  const faults: LogFault[] = [];
  const held = openHeldLogs({ directories: () => [directory], fault: (fault) => faults.push(fault) });
  try {
    const origins = (await held.origins()).toSorted((a, b) => a.year - b.year);
    if (faults[0] !== undefined) throw faults[0];
    const years = yearsIn(directory);
    if (years > origins.length)
      throw unread(directory, `of ${years} years ${years - origins.length} have no checkpoint`);
    const found = new Map<string, RecordedErasure>();
    for (const { origin, size } of origins)
      for (let next = 0; next < size; ) {
        const records = await held.read(origin, next, Math.min(readMax, size - next));
        if (records.length === 0) throw unread(directory, `${origin} has ${size} signed leaves, and ${next} are there`);
        next += records.length;
        for (const erasure of records.flatMap(erasureOf))
          found.set(`${erasure.environment} ${erasure.pseudonym}`, erasure);
      }
    return origins.length === 0 ? null : [...found.values()];
  } finally {
    await held.close();
  }
}

/** Year folders, those of logs before a restore too. */
function yearsIn(directory: string): number {
  const disk = realDisk();
  return logFolders(disk, directory).reduce((sum, folder) => sum + yearFolders(disk.list(folder)).length, 0);
}

/** Whoever was erased in what is not read would be left out, and nobody would know. */
const unread = (directory: string, what: string) =>
  new LogFault("log-corrupt", `${directory} cannot be read whole: ${what}; take another copy of it`);

function erasureOf(record: FoundRecord): readonly RecordedErasure[] {
  const text = Buffer.from(record.leaf).toString("latin1");
  if (!text.includes(mark)) return [];
  const leaf = parseLeafText(text);
  return leaf.t === "admin"
    ? [{ pseudonym: leaf.object.slice(leaf.object.indexOf("/") + 1), environment: leaf.environment }]
    : [];
}
