// Promises that a secret value written into the configuration is found before it is used, shown or committed.
// Trusts nothing; says where, never what. Names and shapes: docs/configuration.md "Secrets".
import { errorAt, type Finding } from "./finding.ts";
import type { Tree } from "./yaml-tree.ts";

const secretKey =
  /(^|[-_.])(password|passwd|passphrase|secret|token|credential|credentials|api[-_]?key|access[-_]?key|private[-_]?key)$/i;
const camelSecretKey = /(Password|Passphrase|Secret|Token|Credential|ApiKey|AccessKey|PrivateKey)$/;
const referenceFix =
  "take it out and treat it as leaked; secrets never stand in configuration (a `secret:` reference will name them, not in this version)";

/** Values that are secrets wherever they stand. */
const secretShapes: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, "a private key"],
  [/^eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}$/, "a signed token"],
  [/^(AKIA|ASIA)[A-Z0-9]{16}$/, "a cloud access key"],
  [/^(gh[pousr]_|github_pat_|glpat-|xox[abpr]-|sk_live_|rk_live_|spj1_)[\w-]{10,}/, "an access token"],
  [/^[a-z][a-z0-9+.-]*:\/\/[^/\s:@]*:[^/\s@]+@/i, "a URL with a password"],
];

/** Findings for every clear secret in a file, and for `secret:` references, which nothing resolves yet. */
export function findClearSecrets(tree: Tree, key = "", inSchema = false): Finding[] {
  if (tree.kind === "list") return tree.items.flatMap((item) => findClearSecrets(item, key, inSchema));
  if (tree.kind === "map") {
    // In a JSON Schema a key named `password` describes a field of somebody else's message.
    // The keys of `operations` are names of business actions: `token: POST /token` is not a secret.
    const namesActions = key === "operations";
    return [...tree.entries].flatMap(([name, entry]) =>
      findClearSecrets(entry.value, namesActions ? "" : name, inSchema || (key === "body" && name === "schema")),
    );
  }
  if (typeof tree.value !== "string" && typeof tree.value !== "number") return [];
  const text = String(tree.value);
  if (text.startsWith("secret:")) {
    return [errorAt(tree.at, "`secret:` references are not in this version", "remove the key")];
  }
  const shape = secretShapes.find(([pattern]) => pattern.test(text));
  if (shape !== undefined) return [errorAt(tree.at, `${shape[1]} stands in clear`, referenceFix)];
  if (!inSchema && isSecretKey(key) && text.length > 0)
    return [errorAt(tree.at, "a secret value stands in clear", referenceFix)];
  return [];
}

export function isSecretKey(key: string): boolean {
  return secretKey.test(key) || camelSecretKey.test(key);
}

/** True when bytes of a file that should be public hold a private key in PEM form. */
export function holdsPrivateKey(text: string): boolean {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
}
