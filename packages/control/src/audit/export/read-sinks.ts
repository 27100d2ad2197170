// Promises the sinks of a folder with their credentials read, or what is wrong, where, and what to do; never a credential in a message.
// Trusts the folder: who can write there decides where the log goes. Specified in docs/export.md "A sink".
import { type ExportFilter, severities } from "./exported-record.ts";
import type { ReceiverReader } from "./receiver-reader.ts";
import { readSettings, readSettingsFolder, type SettingsIo, type SettingsKind } from "./settings-folder.ts";
import { type SinkFile, sinkSchema } from "./sink-schema.ts";
import type { SinkSettings, SinkTarget } from "./sink-settings.ts";

const sinkKind: SettingsKind<SinkFile, SinkSettings> = {
  key: "sink",
  noun: "sink",
  option: "--exports",
  schema: sinkSchema,
  nameOf: ({ sink }) => sink,
  settings,
};

/** Throws EstateFault when the folder cannot be read, SettingsFault when anything in it is wrong. */
export function readSinkFolder(folder: string, io: SettingsIo): readonly SinkSettings[] {
  return readSettingsFolder(sinkKind, folder, io);
}

/** One file. */
export const readSink = (name: string, text: string, io: SettingsIo) => readSettings(sinkKind, { name, text }, io);

function settings(file: SinkFile, reader: ReceiverReader): SinkSettings {
  const format = file.format ?? (file.to === "elastic" ? "ecs" : file.to === "syslog" ? "leaf" : "ocsf");
  const { environments = null, kinds = null, verdicts = null, severity } = file.filter;
  const filter: ExportFilter = { environments, kinds, verdicts, severity: severities[severity] };
  return {
    name: file.sink,
    format,
    version: file.ocsf,
    named: file.names === "clients",
    filter,
    target: targetOf(file, format, reader),
  };
}

function targetOf(file: SinkFile, format: string, reader: ReceiverReader): SinkTarget {
  if (file.to === "stdout") return { to: "stdout" };
  if (file.to === "file")
    return { to: "file", path: file.path, rotateBytes: bytesOf(file.rotate, reader), keep: file.keep };
  const url = new URL(file.url);
  const place = { origin: url.origin, allowPrivate: file.allowPrivate, ...reader.tls(file.tls) };
  if (file.to === "syslog") {
    if (url.pathname !== "/" || url.search !== "")
      reader.say(["url"], "a syslog receiver has no path", "write https://host:6514");
    return { to: "syslog", place, enterprise: file.enterprise };
  }
  const basePath = url.pathname.replace(/\/+$/, "");
  const path = `${url.pathname}${url.search}`;
  if (file.to === "webhook") return { to: "webhook", place, path, key: reader.webhookKey(file.credential) };
  if (file.to === "otlp") {
    if (basePath === "")
      reader.say(
        ["url"],
        "no path",
        "write it with the path of the collector, for example https://collector:4318/v1/logs",
      );
    return { to: "otlp", place, path, authorization: reader.optional(file.credential), gzip: file.gzip };
  }
  if (file.to === "elastic") {
    const { index, gzip } = file;
    return { to: "elastic", place, basePath, index, authorization: reader.optional(file.credential), gzip };
  }
  return {
    ...{ to: "splunk", place, basePath, token: reader.credential(file.credential), index: file.index ?? null },
    ...{ sourceType: file.sourceType ?? `sallyport:${format}`, ack: file.ack, gzip: file.gzip },
  };
}

function bytesOf(text: string, reader: ReceiverReader): number {
  const match = /^([1-9][0-9]{0,5})(KiB|MiB|GiB)$/.exec(text);
  const bytes =
    Number(match?.[1]) * ({ KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 }[match?.[2] ?? ""] ?? Number.NaN);
  if (bytes >= 65_536 && bytes <= 1_099_511_627_776) return bytes;
  reader.say(["rotate"], "not a size to rotate at", "write 64KiB to 1024GiB, for example 64MiB");
  return 0;
}
