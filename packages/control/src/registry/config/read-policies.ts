// Promises the Cedar files of the estate, and which environment each belongs to. Trusts the compiler (snapshot/) to read their text.
// `policies/*.cedar` hold everywhere, `policies/<environment>/*.cedar` there only.
import { attachmentBytesMax, entriesMax } from "./bounds.ts";
import type { PolicyFile } from "./estate.ts";
import { decodeText, type EstateIo } from "./estate-io.ts";
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
  const everywhere: PolicyFile[] = [];
  const own = new Map<string, PolicyFile[]>();
  for (const name of io.list("policies").slice(0, entriesMax)) {
    const path = `policies/${name}`;
    if (name.endsWith(".cedar")) {
      everywhere.push(readPolicy(io, path, findings));
      continue;
    }
    const inside = io.list(path).filter((file) => file.endsWith(".cedar"));
    if (inside.length === 0) continue;
    if (!environments.has(name))
      findings.push(
        errorAt(
          fileSpot(path),
          `the folder is named after no environment, so its policies hold nowhere`,
          suggest(name, environments),
        ),
      );
    else
      own.set(
        name,
        inside.slice(0, entriesMax).map((file) => readPolicy(io, `${path}/${file}`, findings)),
      );
  }
  const of = (environment: string): PolicyFile[] =>
    [...everywhere, ...(own.get(environment) ?? [])].sort((a, b) => (a.file < b.file ? -1 : 1));
  return { findings, of };
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
