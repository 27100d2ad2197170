// Promises what one sink is, whole and structured-cloneable: what is sent, in which form, and where to. Trusts read-sinks.ts, which read it.
// Specified in docs/export.md "A sink".
import type { ExportFormat } from "./encode.ts";
import { type ExportFilter, severities } from "./exported-record.ts";
import type { HttpPlace } from "./http-sink.ts";
import type { OcsfVersion } from "./ocsf.ts";

export type SinkPlaceSettings = Pick<HttpPlace, "origin" | "allowPrivate" | "ca" | "identity">;

export type SinkTarget =
  | { readonly to: "stdout" }
  | { readonly to: "file"; readonly path: string; readonly rotateBytes: number; readonly keep: number }
  | { readonly to: "syslog"; readonly place: SinkPlaceSettings; readonly enterprise: number }
  | {
      readonly to: "splunk";
      readonly place: SinkPlaceSettings;
      readonly basePath: string;
      readonly token: string;
      readonly index: string | null;
      readonly sourceType: string;
      readonly ack: boolean;
      readonly gzip: boolean;
    }
  | {
      readonly to: "elastic";
      readonly place: SinkPlaceSettings;
      readonly basePath: string;
      readonly index: string;
      readonly authorization: string | null;
      readonly gzip: boolean;
    }
  | {
      readonly to: "otlp";
      readonly place: SinkPlaceSettings;
      readonly path: string;
      readonly authorization: string | null;
      readonly gzip: boolean;
    }
  | { readonly to: "webhook"; readonly place: SinkPlaceSettings; readonly path: string; readonly key: Uint8Array };

export interface SinkSettings {
  readonly name: string;
  readonly format: ExportFormat;
  readonly version: OcsfVersion;
  /** Declared names of clients are said. */
  readonly named: boolean;
  readonly filter: ExportFilter;
  readonly target: SinkTarget;
}

/** What may be shown and recorded of a sink: where it leads and what it lets through, no credential. */
export interface ShownSink {
  readonly sink: string;
  readonly to: SinkTarget["to"];
  /** Origin, path of the file, or `standard output`. */
  readonly where: string;
  readonly format: ExportFormat;
  readonly names: "pseudonyms" | "clients";
  readonly environments: readonly string[] | null;
  readonly kinds: readonly string[] | null;
  readonly verdicts: readonly string[] | null;
  readonly severity: string;
}

export function shownSink({ name, format, named, filter, target }: SinkSettings): ShownSink {
  const { environments, kinds, verdicts, severity } = filter;
  const where = target.to === "stdout" ? "standard output" : target.to === "file" ? target.path : target.place.origin;
  return {
    ...{ sink: name, to: target.to, where, format, names: named ? "clients" : "pseudonyms" },
    ...{ environments, kinds, verdicts },
    severity: Object.entries(severities).find(([, number]) => number === severity)?.[0] ?? "informational",
  };
}
