// Promises the Cedar files of the estate, and which environment each belongs to. Trusts the compiler (snapshot/) to read their text.
// `policies/*.cedar` hold everywhere, `policies/<environment>/*.cedar` there only.
import { attachmentBytesMax, entriesMax } from "./bounds.ts";
import type { PolicyFile } from "./estate.ts";
import { decodeText, type EstateIo, explainList, isMountEntry, type ListRefusal } from "./estate-io.ts";
import { errorAt, type Finding, fileSpot } from "./finding.ts";
import { suggest } from "./nearest.ts";

export interface Policies {
  readonly findings: readonly Finding[];
  /** Files of one environment in ascending order of name. An unreadable file is there with text that cannot be parsed: a lost `forbid` must not pass. */
  of(environment: string): readonly PolicyFile[];
}

/** Not Cedar on purpose: every action it could have narrowed is denied until the file is readable again. */
const unreadableText = "unreadable policy file";

export function readPolicies(io: EstateIo, environments: ReadonlySet<string>): Policies {
  const findings: Finding[] = [];
  const own = new Map<string, PolicyFile[]>();
  const reading: Reading = { io, findings };
  const everywhere = readEntries(reading, "policies", (name) => {
    const path = `policies/${name}`;
    const inside = io.list(path);
    if (inside === "not-a-folder" || inside === "absent") return null;
    if (environments.has(name)) {
      own.set(
        name,
        readEntries(reading, path, () => null),
      );
      return [];
    }
    if (inside.length === 0) return [];
    const why = "the folder is named after no environment, so its policies hold nowhere";
    return [lost(reading, path, { message: why, fix: suggest(name, environments) })];
  });
  const of = (environment: string): PolicyFile[] =>
    [...everywhere, ...(own.get(environment) ?? [])].sort((a, b) => (a.file < b.file ? -1 : 1));
  return { findings, of };
}

interface Reading {
  readonly io: EstateIo;
  readonly findings: Finding[];
}

/** Every entry of a folder: a policy, what `other` makes of it, or a lost one. Nothing in the folder is passed over in silence. */
function readEntries(
  reading: Reading,
  folder: string,
  other: (name: string) => readonly PolicyFile[] | null,
): PolicyFile[] {
  const names: readonly string[] | ListRefusal = reading.io.list(folder);
  if (typeof names === "string") {
    const why = explainList(names);
    return why === null ? [] : [lost(reading, folder, why)];
  }
  const files: PolicyFile[] = [];
  if (names.length > entriesMax)
    files.push(
      lost(reading, folder, {
        message: `more than ${entriesMax} entries, of which the rest is not read`,
        fix: "write several policies in one file",
      }),
    );
  for (const name of names.slice(0, entriesMax)) {
    if (isMountEntry(name) || name === ".gitkeep") continue;
    const path = `${folder}/${name}`;
    const isPolicy = name.endsWith(".cedar");
    const read = isPolicy ? [readPolicy(reading.io, path, reading.findings)] : other(name);
    files.push(...(read ?? [lost(reading, path, notPolicy)]));
  }
  return files;
}

const notPolicy = {
  message: "not read as a policy: only `policies/<name>.cedar` and `policies/<environment>/<name>.cedar` are",
  fix: "move or rename it to such a place, or remove it from policies/",
};

/** Stands for what may have been a `forbid`. */
function lost({ findings }: Reading, file: string, why: { message: string; fix: string }): PolicyFile {
  findings.push(errorAt(fileSpot(file), `${why.message}, so every operation is denied`, why.fix));
  return { file, text: unreadableText };
}

function readPolicy(io: EstateIo, file: string, findings: Finding[]): PolicyFile {
  const bytes = io.read(file, attachmentBytesMax);
  const text = typeof bytes === "string" ? null : decodeText(bytes);
  if (text !== null) return { file, text };
  const why =
    bytes === "outside"
      ? "the file is a symbolic link out of the estate directory"
      : bytes === "too-large"
        ? `the file is larger than ${attachmentBytesMax} bytes`
        : "the file cannot be read as UTF-8 text";
  findings.push(
    errorAt(fileSpot(file), `${why}, so every operation is denied`, "put a readable Cedar file here, or remove it"),
  );
  return { file, text: unreadableText };
}
