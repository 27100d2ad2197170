// Promises the sinks of a folder with their credentials read, or what is wrong, where, and what to do; never a credential in a message.
// Trusts the folder: who can write there decides where the log goes. Specified in docs/export.md "A sink".
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { readPrivateFile } from "@sallyport/kernel/seal/key-file.ts";
import { diskEstateIo } from "../../registry/config/estate-io.ts";
import { errorAt, type Finding, fileSpot, formatFinding } from "../../registry/config/finding.ts";
import { shape } from "../../registry/config/shape.ts";
import { type MapTree, parseYaml, spotOf } from "../../registry/config/yaml-tree.ts";
import { type ExportFilter, severities } from "./exported-record.ts";
import { type SinkFile, sinkSchema } from "./sink-schema.ts";
import type { SinkSettings, SinkTarget } from "./sink-settings.ts";

const sinksMax = 32;
const fileBytesMax = 65_536;
const credentialBytesMax = 65_536;

export interface SinkReading {
  readonly sinks: readonly SinkSettings[];
  readonly findings: readonly Finding[];
}

/** The folder holds something that is wrong; the start is refused. */
export class SinkConfigFault extends Error {
  readonly findings: readonly Finding[];

  constructor(folder: string, findings: readonly Finding[]) {
    super(`the sinks in ${folder} are not whole:\n${findings.map(formatFinding).join("\n")}`);
    this.name = "SinkConfigFault";
    this.findings = findings;
  }
}

export interface SinkIo {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

/** Throws EstateFault when the folder cannot be read, SinkConfigFault when anything in it is wrong. */
export function readSinkFolder(folder: string, io: SinkIo): readonly SinkSettings[] {
  const { sinks, findings } = readSinks(folder, io);
  if (findings.length > 0) throw new SinkConfigFault(folder, findings);
  return sinks;
}

function readSinks(folder: string, io: SinkIo): SinkReading {
  const files = diskEstateIo(folder, io.now);
  const listed = files.list(".");
  if (typeof listed === "string")
    return { sinks: [], findings: [errorAt(fileSpot("."), `the folder is ${listed}`, "check the path of --exports")] };
  const names = listed.filter((name) => !name.startsWith("."));
  if (names.length > sinksMax)
    return { sinks: [], findings: [errorAt(fileSpot("."), `more than ${sinksMax} files`, "use fewer sinks")] };
  const read = names.map((name): SinkReading => {
    if (!/^[a-z][a-z0-9-]*\.yaml$/.test(name))
      return {
        sinks: [],
        findings: [errorAt(fileSpot(name), "not the file of a sink", "name it <sink>.yaml, or move it elsewhere")],
      };
    const bytes = files.read(name, fileBytesMax);
    if (typeof bytes === "string")
      return {
        sinks: [],
        findings: [errorAt(fileSpot(name), `the file is ${bytes}`, "make it a readable file below 64 KiB")],
      };
    return readSink(name, new TextDecoder().decode(bytes), io);
  });
  return { sinks: read.flatMap(({ sinks }) => sinks), findings: read.flatMap(({ findings }) => findings) };
}

/** One file. */
export function readSink(name: string, text: string, io: SinkIo): SinkReading {
  const parsed = parseYaml(name, text);
  const { root: tree } = parsed;
  if (tree === null || parsed.findings.length > 0) return { sinks: [], findings: parsed.findings };
  const shaped = shape(sinkSchema, tree);
  if (shaped.value === null) return { sinks: [], findings: shaped.findings };
  const findings: Finding[] = [];
  const reader = new SinkReader(tree, io, findings);
  const sink = reader.settings(shaped.value);
  if (`${shaped.value.sink}.yaml` !== name)
    findings.push(
      errorAt(
        spotOf(tree, ["sink"]),
        "the name is not that of the file",
        `write ${name.replace(/\.yaml$/, "")}, or rename the file`,
      ),
    );
  return findings.length > 0 ? { sinks: [], findings } : { sinks: [sink], findings };
}

class SinkReader {
  readonly #tree: MapTree;
  readonly #io: SinkIo;
  readonly #findings: Finding[];

  constructor(tree: MapTree, io: SinkIo, findings: Finding[]) {
    this.#tree = tree;
    this.#io = io;
    this.#findings = findings;
  }

  settings(file: SinkFile): SinkSettings {
    const format = file.format ?? (file.to === "elastic" ? "ecs" : file.to === "syslog" ? "leaf" : "ocsf");
    const { environments = null, kinds = null, verdicts = null, severity } = file.filter;
    const filter: ExportFilter = { environments, kinds, verdicts, severity: severities[severity] };
    return {
      name: file.sink,
      format,
      version: file.ocsf,
      named: file.names === "clients",
      filter,
      target: this.#target(file, format),
    };
  }

  #target(file: SinkFile, format: string): SinkTarget {
    if (file.to === "stdout") return { to: "stdout" };
    if (file.to === "file")
      return { to: "file", path: file.path, rotateBytes: this.#bytes(file.rotate), keep: file.keep };
    const url = new URL(file.url);
    const place = { origin: url.origin, allowPrivate: file.allowPrivate, ...this.#tls(file.tls) };
    if (file.to === "syslog") {
      if (url.pathname !== "/" || url.search !== "")
        this.#say(["url"], "a syslog receiver has no path", "write https://host:6514");
      return { to: "syslog", place, enterprise: file.enterprise };
    }
    const basePath = url.pathname.replace(/\/+$/, "");
    if (file.to === "webhook")
      return { to: "webhook", place, path: `${url.pathname}${url.search}`, key: this.#webhookKey(file.credential) };
    if (file.to === "otlp") {
      if (basePath === "")
        this.#say(
          ["url"],
          "no path",
          "write it with the path of the collector, for example https://collector:4318/v1/logs",
        );
      return {
        to: "otlp",
        place,
        path: `${url.pathname}${url.search}`,
        authorization: this.#optional(file.credential),
        gzip: file.gzip,
      };
    }
    if (file.to === "elastic")
      return {
        to: "elastic",
        place,
        basePath,
        index: file.index,
        authorization: this.#optional(file.credential),
        gzip: file.gzip,
      };
    return {
      ...{ to: "splunk", place, basePath, token: this.#credential(file.credential), index: file.index ?? null },
      ...{ sourceType: file.sourceType ?? `sallyport:${format}`, ack: file.ack, gzip: file.gzip },
    };
  }

  #bytes(text: string): number {
    const match = /^([1-9][0-9]{0,5})(KiB|MiB|GiB)$/.exec(text);
    const bytes =
      Number(match?.[1]) * ({ KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 }[match?.[2] ?? ""] ?? Number.NaN);
    if (bytes >= 65_536 && bytes <= 1_099_511_627_776) return bytes;
    this.#say(["rotate"], "not a size to rotate at", "write 64KiB to 1024GiB, for example 64MiB");
    return 0;
  }

  #tls({
    ca,
    cert,
    key,
  }: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  }) {
    if ((cert === undefined) !== (key === undefined))
      this.#say(["tls"], "`cert` and `key` come together", "give both, or neither");
    const roots = ca === undefined ? null : this.#pem(ca, ["tls", "ca"]);
    const identity =
      cert === undefined || key === undefined
        ? null
        : { cert: this.#pem(cert, ["tls", "cert"]), key: this.#private(key, ["tls", "key"]) };
    try {
      createSecureContext({ ...(roots === null ? {} : { ca: roots }), ...(identity ?? {}) });
    } catch {
      this.#say(["tls"], "not certificates in PEM, or a key that is not the certificate's", "check the files");
    }
    return { ca: roots, identity };
  }

  #pem(path: string, at: readonly string[]): string {
    try {
      const text = readFileSync(path, "utf8");
      if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    } catch {
      // said below
    }
    this.#say(at, "no file with certificates in PEM", "check the path");
    return "";
  }

  #optional(reference: string | undefined): string | null {
    return reference === undefined ? null : this.#credential(reference);
  }

  /** One line of printable ASCII: nothing that could end a header field. */
  #credential(reference: string): string {
    const value = this.#referenced(reference).replace(/\r?\n$/, "");
    if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?$/.test(value) && value !== "")
      this.#say(["credential"], "what it names is not one line of printable characters", "put the bare value there");
    return value;
  }

  #referenced(reference: string): string {
    if (reference.startsWith("file:")) return this.#private(reference.slice("file:".length), ["credential"]);
    const value = this.#io.environment[reference.slice("env:".length)];
    if (value !== undefined && value !== "") return value;
    this.#say(["credential"], "the variable it names is not set", "set it in the environment of serve");
    return "";
  }

  #private(path: string, at: readonly string[]): string {
    try {
      const bytes = readPrivateFile(path, credentialBytesMax);
      if (bytes !== null && bytes.length > 0) return new TextDecoder().decode(bytes);
      this.#say(at, "the file it names is not there, or empty", "check the path");
    } catch (error) {
      // Its words name path, mode and fix, never the content.
      this.#say(
        at,
        error instanceof Error ? error.message : "the file it names cannot be read",
        "make it readable by its owner alone",
      );
    }
    return "";
  }

  #webhookKey(reference: string): Uint8Array {
    const key = Buffer.from(
      /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(this.#credential(reference))?.[1] ?? "",
      "base64",
    );
    if (key.length >= 24 && key.length <= 64) return new Uint8Array(key);
    this.#say(
      ["credential"],
      "what it names is not the secret of a webhook",
      "put whsec_ and the base64 of 24 to 64 random bytes there",
    );
    return new Uint8Array(32);
  }

  #say(at: readonly string[], message: string, fix: string): void {
    this.#findings.push(errorAt(spotOf(this.#tree, at), message, fix));
  }
}
