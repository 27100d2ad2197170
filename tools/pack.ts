// `npm run pack -- [folder]`: promises the tarballs of all packages in one folder (default `build/tarballs`), the same bytes from the same
// sources. Trusts npm to pack what package.json names. Specified in docs/packaging.md.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { editorSchemas } from "@sallyport/control/registry/config/reference.ts";
import { stagePackages } from "./pack/stage.ts";

export interface Tarball {
  readonly name: string;
  readonly version: string;
  readonly path: string;
  readonly bytes: number;
  readonly unpackedBytes: number;
  /** `sha512-…`, as lock files have it. */
  readonly integrity: string;
}

interface NpmPacked {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly integrity: string;
}

/** Runs `npm pack` on staged folders; nothing of the network, no scripts. */
export function packFolders(folders: readonly string[], out: string): readonly Tarball[] {
  mkdirSync(out, { recursive: true });
  const isWindows = process.platform === "win32";
  const args = [
    "pack",
    ...folders,
    "--pack-destination",
    out,
    "--ignore-scripts",
    "--offline",
    "--json",
    "--loglevel=error",
  ];
  const done = spawnSync(isWindows ? "npm.cmd" : "npm", args, { encoding: "utf8", shell: isWindows });
  if (done.status !== 0) throw new Error(`npm pack failed:\n${done.stdout}${done.stderr}`);
  // npm's own answer, one entry for each folder; newer ones key it by name.
  const answer = JSON.parse(done.stdout) as readonly NpmPacked[] | Readonly<Record<string, NpmPacked>>;
  return Object.values(answer).map(({ name, version, filename, size, unpackedSize, integrity }) => ({
    name,
    version,
    path: join(out, filename.replace(/^@/, "").replace("/", "-")),
    bytes: size,
    unpackedBytes: unpackedSize,
    integrity,
  }));
}

/** Compiles, lays out, checks and packs every package. Throws naming what is wrong. */
export function packAll(root: string, build: string, out: string): readonly Tarball[] {
  const schemas = new Map(
    editorSchemas().map(({ file, schema }) => [file, `${JSON.stringify(schema, null, 2)}\n`] as const),
  );
  const staged = stagePackages({ root, build, schemas });
  return packFolders(
    staged.map(({ directory }) => directory),
    out,
  );
}

function main(): void {
  const root = dirname(import.meta.dirname);
  const build = join(root, "build");
  rmSync(build, { recursive: true, force: true });
  const out = resolve(root, process.argv[2] ?? join("build", "tarballs"));
  for (const { name, version, bytes, unpackedBytes, path } of packAll(root, build, out))
    console.log(`${name}@${version}  ${kib(bytes)} packed, ${kib(unpackedBytes)} unpacked  ${path}`);
}

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(0)} KiB`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
