// Promises the package.json that is published: made from the workspace's, pointing at compiled files, holding nothing that works only here.
// Trusts the workspace's manifests, which a house rule pins to exact versions. Specified in docs/packaging.md, "What is in a package".

export interface WorkspaceManifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly keywords?: readonly string[];
  readonly engines?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface CompiledExport {
  readonly types: string;
  readonly default: string;
}

export interface PackedManifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly type: "module";
  readonly keywords?: readonly string[];
  readonly engines?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | CompiledExport>>;
  readonly sideEffects: false;
  readonly files: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const sourceTarget = /^\.\/src\/(.+)\.ts$/;

/** `./src/x.ts` becomes its compiled file and its types; the key loses `.ts` the same way. Throws on any other target. */
export function compiledExports(exports: Readonly<Record<string, string>>): Readonly<Record<string, CompiledExport>> {
  return Object.fromEntries(
    Object.entries(exports).map(([key, target]) => {
      const stem = sourceTarget.exec(target)?.[1];
      if (stem === undefined) throw new Error(`the export ${key} points to ${target}, which is no source under ./src`);
      return [key.replace(/\.ts$/, ".js"), { types: `./dist/${stem}.d.ts`, default: `./dist/${stem}.js` }];
    }),
  );
}

/** `folders`: what stands beside package.json, README.md and LICENSE. */
export function packedManifest(workspace: WorkspaceManifest, folders: readonly string[]): PackedManifest {
  const { name, version, description, license, keywords, engines, bin, dependencies, optionalDependencies } = workspace;
  return {
    name,
    version,
    description,
    license,
    type: "module",
    ...(keywords === undefined ? {} : { keywords }),
    ...(engines === undefined ? {} : { engines }),
    ...(bin === undefined ? {} : { bin }),
    // A program has no exports: nobody may import its parts.
    exports:
      bin === undefined
        ? { ...compiledExports(workspace.exports), "./package.json": "./package.json" }
        : { "./package.json": "./package.json" },
    sideEffects: false,
    files: folders,
    ...(dependencies === undefined ? {} : { dependencies }),
    ...(optionalDependencies === undefined ? {} : { optionalDependencies }),
  };
}
