// Promises whether a data directory is its owner's alone. Pure.
// Trusts gather-files.ts. Specified in docs/cli/doctor.md "Checks".
import { join } from "node:path";
import { type CheckResult, fail, good, warn } from "./check-result.ts";

export interface FileFacts {
  /** Relative to the data directory; `.` is the directory itself. */
  readonly path: string;
  readonly kind: "directory" | "file" | "other";
  readonly mode: number;
  readonly owner: number;
}

const shownMax = 3;
/** What holds private keys or credentials. */
const holdsKeys =
  /(^|\/)(kek\.key|log\.key|[a-z0-9-]+\.key(\.pem|\.json)?|identity\.json|hop\.json|listener\.json|log-keys\.json|endpoints\.json|.*\.sqlite(-wal|-shm)?)$/;

export function decideFiles(
  files: readonly FileFacts[],
  on: { readonly directory: string; readonly user: number | null },
): readonly CheckResult[] {
  const { directory, user } = on;
  if (files.length === 0)
    return [good("files.mode", `${directory} does not exist yet: the first start makes it, mode 0700`)];
  // Windows has no such bits.
  if (user === null) return [good("files.mode", "this system has no owner bits")];
  const open = files.filter(
    ({ path, kind, mode }) => (mode & 0o077) !== 0 && (path === "." || kind === "directory" || holdsKeys.test(path)),
  );
  const foreign = files.filter(({ owner }) => owner !== user && owner !== 0);
  return [decideModes(open, files.length, directory), decideOwners(foreign, { directory, user })];
}

function decideModes(open: readonly FileFacts[], seen: number, directory: string): CheckResult {
  if (open.length === 0) return good("files.mode", `${seen} entries, directories 0700, key files 0600`);
  const root = open.find(({ path }) => path === ".");
  // Inside a directory that nobody else can enter, an open mode harms nobody yet.
  const isReachable = root !== undefined;
  const named = open
    .slice(0, shownMax)
    .map(({ path, mode }) => `${path} has mode ${mode.toString(8).padStart(4, "0")}`);
  const fix = `chmod -R u=rwX,go= ${directory}${isReachable ? "; if others may have read it, replace the keys it holds" : ""}`;
  const measured = `${named.join(", ")}${open.length > shownMax ? ` and ${open.length - shownMax} more` : ""}`;
  return isReachable ? fail("files.mode", measured, fix) : warn("files.mode", measured, fix);
}

function decideOwners(
  foreign: readonly FileFacts[],
  on: { readonly directory: string; readonly user: number },
): CheckResult {
  const [first] = foreign;
  if (first === undefined) return good("files.owner", "all of it belongs to this user");
  return fail(
    "files.owner",
    `${join(on.directory, first.path)} belongs to user ${first.owner}${foreign.length > 1 ? `, and ${foreign.length - 1} more` : ""}`,
    `chown -R ${on.user} ${on.directory}: who owns a key file can replace it`,
  );
}
