// Promises whom a log says was erased, so that a restored control plane can be told again. Trusts the log's checkpoint for what is signed, and not for
// whose log it is. Leaves: docs/formats/leaf.md "Payloads"; specified in docs/payloads.md "After a restore".
import { existsSync } from "node:fs";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { parseLeafText } from "@sallyport/protocol/audit/leaf-format.ts";

export interface RecordedErasure {
  readonly pseudonym: string;
  readonly environment: string;
}

const readMax = 2_048;
/** What a leaf of an erasure holds, as no value holds a quote. */
const mark = ',"action":"payload.erase","object":"data-subject/';

/** In the order of their first records; null: there is no log. Throws LogFault and LeafRefused where the log cannot be read. */
export async function erasuresIn(directory: string): Promise<readonly RecordedErasure[] | null> {
  if (!existsSync(directory)) return null;
  const held = openHeldLogs({ directories: () => [directory] });
  try {
    const origins = (await held.origins()).toSorted((a, b) => a.year - b.year);
    const found = new Map<string, RecordedErasure>();
    for (const { origin, size } of origins)
      for (let next = 0; next < size; ) {
        const records = await held.read(origin, next, Math.min(readMax, size - next));
        if (records.length === 0) break;
        next += records.length;
        for (const erasure of records.flatMap(erasureOf))
          found.set(`${erasure.environment} ${erasure.pseudonym}`, erasure);
      }
    return origins.length === 0 ? null : [...found.values()];
  } finally {
    await held.close();
  }
}

function erasureOf(record: FoundRecord): readonly RecordedErasure[] {
  const text = Buffer.from(record.leaf).toString("latin1");
  if (!text.includes(mark)) return [];
  const leaf = parseLeafText(text);
  return leaf.t === "admin"
    ? [{ pseudonym: leaf.object.slice(leaf.object.indexOf("/") + 1), environment: leaf.environment }]
    : [];
}
