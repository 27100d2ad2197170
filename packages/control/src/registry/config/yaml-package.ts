// Promises the `yaml` package, loaded when the first file needs it: most files are plain, and its 72 modules take longer than a small estate.
// Trusts what the package declares of itself. Specified in docs/configuration.md "YAML we accept".
import { createRequire } from "node:module";

export type YamlPackage = typeof import("yaml");

/** The package; loaded once. */
export function yamlPackage(): YamlPackage {
  // `require` is untyped.
  return createRequire(import.meta.url)("yaml") as YamlPackage;
}
