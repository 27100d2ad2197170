// Promises one byte string per context, and no byte string shared by two contexts. Trusts nothing.
// Specified in docs/formats/seal.md, Context.

/** What an envelope is and where it belongs: names to texts. Bound as AAD, never stored in the envelope. */
export type SealContext = Readonly<Record<string, string>>;

export const contextEntriesMax = 32;
export const contextValueBytesMax = 4096;

const nameForm = /^[a-z][a-z0-9-]{0,63}$/;
const utf8 = new TextEncoder();

/** `length u32 ‖ text`, the prefix that keeps neighbouring texts apart. Throws TypeError for a lone surrogate: it has no UTF-8. */
export function printText(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new TypeError("a text with a lone surrogate has no bytes of its own");
  const bytes = utf8.encode(text);
  const printed = new Uint8Array(4 + bytes.length);
  new DataView(printed.buffer).setUint32(0, bytes.length);
  printed.set(bytes, 4);
  return printed;
}

/** The canonical bytes of a context. Throws TypeError for a bad name, value or count (a bug of the caller). */
export function printContext(context: SealContext): Uint8Array {
  const names = Object.keys(context).sort();
  if (names.length > contextEntriesMax) throw new TypeError(`a context has at most ${contextEntriesMax} entries`);
  const pieces: Uint8Array[] = [];
  let length = 4;
  for (const name of names) {
    const value = context[name];
    if (!nameForm.test(name)) throw new TypeError("a context name is [a-z][a-z0-9-]{0,63}");
    if (typeof value !== "string") throw new TypeError(`the context value of ${name} is not a text`);
    const printed = printText(value);
    if (printed.length - 4 > contextValueBytesMax) {
      throw new TypeError(`the context value of ${name} is longer than ${contextValueBytesMax} bytes`);
    }
    const printedName = printText(name);
    pieces.push(printedName, printed);
    length += printedName.length + printed.length;
  }
  const bytes = new Uint8Array(length);
  new DataView(bytes.buffer).setUint32(0, names.length);
  let at = 4;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** The context of an envelope: `tenant` and `purpose` must be there. Throws TypeError like printContext. */
export function printSealContext(context: SealContext): Uint8Array {
  if (!context["tenant"] || !context["purpose"]) throw new TypeError("an envelope's context names tenant and purpose");
  return printContext(context);
}
