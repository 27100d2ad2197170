// Promises the files below a folder in the order of the bytes of their whole names, a page at a time; never a link, never a name that is none of ours.
// Trusts the file system. Order: docs/formats/archive.md "Names".
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../log/disk.ts";
import { isArchiveName, type ListedObject } from "./port.ts";

/** Folders within one another; names are no deeper. */
const depthMax = 32;

export async function listFolder(
  root: string,
  { prefix, after, max }: { readonly prefix: string; readonly after: string; readonly max: number },
): Promise<readonly ListedObject[]> {
  const found: ListedObject[] = [];
  for await (const name of namesBelow(root, prefix, { after, depth: 0 })) {
    if (found.length >= max) break;
    found.push({ name, bytes: (await stat(join(root, name))).size });
  }
  return found;
}

async function* namesBelow(
  root: string,
  prefix: string,
  { after, depth }: { readonly after: string; readonly depth: number },
): AsyncGenerator<string, void, void> {
  if (depth > depthMax) return;
  // A folder stands where the slash behind its name puts it: that is the order of the whole names.
  const sorted = (await entries(join(root, prefix))).sort((a, b) => (a < b ? -1 : 1));
  for (const entry of sorted) {
    const name = `${prefix}${entry}`;
    if (entry.endsWith("/")) {
      // Nothing in a folder that lies wholly before the mark can come after it.
      const isBefore = name < after && !after.startsWith(name);
      if (!isBefore && isArchiveName(name.slice(0, -1))) yield* namesBelow(root, name, { after, depth: depth + 1 });
    } else if (name > after && isArchiveName(name)) yield name;
  }
}

async function entries(folder: string): Promise<string[]> {
  try {
    const all = await readdir(folder, { withFileTypes: true });
    return all.flatMap((one) => (one.isDirectory() ? [`${one.name}/`] : one.isFile() ? [one.name] : []));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
