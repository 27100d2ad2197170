// Promises every file of a folder of settings read, each into one setting, or what is wrong, where, and what to do. Trusts the folder: who can write
// there decides. Specified in docs/export.md "A sink" and docs/alerts.md "A notifier".
import type { z } from "zod";
import { diskEstateIo } from "../../registry/config/estate-io.ts";
import { errorAt, type Finding, fileSpot, formatFinding } from "../../registry/config/finding.ts";
import { shape } from "../../registry/config/shape.ts";
import { type MapTree, parseYaml, spotOf } from "../../registry/config/yaml-tree.ts";
import { ReceiverReader } from "./receiver-reader.ts";

const filesMax = 32;
const fileBytesMax = 65_536;

/** The folder holds something that is wrong; the start is refused. */
export class SettingsFault extends Error {
  readonly findings: readonly Finding[];

  constructor(noun: string, folder: string, findings: readonly Finding[]) {
    super(`the ${noun}s in ${folder} are not whole:\n${findings.map(formatFinding).join("\n")}`);
    this.name = "SettingsFault";
    this.findings = findings;
  }
}

export interface SettingsIo {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
}

export interface Reading<T> {
  readonly settings: readonly T[];
  readonly findings: readonly Finding[];
}

/** What the files of one folder are. */
export interface SettingsKind<File, T> {
  /** The key of a file that names it. */
  readonly key: string;
  /** What a person calls it. */
  readonly noun: string;
  /** The option of `serve` that names the folder. */
  readonly option: string;
  readonly schema: z.ZodType<File>;
  readonly nameOf: (file: File) => string;
  readonly settings: (file: File, reader: ReceiverReader) => T;
}

/** Throws EstateFault when the folder cannot be read, SettingsFault when anything in it is wrong. */
export function readSettingsFolder<File, T>(kind: SettingsKind<File, T>, folder: string, io: SettingsIo): readonly T[] {
  const { settings, findings } = readAll(kind, folder, io);
  if (findings.length > 0) throw new SettingsFault(kind.noun, folder, findings);
  return settings;
}

function readAll<File, T>(kind: SettingsKind<File, T>, folder: string, io: SettingsIo): Reading<T> {
  const { key, noun, option } = kind;
  const files = diskEstateIo(folder, io.now);
  const listed = files.list(".");
  if (typeof listed === "string")
    return wrong(errorAt(fileSpot("."), `the folder is ${listed}`, `check the path of ${option}`));
  const names = listed.filter((name) => !name.startsWith("."));
  if (names.length > filesMax)
    return wrong(errorAt(fileSpot("."), `more than ${filesMax} files`, `use fewer ${noun}s`));
  const read = names.map((name): Reading<T> => {
    if (!/^[a-z][a-z0-9-]*\.yaml$/.test(name))
      return wrong(errorAt(fileSpot(name), `not the file of a ${noun}`, `name it <${key}>.yaml, or move it elsewhere`));
    const bytes = files.read(name, fileBytesMax);
    if (typeof bytes === "string")
      return wrong(errorAt(fileSpot(name), `the file is ${bytes}`, "make it a readable file below 64 KiB"));
    return readSettings(kind, { name, text: new TextDecoder().decode(bytes) }, io);
  });
  return {
    settings: read.flatMap(({ settings }) => settings),
    findings: read.flatMap(({ findings }) => findings),
  };
}

const wrong = (finding: Finding): Reading<never> => ({ settings: [], findings: [finding] });

/** One file. */
export function readSettings<File, T>(
  { key, schema, nameOf, settings }: SettingsKind<File, T>,
  { name, text }: { readonly name: string; readonly text: string },
  io: SettingsIo,
): Reading<T> {
  const parsed = parseYaml(name, text);
  const { root: tree } = parsed;
  if (tree === null || parsed.findings.length > 0) return { settings: [], findings: parsed.findings };
  const shaped = shape(schema, tree);
  if (shaped.value === null) return { settings: [], findings: shaped.findings };
  const findings: Finding[] = [];
  const one = settings(shaped.value, new ReceiverReader(tree, io, findings));
  if (`${nameOf(shaped.value)}.yaml` !== name) findings.push(otherName(tree, key, name));
  return findings.length > 0 ? { settings: [], findings } : { settings: [one], findings };
}

const otherName = (tree: MapTree, key: string, name: string): Finding =>
  errorAt(
    spotOf(tree, [key]),
    "the name is not that of the file",
    `write ${name.replace(/\.yaml$/, "")}, or rename the file`,
  );
