// Promises that multipart/form-data falls into the same parts for every reader, each declared, within its bounds and of its type, or says why not.
// Trusts nothing of the bytes. Specified in docs/inspection.md "Files and parts"; RFC 7578, RFC 2046 §5.1, read strictly.
import type { PartRule } from "@sallyport/protocol/snapshot/body-rule.ts";
import { readJson, requestBounds } from "./json.ts";

export const partsMax = 128;
const partHeadBytesMax = 1024;

const boundaryParameter =
  /^multipart\/form-data; ?boundary=(?:([0-9A-Za-z'_-]{1,70})|"([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])")$/;

/** The boundary of a Content-Type; null: it is not exactly `multipart/form-data` with one boundary. */
export function boundaryOf(contentType: string): string | null {
  const [, token, quoted] =
    boundaryParameter.exec(contentType.replace(/^multipart\/form-data/i, "multipart/form-data")) ?? [];
  return token ?? quoted ?? null;
}

interface Part {
  readonly name: string;
  readonly filename: string | null;
  readonly type: string | null;
  readonly content: Buffer;
}

/** Why the content is not what is declared; null: it is. Pure. Never throws. */
export function refuseMultipart(bytes: Uint8Array, boundary: string, declared: readonly PartRule[]): string | null {
  const parts = readParts(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), boundary);
  if (typeof parts === "string") return parts;
  for (const rule of declared) {
    const count = parts.filter(({ name }) => name === rule.name).length;
    if (rule.required && count === 0) return `the part ${rule.name} is missing`;
    if (count > rule.most) return `the part ${rule.name} is there more than ${rule.most} times`;
  }
  for (const part of parts) {
    const rule = declared.find(({ name }) => name === part.name);
    const why = rule === undefined ? "a part that is not declared" : refusePart(part, rule);
    if (why !== null) return why;
  }
  return null;
}

/** Texts among the parts of content that was not refused. */
export function textParts(
  bytes: Uint8Array,
  boundary: string,
  declared: readonly PartRule[],
): readonly { readonly name: string; readonly text: string }[] {
  const parts = readParts(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), boundary);
  if (typeof parts === "string") return [];
  const texts = new Set(declared.filter(({ types }) => types.length === 0).map(({ name }) => name));
  return parts
    .filter(({ name }) => texts.has(name))
    .map(({ name, content }) => ({ name, text: content.toString("utf8") }));
}

function readParts(bytes: Buffer, boundary: string): readonly Part[] | string {
  const delimiter = Buffer.from(`--${boundary}`, "latin1");
  const between = Buffer.from(`\r\n--${boundary}`, "latin1");
  // What stands before the first boundary, or behind the last, is for nobody: some readers skip it, some do not.
  if (!bytes.subarray(0, delimiter.length).equals(delimiter)) return "it does not begin with its boundary";
  const parts: Part[] = [];
  let at = delimiter.length;
  for (;;) {
    const mark = bytes.toString("latin1", at, at + 2);
    if (mark === "--") {
      const rest = bytes.toString("latin1", at + 2);
      return rest === "" || rest === "\r\n" ? parts : "something stands behind its last boundary";
    }
    if (mark !== "\r\n") return "a line that begins like a boundary and is none";
    if (parts.length >= partsMax) return `more than ${partsMax} parts`;
    const end = bytes.indexOf(between, at);
    if (end < 0) return "it does not end with its boundary";
    const part = readPart(bytes.subarray(at + 2, Math.max(end, at + 2)));
    if (typeof part === "string") return part;
    parts.push(part);
    at = end + between.length;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function readPart(bytes: Buffer): Part | string {
  const end = bytes.indexOf("\r\n\r\n", 0, "latin1");
  if (end < 0 || end > partHeadBytesMax) return "a part without a short head";
  let head: string;
  try {
    head = decoder.decode(bytes.subarray(0, end));
  } catch {
    return "a part whose head is not UTF-8";
  }
  const fields = readFields(head);
  if (typeof fields === "string") return fields;
  const disposition = readDisposition(fields.get("content-disposition") ?? "");
  if (disposition === null) return "a part without a plain Content-Disposition";
  return { ...disposition, type: fields.get("content-type") ?? null, content: bytes.subarray(end + 4) };
}

/** Two fields are known, each once: RFC 7578 §4.8 has no others, and a transfer encoding would change what the content is. */
function readFields(head: string): ReadonlyMap<string, string> | string {
  const fields = new Map<string, string>();
  for (const line of head.split("\r\n")) {
    const [, name = "", value = ""] = /^([A-Za-z-]+): ?([^\x00-\x1f\x7f]*)$/.exec(line) ?? [];
    const known = name.toLowerCase();
    if (known !== "content-disposition" && known !== "content-type")
      return "a part with another field than its name and its type";
    if (fields.has(known)) return "a part with a field twice";
    fields.set(known, value);
  }
  return fields;
}

const disposition =
  /^form-data; ?name="([^"\\\x00-\x1f\x7f%]{1,256})"(?:; ?filename="([^"\\\x00-\x1f\x7f]{0,1024})")?$/;
/** What leads out of a folder, or means something to a file system, also written as escapes (WHATWG HTML §4.10.21.8 writes three of them). */
const unsafeName = /[/:*?<>|]|%(?:0[0ad]|2[ef]|5c)|^\.|[. ]$|^ |^$/i;

function readDisposition(value: string): Pick<Part, "name" | "filename"> | null {
  const found = disposition.exec(value);
  if (found === null) return null;
  const [, name = "", filename] = found;
  if (filename !== undefined && (unsafeName.test(filename) || Buffer.byteLength(filename) > 255)) return null;
  return { name, filename: filename ?? null };
}

function refusePart({ name, filename, type, content }: Part, rule: PartRule): string | null {
  if (content.length > rule.bytesMax) return `the part ${name} is larger than ${rule.bytesMax} bytes`;
  if (rule.types.length === 0) {
    if (filename !== null) return `the part ${name} is a text, and not a file`;
    if (type !== null && !/^text\/plain(?:; ?charset="?utf-8"?)?$/i.test(type))
      return `the part ${name} is a text, and of another type`;
    return isPlainText(content) ? null : `the part ${name} is no UTF-8 text`;
  }
  const said = type?.toLowerCase() ?? "";
  if (!rule.types.includes(said)) return `the part ${name} is of a type that is not declared`;
  if (said === "application/json" && !readJson(content, requestBounds).ok) return `the part ${name} is no strict JSON`;
  return beginsAs(said, content) ? null : `the part ${name} does not begin as ${said} does`;
}

function isPlainText(content: Buffer): boolean {
  try {
    return !decoder.decode(content).includes("\0");
  } catch {
    return false;
  }
}

/** First octets of types that readers tell by them, whatever the type says. */
const beginnings: Readonly<Record<string, readonly string[]>> = {
  "application/pdf": ["%PDF-"],
  "image/png": ["\x89PNG\r\n\x1a\n"],
  "image/jpeg": ["\xff\xd8\xff"],
  "image/gif": ["GIF87a", "GIF89a"],
  "application/zip": ["PK\x03\x04", "PK\x05\x06"],
  "application/gzip": ["\x1f\x8b"],
};

function beginsAs(type: string, content: Buffer): boolean {
  const known = Object.hasOwn(beginnings, type) ? beginnings[type] : undefined;
  const first = content.toString("latin1", 0, 16);
  return known === undefined || known.some((beginning) => first.startsWith(beginning));
}
