// Promises the text of a record in the format of its sink: one line of JSON. Pure. Trusts the encoders. Specified in docs/export.md "Formats".
import { ecsDocument } from "./ecs.ts";
import { type ExportedRecord, type NameOf, placeOf } from "./exported-record.ts";
import { type OcsfVersion, ocsfEvent } from "./ocsf.ts";

export const exportFormats = ["ocsf", "ecs", "leaf"] as const;
export type ExportFormat = (typeof exportFormats)[number];

export interface EncodedRecord {
  readonly record: ExportedRecord;
  /** JSON without a line break. */
  readonly json: string;
}

export interface EncodeOptions {
  readonly format: ExportFormat;
  readonly version: OcsfVersion;
  readonly nameOf: NameOf;
}

export function encodeRecord(record: ExportedRecord, { format, version, nameOf }: EncodeOptions): EncodedRecord {
  return { record, json: JSON.stringify(eventOf(record, { format, version, nameOf })) };
}

function eventOf(record: ExportedRecord, { format, version, nameOf }: EncodeOptions): unknown {
  if (format === "ocsf") return ocsfEvent(record, { version, nameOf });
  if (format === "ecs") return ecsDocument(record, nameOf);
  return leafLine(record);
}

/** The leaf as it stands in the log, with its place: the smallest form that can be verified. */
function leafLine(record: ExportedRecord) {
  return { sallyport: placeOf(record), leaf: record.text };
}
