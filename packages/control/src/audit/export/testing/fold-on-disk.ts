// Promises an export fold over a real folder, its clock and chance in the test's hands. For tests.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HeldOrigin } from "@sallyport/kernel/log/held-records.ts";
import type { FoundRecord } from "@sallyport/kernel/log/port.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { ExportFold, type ExportFoldOptions } from "../export-fold.ts";
import type { ExportFilter } from "../exported-record.ts";
import type { Sink } from "../sink.ts";
import { sampleOrigin } from "./every-leaf.ts";

export const everything: ExportFilter = { environments: null, kinds: null, verdicts: null, severity: 1 };

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "sallyport-export-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function foldOnDisk(
  folder: string,
  sink: Sink,
  more: Partial<ExportFoldOptions> & { readonly now?: () => number } = {},
): ExportFold {
  const { now = () => 1_795_305_600_000, ...options } = more;
  return new ExportFold(
    {
      id: "export-copy",
      name: "copy",
      sink,
      encode: { format: "ocsf", version: "1.5.0" },
      filter: everything,
      names: null,
      placePath: join(folder, "place.json"),
      deadLetterPath: join(folder, "dead-letters.ndjson"),
      ...options,
    },
    { disk: realDisk(), now, random: () => 0 },
  );
}

/** An origin that holds `size` leaves. */
export function heldOrigin(size: number, origin: string = sampleOrigin): HeldOrigin {
  return {
    origin,
    ...{ tenant: "main", environment: "production", node: "gw-1", role: "gateway", year: 2026 },
    ...{ size, checkpoint: "", verifierKey: "" },
  } as const;
}

/** Records `from` to before `to`: crossings. */
export function crossings(from: number, to: number): readonly FoundRecord[] {
  return Array.from({ length: to - from }, (_none, at) => ({
    index: from + at,
    leaf: sampleLeaf("crossing", from + at),
    reference: null,
  }));
}
