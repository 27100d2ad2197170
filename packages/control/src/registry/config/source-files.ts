// Promises every YAML file of a folder as a source: its id, its tree, and what is wrong with the file itself.
// Trusts estate-io.ts for containment and bounds. File name = id (docs/configuration.md "Files").
import { entriesMax, yamlBytesMax } from "./bounds.ts";
import { findClearSecrets } from "./clear-secrets.ts";
import { decodeText, type EstateIo, explainList } from "./estate-io.ts";
import { errorAt, type Finding, fileSpot, sortFindings } from "./finding.ts";
import { refuseId } from "./words.ts";
import { findTraps } from "./yaml-traps.ts";
import { type MapTree, parseYaml, spotOf, textAt } from "./yaml-tree.ts";

export interface SourceFile {
  readonly file: string;
  /** From the file name; also when it is not a good one. */
  readonly id: string;
  /** Null: not usable at all; `findings` has the error. */
  readonly root: MapTree | null;
  /** Syntax, traps, clear secrets, name. Which part of the object an error breaks follows from its path. */
  readonly findings: readonly Finding[];
}

export interface Folder {
  readonly sources: readonly SourceFile[];
  /** About names in the folder that are no sources. */
  readonly findings: readonly Finding[];
}

/** The objects of `systems/`, `integrations/`, `teams/`, `trust/` or `issuers/`. `key` is the key that repeats the id inside the file. */
export function readFolder(io: EstateIo, folder: string, key: string): Folder {
  const sources: SourceFile[] = [];
  const findings: Finding[] = [];
  const names = io.list(folder);
  if (typeof names === "string") {
    const why = explainList(names);
    return {
      sources,
      findings: why === null ? [] : [errorAt(fileSpot(folder), `${why.message}, so nothing of it is served`, why.fix)],
    };
  }
  if (names.length > entriesMax)
    findings.push(
      errorAt(fileSpot(folder), `more than ${entriesMax} files`, "the rest is not read: divide the estate"),
    );
  for (const name of names.slice(0, entriesMax)) {
    const file = `${folder}/${name}`;
    if (/\.ya?ml$/i.test(name) && (!name.endsWith(".yaml") || name.startsWith(".")))
      findings.push(
        errorAt(
          fileSpot(file),
          `the file is not read: its name ${name.startsWith(".") ? "begins with a dot" : "does not end in `.yaml`"}`,
          `rename it to ${name
            .replace(/^\.+/, "")
            .replace(/\.\w+$/, ".yaml")
            .toLowerCase()}`,
        ),
      );
    if (!name.endsWith(".yaml") && !name.startsWith(".")) findings.push(...unreadFolder(io, file));
    if (!name.endsWith(".yaml") || name.startsWith(".")) continue;
    sources.push(readSource(io, file, { id: name.slice(0, -".yaml".length), key }));
  }
  return { sources, findings };
}

/** A folder below: refused, or with files that repeat the key of an object, which would be lost without a word. Schemas and keys may lie there. */
function unreadFolder(io: EstateIo, folder: string): Finding[] {
  const names = io.list(folder);
  if (names === "not-a-folder" || names === "absent") return [];
  if (typeof names === "string") {
    const why = explainList(names);
    return why === null ? [] : [errorAt(fileSpot(folder), why.message, why.fix)];
  }
  return names.flatMap((name) => {
    const file = `${folder}/${name}`;
    if (!/\.ya?ml$/i.test(name)) return [];
    const { root } = readYamlFile(io, file) ?? { root: null };
    const isObject = root !== null && ["system", "integration", "trust", "issuer"].some((key) => root.entries.has(key));
    return isObject
      ? [errorAt(fileSpot(file), "the file is not read: it lies in a folder below", "move it one folder up")]
      : [];
  });
}

function readSource(io: EstateIo, file: string, name: { readonly id: string; readonly key: string }): SourceFile {
  const { id, key } = name;
  const refused = refuseId(id);
  if (refused !== null) {
    const message = `the file name is the id, and: ${refused.refused}`;
    return { file, id, root: null, findings: [errorAt(fileSpot(file), message, refused.fix)] };
  }
  const source = readYamlFile(io, file);
  if (source === null)
    return {
      file,
      id,
      root: null,
      findings: [errorAt(fileSpot(file), "the file went away while it was read", "load again")],
    };
  const { root } = source;
  if (root === null) return { file, id, root, findings: source.findings };
  const written = textAt(root, [key]);
  const mismatch =
    written !== null && written !== id
      ? [
          errorAt(
            spotOf(root, [key]),
            `\`${key}\` is not the name of the file`,
            `write \`${key}: ${id}\`, or rename the file`,
          ),
        ]
      : [];
  return { file, id, root, findings: [...source.findings, ...mismatch] };
}

/** One YAML file with everything that is wrong with its text; null when there is no such file. */
export function readYamlFile(io: EstateIo, file: string): Pick<SourceFile, "root" | "findings"> | null {
  const bytes = io.read(file, yamlBytesMax);
  if (bytes === "absent") return null;
  const failed = (message: string, fix: string) => ({ root: null, findings: [errorAt(fileSpot(file), message, fix)] });
  if (bytes === "outside")
    return failed("the file is a symbolic link out of the estate directory", "copy the file into the estate");
  if (bytes === "too-large")
    return failed(`the file is larger than ${yamlBytesMax} bytes`, "split it: one file per object");
  if (bytes === "not-a-file") return failed("not a regular file", "put a file here");
  const text = decodeText(bytes);
  if (text === null) return failed("the file is not UTF-8 text", "save it as UTF-8");
  const { root, findings } = parseYaml(file, text);
  if (root === null) return { root, findings };
  // A clear secret is said once, even where the same value is also a trap.
  const secrets = findClearSecrets(root);
  const told = new Set(secrets.map((finding) => finding.path));
  return {
    root,
    findings: sortFindings([...secrets, ...findTraps(root).filter((finding) => !told.has(finding.path))]),
  };
}
