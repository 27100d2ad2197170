// Promises the fold of one sink, as the follower's thread makes it: its folder, its place, its sink and, where it may say them, the names.
// Trusts the follower for the settings. Described in docs/export.md.
import { join } from "node:path";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { makeDirectoriesDurably } from "@sallyport/kernel/log/disk.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import type { FoldMaker } from "../follow/fold.ts";
import { ExportFold } from "./export-fold.ts";
import { type ExportNames, namesService } from "./export-names.ts";
import { openSink } from "./open-sink.ts";
import type { SinkSettings } from "./sink-settings.ts";

/** What a fold order of ours holds. */
export interface ExportOrderOptions {
  readonly settings: SinkSettings;
  /** Goes up when the fold is to be opened anew: its place was moved, or it may go on. */
  readonly opening: number;
}

export const exportsFolder = "exports";

export const makeFold: FoldMaker = async (id, options, host) => {
  // The order is control's own.
  const { settings } = options as ExportOrderOptions;
  const disk = realDisk();
  const parent = join(host.dataDirectory, exportsFolder);
  const folder = join(parent, settings.name);
  makeDirectoriesDurably(disk, parent);
  makeDirectoriesDurably(disk, folder);
  return new ExportFold(
    {
      id,
      name: settings.name,
      sink: openSink(settings, { dialer: createDialer(), now: host.now }),
      encode: { format: settings.format, version: settings.version },
      filter: settings.filter,
      // Control answers with what make-names.ts made.
      names: settings.named ? async () => (await host.call(namesService, null)) as ExportNames : null,
      placePath: join(folder, "place.json"),
      deadLetterPath: join(folder, "dead-letters.ndjson"),
    },
    { disk, now: host.now, random: Math.random },
  );
};
