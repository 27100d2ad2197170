// Promises one byte string per context, and no byte string shared by two contexts. Trusts nothing.
// Specified in docs/formats/seal.md, Context.

/** What an envelope is and where it belongs: names to texts. Bound as AAD, never stored in the envelope. */
export type SealContext = Readonly<Record<string, string>>;

export const contextEntriesMax = 32;
export const contextValueBytesMax = 4096;

const nameForm = /^[a-z][a-z0-9-]{0,63}$/;
const utf8 = new TextEncoder();

const lengthBytes = 4;

/** UTF-8 bytes of a text. Nearly all are short ASCII, for which a loop costs a fraction of the encoder. Throws TypeError for a lone surrogate: it has no UTF-8. */
function sizeOf(text: string): number {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x80) continue;
    if (!text.isWellFormed()) throw new TypeError("a text with a lone surrogate has no bytes of its own");
    return utf8.encode(text).length;
  }
  return text.length;
}

function writeLength(target: Uint8Array, at: number, length: number): number {
  target[at] = length >>> 24;
  target[at + 1] = length >>> 16;
  target[at + 2] = length >>> 8;
  target[at + 3] = length;
  return at + lengthBytes;
}

/** Writes `length u32 ‖ text` of a text that has `size` bytes; returns where it ends. */
function writeText(target: Uint8Array, at: number, { text, size }: { text: string; size: number }): number {
  const start = writeLength(target, at, size);
  if (size === text.length) for (let i = 0; i < size; i++) target[start + i] = text.charCodeAt(i);
  else target.set(utf8.encode(text), start);
  return start + size;
}

/** `length u32 ‖ text`, the prefix that keeps neighbouring texts apart. Throws TypeError for a lone surrogate. */
export function printText(text: string): Uint8Array {
  const size = sizeOf(text);
  const printed = new Uint8Array(lengthBytes + size);
  writeText(printed, 0, { text, size });
  return printed;
}

/** The canonical bytes of a context. Throws TypeError for a bad name, value or count (a bug of the caller). */
export function printContext(context: SealContext): Uint8Array {
  const names = Object.keys(context).sort();
  if (names.length > contextEntriesMax) throw new TypeError(`a context has at most ${contextEntriesMax} entries`);
  const texts: { readonly text: string; readonly size: number }[] = [];
  let length = lengthBytes;
  for (const name of names) {
    const value = context[name];
    if (!nameForm.test(name)) throw new TypeError("a context name is [a-z][a-z0-9-]{0,63}");
    if (typeof value !== "string") throw new TypeError(`the context value of ${name} is not a text`);
    const size = sizeOf(value);
    if (size > contextValueBytesMax) {
      throw new TypeError(`the context value of ${name} is longer than ${contextValueBytesMax} bytes`);
    }
    texts.push({ text: name, size: name.length }, { text: value, size });
    length += 2 * lengthBytes + name.length + size;
  }
  const bytes = new Uint8Array(length);
  let at = writeLength(bytes, 0, names.length);
  for (const one of texts) at = writeText(bytes, at, one);
  return bytes;
}

/** The context of an envelope: `tenant` and `purpose` must be there. Throws TypeError like printContext. */
export function printSealContext(context: SealContext): Uint8Array {
  if (!context["tenant"] || !context["purpose"]) throw new TypeError("an envelope's context names tenant and purpose");
  return printContext(context);
}
