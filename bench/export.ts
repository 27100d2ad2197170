// Promises what exporting costs as one JSON line: records encoded per second in each format, and through the fold into a file and into a Splunk receiver
// on loopback over TLS. Trusts the disk and the machine it runs on; no floors. Specified in RESULTS.md beside this file.
import { join } from "node:path";
import { encodeRecord, exportFormats } from "@sallyport/control/audit/export/encode.ts";
import { noNames, readRecord } from "@sallyport/control/audit/export/exported-record.ts";
import { fileSink } from "@sallyport/control/audit/export/file-sink.ts";
import { httpSink } from "@sallyport/control/audit/export/http-sink.ts";
import type { Sink } from "@sallyport/control/audit/export/sink.ts";
import { splunkReceiver } from "@sallyport/control/audit/export/splunk.ts";
import { sampleOrigin } from "@sallyport/control/audit/export/testing/every-leaf.ts";
import {
  crossings,
  foldOnDisk,
  heldOrigin,
  temporaryFolder,
} from "@sallyport/control/audit/export/testing/fold-on-disk.ts";
import { startReceiver } from "@sallyport/control/audit/export/testing/receivers.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { median } from "./figures.ts";
import { describeMachine } from "./machine.ts";

const count = 40_960;
const batch = 2_048;
const rounds = 3;

async function perSecond(work: () => void | Promise<void>): Promise<number> {
  const figures: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const from = performance.now();
    await work();
    figures.push(count / ((performance.now() - from) / 1_000));
  }
  return Math.round(median(figures));
}

const records = crossings(0, count);
const origin = heldOrigin(count);

/** All records through the fold, its place synced behind each request, in a folder of its own. */
function throughFold(open: (folder: string) => Sink): Promise<number> {
  return perSecond(async () => {
    const folder = temporaryFolder();
    const sink = open(folder.path);
    const fold = foldOnDisk(folder.path, sink);
    for (let from = 0; from < count; from += batch)
      await fold.take({ origin, records: records.slice(from, from + batch) });
    await fold.close();
    folder.remove();
  });
}

process.stdout.write(`${JSON.stringify(describeMachine())}\n`);
const encoded: Record<string, number> = {};
for (const format of exportFormats)
  encoded[`encode_${format}_per_s`] = await perSecond(() => {
    for (const found of records)
      encodeRecord(readRecord(sampleOrigin, found, found.index - 1), { format, version: "1.5.0", nameOf: noNames });
  });
const file = await throughFold((folder) =>
  fileSink({ path: join(folder, "copy.ndjson"), rotateBytes: 1_073_741_824, keep: 1 }),
);
const receiver = await startReceiver(() => ({ status: 200, body: '{"text":"Success","code":0}' }));
const dialer = createDialer();
const place = { dialer, origin: receiver.origin, ca: receiver.ca, allowPrivate: true, identity: null, now: Date.now };
const options = { basePath: "", token: "bench", index: null, sourceType: "sallyport:ocsf", channel: null, gzip: true };
const splunk = await throughFold(() => httpSink(splunkReceiver(options), place));
await receiver.close();
process.stdout.write(
  `${JSON.stringify({ bench: "export", records: count, ...encoded, file_per_s: file, splunk_per_s: splunk })}\n`,
);
