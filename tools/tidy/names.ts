// Promises that files and folders are named after things. Trusts nothing. Specified in CONTRIBUTING.md and DESIGN §10.
import { isTest, type SourceFile, type Violation } from "./source-text.ts";

const judged = /^(packages|tools|examples|bench|docs|vectors)\//;
const emptyWords = new Set(["utils", "util", "helpers", "helper", "misc", "manager", "managers"]);
const emptyNames = new Set(["common", "shared", "base", "lib", "stuff"]);
const kebab = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)*$/;

export function badNames(files: readonly SourceFile[]): readonly Violation[] {
  return files
    .filter(({ path }) => judged.test(path))
    .flatMap(({ path }) => {
      const message =
        path
          .split("/")
          .map(badSegment)
          .find((found) => found !== undefined) ??
        (/(^|\/)index\.(ts|mts|js)$/.test(path)
          ? "an index file: name it after what it holds, and import that file"
          : undefined);
      return message === undefined ? [] : [{ path, line: 1, message }];
    });
}

function badSegment(segment: string): string | undefined {
  if (segment.startsWith(".") || /^[A-Z]+\.md$/.test(segment)) return undefined;
  const [stem = ""] = segment.split(".");
  const word = stem.split("-").find((part) => emptyWords.has(part)) ?? (emptyNames.has(stem) ? stem : undefined);
  if (word !== undefined) return `"${word}" says nothing: name it after the thing it holds (cidr.ts, duration.ts)`;
  return kebab.test(segment) ? undefined : `"${segment}" is not kebab-case: lower case, words joined by "-"`;
}

/**
 * Each capability (a folder directly under a package's src) has a file that opens with what it promises, what it trusts and
 * where that is specified.
 */
export function unintroducedCapabilities(files: readonly SourceFile[]): readonly Violation[] {
  const folders = new Map<string, SourceFile[]>();
  for (const file of files) {
    const folder = /^(packages\/[^/]+\/src\/[^/]+)\/.*\.ts$/.exec(file.path)?.[1];
    if (folder !== undefined && !isTest(file.path)) folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  return [...folders].flatMap(([folder, members]) =>
    members.some(({ text }) => introduces(text))
      ? []
      : [
          {
            path: folder,
            line: 1,
            message: "no file opens with the three lines: `// Promises …`, `// Trusts …`, `// Specified …`",
          },
        ],
  );
}

export function introduces(text: string): boolean {
  const lines = text.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  const opening = lines.slice(0, end === -1 ? lines.length : end).join(" ");
  return (
    /\bPromises\b/.test(opening) &&
    /\b[Tt]rusts\b/.test(opening) &&
    /RFC \d|[Ss]pecified|[Ss]emantics|[Ff]ormat|Words:|docs\//.test(opening)
  );
}
