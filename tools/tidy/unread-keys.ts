// Promises to find keys of the configuration that nobody obeys, and rows of the table of readers (config-readers.ts) that are not true any more. Pure.
// Trusts the generated reference for the list of keys.
import { mask, type SourceFile, type Violation } from "./source-text.ts";

/** Where a value has its effect: a file, and code in it that reads the value (strings and comments do not count as code). */
export interface Obeyed {
  readonly by: string;
  readonly reads: string;
}

/** Nobody obeys it, because it says something to people. */
export interface ForPeople {
  readonly forPeople: string;
}

export type Reader = Obeyed | ForPeople;

/** The keys that hold a value: those below which no other key stands. */
export function leafKeys(rows: readonly { readonly file: string; readonly key: string }[]): readonly string[] {
  const isAbove = (key: string, other: string): boolean => other.startsWith(`${key}.`) || other.startsWith(`${key}[`);
  return rows
    .filter(({ file, key }) => !rows.some((other) => other.file === file && isAbove(key, other.key)))
    .map(({ file, key }) => `${file} ${key}`);
}

/** Keys without a reader, readers without a key, and readers that do not read (any more). */
export function unreadKeys(
  keys: readonly string[],
  readers: Readonly<Record<string, Readonly<Record<string, Reader>>>>,
  files: readonly SourceFile[],
): readonly Violation[] {
  const listed = new Map<string, Reader>(
    Object.entries(readers).flatMap(([file, own]) =>
      Object.entries(own).map(([key, reader]) => [`${file} ${key}`, reader] as const),
    ),
  );
  const at = { path: "tools/tidy/config-readers.ts", line: 1 };
  const code = new Map(files.map((file) => [file.path, file] as const));
  return [
    ...keys
      .filter((key) => !listed.has(key))
      .map((key) => ({
        ...at,
        message: `${key} is accepted; name who obeys it, or refuse it in registry/config/later-keys.ts`,
      })),
    ...[...listed].flatMap(([key, reader]): Violation[] => {
      if (!keys.includes(key)) return [{ ...at, message: `${key} is not a key of the configuration: remove the row` }];
      if ("forPeople" in reader) return [];
      const source = code.get(reader.by);
      const reads = source !== undefined && mask(source.text).code.includes(reader.reads);
      return reads ? [] : [{ ...at, message: `${key}: ${reader.by} does not contain \`${reader.reads}\`` }];
    }),
  ];
}
