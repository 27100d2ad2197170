// Promises that a file somebody wrote for the estate and that nothing reads is named, with the place where it would be read.
// Trusts estate-io.ts for containment and bounds. Specified in docs/configuration.md "Files".
import { type EstateIo, namesIn } from "./estate-io.ts";
import { errorAt, type Finding, fileSpot, warningAt } from "./finding.ts";
import { nearest } from "./nearest.ts";

const estateFile = "sallyport.yaml";
/** What may be meant -> the folder that is read: its own name, and the singular, which is not always a near one. */
const meant: ReadonlyMap<string, string> = new Map([
  ...["systems", "integrations", "policies", "teams", "trust"].map((folder) => [folder, folder] as const),
  ["system", "systems"],
  ["integration", "integrations"],
  ["policy", "policies"],
  ["team", "teams"],
]);
const folders: ReadonlySet<string> = new Set(meant.values());

/** An io that keeps what was asked for: what another file names is not astray, wherever it lies. */
export function keepReads(io: EstateIo): { readonly io: EstateIo; readonly reads: ReadonlySet<string> } {
  const reads = new Set<string>();
  const read: EstateIo["read"] = (file, bytesMax) => {
    reads.add(file);
    return io.read(file, bytesMax);
  };
  return { reads, io: { now: () => io.now(), list: (folder) => io.list(folder), read } };
}

/**
 * Files at the top of the estate, and in folders beside the known ones, that nothing has read. A Cedar file among them is an error: it may
 * hold a `forbid` that somebody relies on. YAML is a warning, in folders only where the name is near a known one.
 */
export function findStrays(io: EstateIo, reads: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  for (const name of namesIn(io, "")) {
    // What is said of sallyport.* in another spelling is said where that file is read.
    if (name.startsWith(".") || /^sallyport\.\w+$/i.test(name) || folders.has(name)) continue;
    if (!reads.has(name)) findings.push(...strayFile(name));
    findings.push(...strayFolder(io, name, reads));
  }
  return findings;
}

function strayFile(name: string): Finding[] {
  if (name.endsWith(".cedar")) return [unreadPolicy(name, `move it to policies/${name}`)];
  if (!/\.ya?ml$/i.test(name)) return [];
  const fix =
    nearest(name, [estateFile]) === null
      ? `move it to systems/${name} or integrations/${name}, or out of the estate`
      : `did you mean \`${estateFile}\`?`;
  return [
    warningAt(fileSpot(name), {
      rule: "stray-file",
      message: "the file is not read: nothing names it, and no object is at the top",
      fix,
    }),
  ];
}

function strayFolder(io: EstateIo, folder: string, reads: ReadonlySet<string>): Finding[] {
  const files = filesIn(io, folder).filter((file) => !reads.has(file));
  const right = meant.get(nearest(folder, meant.keys()) ?? "") ?? null;
  const policies = files
    .filter((file) => file.endsWith(".cedar"))
    .map((file) => unreadPolicy(file, `move it to policies/${file.slice(folder.length + 1)}`));
  if (right === null || !files.some((file) => /\.ya?ml$/i.test(file))) return policies;
  const message = `the folder is not read: \`${folder}\` is none of ${[...folders].join(", ")}`;
  return [
    ...policies,
    warningAt(fileSpot(folder), { rule: "stray-file", message, fix: `did you mean \`${right}/\`? rename it` }),
  ];
}

function unreadPolicy(file: string, fix: string): Finding {
  return errorAt(fileSpot(file), "the policy is not in force: only what is in policies/ is read", fix);
}

/** Files of a folder, and of the folders in it (policies have one per environment). */
function filesIn(io: EstateIo, folder: string): string[] {
  return namesIn(io, folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    const inside = /\.(ya?ml|cedar)$/i.test(name) ? [] : namesIn(io, path);
    return [path, ...inside.map((below) => `${path}/${below}`)];
  });
}
