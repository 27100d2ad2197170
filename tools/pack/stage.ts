// Promises the folders that npm packs: sources compiled by the TypeScript of the lock file, specifiers led to compiled files, one generated
// package.json each. Trusts tsc for the emitted code. Specified in docs/packaging.md; decided in docs/decisions/0017-compiled-packages.md.
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isTest } from "../tidy/source-text.ts";
import { contentFaults, type StagedPackage } from "./contents.ts";
import { packedManifest, type WorkspaceManifest } from "./manifest.ts";

/** In the order in which they build on each other. */
export const packageNames = ["protocol", "kernel", "gateway", "control", "sdk", "cli"] as const;

/** Sources that serve this repository only. */
const ownTools: ReadonlySet<string> = new Set(["control/src/registry/config/write-reference.ts"]);

/** Faults told at once. */
const shownMax = 20;

/** Compiles every package into `out`, a folder each. Throws with the compiler's words. */
function compile(root: string, out: string): void {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const args = [tsc, "-p", join(root, "tools/pack/tsconfig.json"), "--outDir", out];
  const done = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`the packages do not compile:\n${done.stdout}${done.stderr}`);
}

/** In programs relative specifiers are tsc's work; in types they, and everywhere those between our packages and addresses of modules, are ours. */
export function leadToCompiled(text: string): string {
  return text
    .replace(/(\bfrom\s*|\bimport\(\s*|\bimport\s+)(["'])(\.{1,2}\/[a-z0-9./-]+)\.ts\2/g, "$1$2$3.js$2")
    .replace(/(["'])(@sallyport\/[a-z]+\/[a-z0-9./-]+)\.ts\1/g, "$1$2.js$1")
    .replace(/(\bnew URL\(\s*)(["'])(\.{1,2}\/[a-z0-9./-]+)\.ts\2/g, "$1$2$3.js$2");
}

function compiledFiles(compiled: string, name: string): readonly string[] {
  return globSync("**/*.{js,d.ts}", { cwd: join(compiled, name, "src") })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => {
      const source = `${name}/src/${path.replace(/(?:\.d\.ts|\.js)$/, ".ts")}`;
      if (isTest(`packages/${source}`) || ownTools.has(source)) return false;
      // A program's parts are nobody's to import, so nobody needs their types.
      return name !== "cli" || path.endsWith(".js");
    })
    .toSorted();
}

export interface Staged extends StagedPackage {
  readonly directory: string;
}

export interface StageOptions {
  readonly root: string;
  /** An empty folder; it gets `compiled` and `packages`. */
  readonly build: string;
  /** JSON Schemas for the program's package: file name to text. */
  readonly schemas: ReadonlyMap<string, string>;
}

/** Compiles and lays out all packages. Throws when one of them lacks something or holds too much, naming each. */
export function stagePackages({ root, build, schemas }: StageOptions): readonly Staged[] {
  const compiled = join(build, "compiled");
  compile(root, compiled);
  const staged = packageNames.map((name) => stageOne({ root, build, compiled, name, schemas }));
  const faults = contentFaults(staged);
  if (faults.length > 0)
    throw new Error(`the packages are not fit to publish (${faults.length}):\n${faults.slice(0, shownMax).join("\n")}`);
  return staged;
}

interface StageOne extends StageOptions {
  readonly compiled: string;
  readonly name: (typeof packageNames)[number];
}

function stageOne({ root, build, compiled, name, schemas }: StageOne): Staged {
  const source = join(root, "packages", name);
  const directory = join(build, "packages", name);
  const files = new Map<string, string>();
  for (const path of compiledFiles(compiled, name))
    files.set(`dist/${path}`, leadToCompiled(readFileSync(join(compiled, name, "src", path), "utf8")));
  files.set("README.md", readFileSync(join(source, "README.md"), "utf8"));
  files.set("LICENSE", readFileSync(join(root, "LICENSE"), "utf8"));
  // The shape is checked by packedManifest and by every installation in the tests.
  const workspace = JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as WorkspaceManifest;
  for (const path of Object.values(workspace.bin ?? {})) files.set(path, readFileSync(join(source, path), "utf8"));
  if (workspace.bin !== undefined) for (const [path, text] of schemas) files.set(`schemas/${path}`, text);
  const folders = [
    ...new Set([...files.keys()].filter((path) => path.includes("/")).map((path) => path.split("/", 1).join(""))),
  ];
  const manifest = packedManifest(workspace, folders);
  files.set("package.json", `${JSON.stringify(manifest, null, 2)}\n`);
  for (const [path, text] of files) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  for (const path of Object.values(workspace.bin ?? {})) chmodSync(join(directory, path), 0o755);
  return { manifest, files, directory };
}
