// Promises objects of an estate as files in the one layout, which load.ts reads back as the same values. Pure.
// Trusts format-yaml.ts. Specified in docs/configuration.md.
import { Document, isMap, isSeq, Scalar, visit } from "yaml";
import type { FileKind } from "../config/reference.ts";
import { formatYaml } from "../format/format-yaml.ts";

export interface WrittenFile {
  /** Relative to the estate, with `/`. */
  readonly file: string;
  readonly text: string;
}

/** What YAML 1.1 tools take for a boolean is quoted, so that no check has to ask. */
const oldBooleans = /^(y|n|yes|no|on|off)$/i;

export interface WrittenObject {
  readonly kind: FileKind;
  readonly file: string;
  /** Lines above the object, without `#`. */
  readonly comment: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Throws where the object cannot be written: a bug of the importer. */
export function writeObject({ kind, file, comment, value }: WrittenObject): WrittenFile {
  const document = new Document(value, { version: "1.2", schema: "core" });
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value === "string" && oldBooleans.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
    // Small leaves stay on one line; fmt opens what is too long for one.
    Collection: (_key, node) => {
      const members: readonly unknown[] = isMap(node) ? node.items.map((pair) => pair.value) : node.items;
      node.flow = members.every((member) => !isMap(member) && !isSeq(member));
    },
  });
  const formatted = formatYaml({
    file,
    kind,
    text: `${comment.replaceAll(/^/gm, "# ")}\n${document.toString({ lineWidth: 0 })}`,
  });
  if ("findings" in formatted)
    throw new Error(`${file}: ${formatted.findings.map(({ message }) => message).join(", ")}`);
  return { file, text: formatted.text };
}
