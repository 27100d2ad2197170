// Promises which namespace a prefix means at each place of a document, at a cost that does not grow with the prefixes declared around it, and why names
// cannot be resolved to one. Trusts its scanner to begin and end elements in order. Specified in docs/inspection.md "XML"; Namespaces in XML 1.0.

const xmlNamespace = "http://www.w3.org/XML/1998/namespace";
const xmlnsNamespace = "http://www.w3.org/2000/xmlns/";
const inclusion = "http://www.w3.org/2001/XInclude";
const instance = "http://www.w3.org/2001/XMLSchema-instance";

type Attributes = ReadonlyMap<string, string>;

export class Namespaces {
  /** What each prefix means, of the elements that are open and say so, the innermost last. Never copied: elements are many, and so are prefixes. */
  readonly #uris = new Map<string, string[]>([["xml", [xmlNamespace]]]);

  /** The prefixes that an element declares, which `end` takes back; a text: why they cannot be. */
  begin(attributes: Attributes): readonly string[] | string {
    const declared: string[] = [];
    for (const [name, uri] of attributes) {
      if (name !== "xmlns" && !name.startsWith("xmlns:")) continue;
      const prefix = name.slice("xmlns:".length);
      const why = refuseDeclaration(prefix, uri);
      if (why !== null) return why;
      const uris = this.#uris.get(prefix);
      if (uris === undefined) this.#uris.set(prefix, [uri]);
      else uris.push(uri);
      declared.push(prefix);
    }
    return declared;
  }

  /** A prefix stays in the map when it means nothing any more: a large map that shrinks and grows around an element is copied for each of them. */
  end(declared: readonly string[]): void {
    for (const prefix of declared) this.#uris.get(prefix)?.pop();
  }

  /** Why the names of an element and of its attributes cannot be resolved; null: they can. */
  refuse(element: string, attributes: Attributes): string | null {
    if (element.includes(":") && this.#find(element) === undefined) return "a prefix without a namespace";
    const expanded = new Set<string>();
    for (const name of attributes.keys()) {
      if (!name.includes(":") || name.startsWith("xmlns:")) continue;
      const uri = this.#find(name);
      if (uri === undefined) return "a prefix without a namespace";
      const local = name.slice(name.indexOf(":") + 1);
      if (uri === instance && /schemalocation$/i.test(local)) return "a place to fetch a schema from";
      if (expanded.has(`${uri} ${local}`)) return "an attribute twice, under two prefixes";
      expanded.add(`${uri} ${local}`);
    }
    return null;
  }

  #find(name: string): string | undefined {
    return this.#uris.get(name.slice(0, name.indexOf(":")))?.at(-1);
  }
}

function refuseDeclaration(prefix: string, uri: string): string | null {
  // A reference in the name of a namespace is another name for some readers.
  if (uri.includes("&") || uri === xmlnsNamespace || (uri === xmlNamespace) !== (prefix === "xml"))
    return "a namespace that cannot be declared";
  if (prefix === "xmlns" || (prefix !== "" && uri === "")) return "a prefix that cannot be declared";
  return uri === inclusion ? "an inclusion of other documents" : null;
}
