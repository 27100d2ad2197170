// Promises the texts of a well-formed document as its reader puts them together: what comments and sections part is one, the five entities and references
// to characters are read once. Trusts inspect/xml.ts to have taken the document. One pass. Specified in docs/threats.md, XML 1.0 §2.4.
import { type Judge, placeName } from "./judge.ts";

const markup =
  /<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<\?[\s\S]*?\?>|<(\/?)([^\s/>]+)((?:[^>"']|"[^"]*"|'[^']*')*?)(\/?)>/g;
const attribute = /([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const reference = /&(?:#x([0-9a-f]{1,6})|#([0-9]{1,7})|(lt|gt|quot|apos|amp));/gi;
const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

interface Open {
  readonly at: string;
  readonly texts: string[];
}

/** Elements are named without their prefixes; an attribute is `@name`. */
export function eachXmlText(document: string, judge: Judge): void {
  const open: Open[] = [];
  let from = 0;
  for (const found of document.matchAll(markup)) {
    if (judge.isFull) return;
    const [whole, section, closing, name, attributes = "", empty] = found;
    const texts = open.at(-1)?.texts;
    texts?.push(resolve(document.slice(from, found.index)));
    from = found.index + whole.length;
    if (section !== undefined) texts?.push(section);
    if (name === undefined) continue;
    if (closing === "/") {
      tell(open.pop(), judge);
      continue;
    }
    const at = `${open.at(-1)?.at ?? "body:"}/${placeName(localOf(name))}`;
    for (const [, key = "", double, single] of attributes.matchAll(attribute))
      judge.text(resolve(double ?? single ?? ""), `${at}/@${placeName(localOf(key))}`, "content");
    if (empty !== "/") open.push({ at, texts: [] });
  }
}

function tell(element: Open | undefined, judge: Judge): void {
  if (element === undefined) return;
  const text = element.texts.join("");
  if (text.trim() !== "") judge.text(text, element.at, "content");
}

const localOf = (name: string): string => name.slice(name.indexOf(":") + 1);

function resolve(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(reference, (_, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return named[name] ?? "";
    return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
  });
}
