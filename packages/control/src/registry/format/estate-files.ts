// Promises the YAML files of an estate with their kinds: the places that load.ts reads, and no others. Trusts estate-io.ts for containment.
// Specified in docs/configuration.md "Files".
import { type EstateIo, namesIn } from "../config/estate-io.ts";
import type { FileKind } from "../config/reference.ts";

export interface EstateFile {
  readonly file: string;
  readonly kind: FileKind;
}

const folders = [
  ["systems", "system"],
  ["integrations", "integration"],
  ["teams", "team"],
  ["trust", "trust"],
] as const;

/** In the order of reading. Files that a key names (schemas) have the layout of whoever made them. */
export function estateFiles(io: EstateIo): readonly EstateFile[] {
  const top: readonly EstateFile[] = namesIn(io, "").includes("sallyport.yaml")
    ? [{ file: "sallyport.yaml", kind: "estate" }]
    : [];
  const inside = folders.flatMap(([folder, kind]) =>
    namesIn(io, folder)
      .filter((name) => name.endsWith(".yaml") && !name.startsWith("."))
      .map((name): EstateFile => ({ file: `${folder}/${name}`, kind })),
  );
  return [...top, ...inside];
}
