// Promises the order in which the keys of a file are written: that of its type, level by level. Trusts reference.ts for the types.
// Specified in docs/cli/fmt.md.
import { editorSchemas, type FileKind } from "../config/reference.ts";

/** The members of a JSON Schema that give the order. */
export interface OrderNode {
  readonly properties?: Readonly<Record<string, OrderNode>>;
  readonly additionalProperties?: OrderNode | boolean;
  readonly items?: OrderNode;
  readonly anyOf?: readonly OrderNode[];
}

/** Made from the types once: an estate has hundreds of files. */
const orders = new Map<FileKind, OrderNode>();

export function orderOf(kind: FileKind): OrderNode {
  const known = orders.get(kind) ?? makeOrder(kind);
  orders.set(kind, known);
  return known;
}

function makeOrder(kind: FileKind): OrderNode {
  const found = editorSchemas().find((schema) => schema.kind === kind);
  if (found === undefined) throw new Error(`no type for ${kind}`);
  // A JSON Schema is wide; OrderNode names the few members read here.
  return found.schema as OrderNode;
}

/** Known keys at this place, in order; what a name chosen by the author stands for has none. */
export function keysOf(nodes: readonly OrderNode[]): readonly string[] {
  return [...new Set(nodes.flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** The nodes a key leads to. */
export function intoKey(nodes: readonly OrderNode[], key: string): readonly OrderNode[] {
  return nodes.flatMap((node) => {
    const known = node.properties;
    const next = known !== undefined && Object.hasOwn(known, key) ? known[key] : node.additionalProperties;
    return typeof next === "object" ? alternatives(next) : [];
  });
}

/** The nodes an item of a list leads to. */
export function intoItem(nodes: readonly OrderNode[]): readonly OrderNode[] {
  return nodes.flatMap((node) => (node.items === undefined ? [] : alternatives(node.items)));
}

export function alternatives(node: OrderNode): readonly OrderNode[] {
  return [node, ...(node.anyOf ?? []).flatMap(alternatives)];
}
