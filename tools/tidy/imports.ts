// Promises every module a file names, by parsing specifiers and not by searching for text: static and type imports, `export from`,
// dynamic imports, require, and `new URL("./x.ts", import.meta.url)`, which starts worker threads. Trusts source-text.ts for strings.
// The one-way direction is specified in ARCHITECTURE.md and DESIGN §3.
import { posix } from "node:path";
import { isTest, lineOf, mask, type SourceFile, type Violation } from "./source-text.ts";

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** Erased before it runs: cannot make a cycle at load. */
  readonly typeOnly: boolean;
  /** Names in braces that exist when it runs (not `type X`); empty for other forms. */
  readonly names: readonly string[];
}

const beforeSpecifier =
  /(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\(|\brequire\.resolve\s*\(|\bimport\.meta\.resolve\s*\(|\bnew\s+URL\s*\()\s*$/;
const lookBehind = 2000;

export function importsOf(text: string): readonly Import[] {
  const { code, strings } = mask(text);
  const found: Import[] = [];
  for (const { start, end } of strings) {
    const before = code.slice(Math.max(0, start - lookBehind), start);
    if (!beforeSpecifier.test(before)) continue;
    const specifier = text.slice(start + 1, end - 1);
    if (/\bnew\s+URL\s*\(\s*$/.test(before) && !/^\.{1,2}\/.*\.ts$/.test(specifier)) continue;
    const names = /\{([^{}]*)\}\s*from\s*$/.exec(before)?.[1] ?? "";
    found.push({
      specifier,
      typeOnly: /\b(?:import|export)\s+type\b(?!\s+from\b)[^;]*\bfrom\s*$/.test(before),
      line: lineOf(text, start),
      names: names
        .split(",")
        .map((name) => name.trim().replace(/\s+as\s.*$/, ""))
        .filter((name) => name !== "" && !/^type\s/.test(name)),
    });
  }
  return found;
}

/** What each package may import; everything else is against the direction. Tests may besides fill ports with those of kernel. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  kernel: ["protocol"],
  gateway: ["protocol", "kernel"],
  control: ["protocol", "kernel"],
  sdk: ["protocol"],
  console: ["protocol", "sdk"],
  cli: ["protocol", "kernel", "gateway", "control", "sdk"],
};

/** The repository path an import leads to, or undefined for node: and npm modules. */
export function targetOf(path: string, specifier: string): string | undefined {
  const own = /^@sallyport\/([^/]+)(?:\/(.+))?$/.exec(specifier);
  // A package's public file bears the package's name.
  if (own !== null) return `packages/${own[1]}/src/${own[2] ?? `${own[1]}.ts`}`;
  if (specifier.startsWith("sallyport/")) return `packages/cli/src/${specifier.slice("sallyport/".length)}`;
  return specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(path), specifier)) : undefined;
}

function packageOf(path: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(path)?.[1];
}

export function wrongDirection(files: readonly SourceFile[]): readonly Violation[] {
  return eachImport(files, (file, { specifier, line }) => {
    const from = packageOf(file.path);
    const target = targetOf(file.path, specifier);
    if (from === undefined || target === undefined) return undefined;
    const to = packageOf(target);
    if (to === from && !specifier.startsWith("."))
      return { path: file.path, line, message: `imports its own package as ${specifier}: use the relative path` };
    if (to === from) return undefined;
    if (to === undefined && isTest(file.path) && target.startsWith("tools/")) return undefined;
    if (to === undefined)
      return {
        path: file.path,
        line,
        message: `imports ${specifier}, which is outside every package: move what it needs into its own package`,
      };
    if (specifier.startsWith("."))
      return {
        path: file.path,
        line,
        message: `reaches into packages/${to} by a relative path: import @sallyport/${to}/…`,
      };
    if (allowed[from]?.includes(to) || (isTest(file.path) && to === "kernel")) return undefined;
    return {
      path: file.path,
      line,
      message: `${from} must not import ${to}: the direction is protocol <- kernel <- {gateway | control} <- cli and protocol <- sdk. Pass it in as a port, or move the shared type to protocol`,
    };
  });
}

export function impureProtocol(files: readonly SourceFile[]): readonly Violation[] {
  const protocol = files.filter(({ path }) => path.startsWith("packages/protocol/src/") && !isTest(path));
  const imports = eachImport(protocol, (file, { specifier, line }) =>
    targetOf(file.path, specifier) === undefined
      ? {
          path: file.path,
          line,
          message: `protocol imports ${specifier}: it has no dependencies; take it as a port (crypto, clock, random)`,
        }
      : undefined,
  );
  const globals = protocol.flatMap((file) => {
    const { code } = mask(file.text);
    const found = [
      ...code.matchAll(
        /(?<![.\w])(?:Buffer\b|process\s*\.|Date\.now\s*\(|Math\.random\s*\(|performance\.now\s*\(|globalThis\s*\.)/g,
      ),
    ];
    return found.map((match) => ({
      path: file.path,
      line: lineOf(file.text, match.index),
      message: `protocol uses ${match[0].trim()}: take bytes as Uint8Array, and time and randomness as ports`,
    }));
  });
  return [...imports, ...globals];
}

/** Imports of npm packages that the importing package does not declare: they would be missing once it is installed alone. */
export function undeclaredDependencies(files: readonly SourceFile[]): readonly Violation[] {
  const declared = new Map<string, ReadonlySet<string>>();
  for (const { path, text } of files) {
    const name = /^packages\/([^/]+)\/package\.json$/.exec(path)?.[1];
    if (name !== undefined) declared.set(name, new Set(Object.keys(JSON.parse(text).dependencies ?? {})));
  }
  const product = files.filter(({ path }) => /^packages\/[^/]+\/src\//.test(path) && !isTest(path));
  return eachImport(product, (file, { specifier, line }) => {
    if (specifier.startsWith(".") || specifier.startsWith("node:")) return undefined;
    const name = specifier
      .split("/")
      .slice(0, specifier.startsWith("@") ? 2 : 1)
      .join("/");
    const owner = packageOf(file.path) ?? "";
    return declared.get(owner)?.has(name)
      ? undefined
      : {
          path: file.path,
          line,
          message: `imports ${name}, which packages/${owner}/package.json does not declare: add it there (with a page in docs/decisions)`,
        };
  });
}

/** Cycles of imports that run; type imports are erased and may point both ways inside a package. */
export function importCycles(files: readonly SourceFile[]): readonly Violation[] {
  const edges = new Map<string, readonly string[]>();
  const known = new Set(files.map(({ path }) => path));
  for (const file of files.filter(({ path }) => path.endsWith(".ts"))) {
    const targets = importsOf(file.text).flatMap(({ specifier, typeOnly }) =>
      typeOnly ? [] : (targetOf(file.path, specifier) ?? []),
    );
    edges.set(
      file.path,
      targets.filter((target) => known.has(target)),
    );
  }
  const done = new Set<string>();
  const found: Violation[] = [];
  for (const start of edges.keys()) walk(start, [], { edges, done, found });
  return found;
}

interface Walk {
  readonly edges: ReadonlyMap<string, readonly string[]>;
  readonly done: Set<string>;
  readonly found: Violation[];
}

function walk(path: string, trail: readonly string[], state: Walk): void {
  const seenAt = trail.indexOf(path);
  if (seenAt !== -1) {
    const cycle = [...trail.slice(seenAt), path].join(" -> ");
    state.found.push({ path, line: 1, message: `import cycle ${cycle}: move what both need into a file of its own` });
    return;
  }
  if (state.done.has(path)) return;
  for (const target of state.edges.get(path) ?? []) walk(target, [...trail, path], state);
  state.done.add(path);
}

export function eachImport(
  files: readonly SourceFile[],
  judge: (file: SourceFile, found: Import) => Violation | undefined,
): readonly Violation[] {
  return files
    .filter(({ path }) => path.endsWith(".ts"))
    .flatMap((file) => importsOf(file.text).flatMap((found) => judge(file, found) ?? []));
}
