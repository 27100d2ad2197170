// Promises that a package holds what it needs to run elsewhere and nothing else: every import leads somewhere, no test, no pointer into this
// repository. Pure. Trusts tidy's scanner for imports. Specified in docs/packaging.md, "What is in a package".
import { posix } from "node:path";
import { importsOf } from "../tidy/imports.ts";
import type { PackedManifest } from "./manifest.ts";

export interface StagedPackage {
  readonly manifest: PackedManifest;
  /** Path inside the package to text. */
  readonly files: ReadonlyMap<string, string>;
}

const allowedPaths =
  /^(?:package\.json|README\.md|LICENSE|dist\/.+\.(?:js|d\.ts)|bin\/[a-z-]+\.mjs|schemas\/[a-z.-]+\.json)$/;
const testPaths = /\.test\.|\.test-|\/testing\/|\/contract\/|(?:^|\/)test-|for-each-dialect|-fixture\./;

/** One line for each thing that is wrong; empty when all packages are as they should be. */
export function contentFaults(packages: readonly StagedPackage[]): readonly string[] {
  const byName = new Map(packages.map((one) => [one.manifest.name, one]));
  return packages.flatMap((one) => [
    ...[...one.files.keys()].flatMap((path) => pathFault(one, path)),
    ...targetFaults(one),
    ...[...one.files].flatMap(([path, text]) => textFaults(one, { path, text, byName })),
  ]);
}

function pathFault({ manifest }: StagedPackage, path: string): readonly string[] {
  if (testPaths.test(path)) return [`${manifest.name}: ${path} belongs to the tests`];
  return allowedPaths.test(path) ? [] : [`${manifest.name}: ${path} has no place in a package`];
}

/** What package.json points to must be there, and README and LICENSE with it. */
function targetFaults({ manifest, files }: StagedPackage): readonly string[] {
  const exported = Object.values(manifest.exports).flatMap((target) =>
    typeof target === "string" ? [target] : [target.types, target.default],
  );
  const targets = [...exported, ...Object.values(manifest.bin ?? {}), "README.md", "LICENSE"];
  return targets
    .map((target) => posix.normalize(target))
    .filter((target) => !target.includes("*") && !files.has(target))
    .map((target) => `${manifest.name}: ${target} is missing`);
}

interface Text {
  readonly path: string;
  readonly text: string;
  readonly byName: ReadonlyMap<string, StagedPackage>;
}

function textFaults(one: StagedPackage, { path, text, byName }: Text): readonly string[] {
  if (!/\.(?:m?js|d\.ts)$/.test(path)) return [];
  const at = `${one.manifest.name}: ${path}`;
  const pointers = /\/\/# sourceMappingURL=/.test(text) ? [`${at} points to a source map that is not packed`] : [];
  const imports = importsOf(text).flatMap(({ specifier }) => {
    if (/\.ts$/.test(specifier)) return [`${at} imports ${specifier}, a source`];
    const target = targetOf(one, { path, specifier, byName });
    return target === null ? [] : [`${at} imports ${specifier}: ${target}`];
  });
  return [...pointers, ...imports];
}

/** What is wrong with an import, or null. */
function targetOf(
  one: StagedPackage,
  { path, specifier, byName }: Omit<Text, "text"> & { readonly specifier: string },
): string | null {
  if (specifier === "node:test" || specifier.startsWith("node:test/")) return "a test's module";
  if (specifier.startsWith("node:")) return null;
  if (specifier.startsWith(".")) return found(one, posix.join(posix.dirname(path), specifier), path);
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
  const declared = one.manifest.dependencies?.[name] ?? one.manifest.optionalDependencies?.[name];
  if (declared === undefined) return "not a dependency of this package";
  const other = byName.get(name);
  if (other === undefined) return null;
  if (declared !== other.manifest.version) return `wanted as ${declared}, packed as ${other.manifest.version}`;
  return specifier === name ? null : found(other, `dist/${specifier.slice(name.length + 1)}`, path);
}

/** Types need the types beside a compiled file; programs the file itself. */
function found(one: StagedPackage, target: string, from: string): string | null {
  const wanted = from.endsWith(".d.ts") ? target.replace(/\.js$/, ".d.ts") : target;
  return one.files.has(posix.normalize(wanted)) ? null : "no such file is packed";
}
