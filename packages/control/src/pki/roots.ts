// Promises the roots clients of this installation trust, as files: `<data>/ca/control.pem` and one per environment. Trusts the data directory.
// Specified in docs/control.md "Files".
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Authorities } from "./authorities.ts";

/** Writes what is missing or different; a reader never sees half a file. */
export async function writeRoots(
  authorities: Authorities,
  place: { readonly tenant: string; readonly dataDirectory: string; readonly environments: Iterable<string> },
): Promise<void> {
  const { tenant, dataDirectory, environments } = place;
  const directory = join(dataDirectory, "ca");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const control = await authorities.authority(tenant, "sallyport", "listeners");
  writeWhole(join(directory, "control.pem"), control.certificatePem);
  for (const environment of environments) {
    const { certificatePem } = await authorities.authority(tenant, environment, "workloads");
    writeWhole(join(directory, `${environment}.pem`), certificatePem);
  }
}

function writeWhole(path: string, text: string): void {
  if (readOrNull(path) === text) return;
  const draft = `${path}.draft`;
  writeFileSync(draft, text, { mode: 0o644 });
  renameSync(draft, path);
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
