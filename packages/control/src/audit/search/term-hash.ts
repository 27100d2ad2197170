// Promises 40 bits for a term, so that a term and the number of a block fit one exact number. Trusts nothing: whoever finds by hash compares the values.

const prime = 0x01000193;
/** Numbers of blocks lie below this: a hash and a block are `hash * blocksEnd + block`, at most 52 bits. */
export const blocksEnd = 4_096;
/** Texts remembered, so that a busy caller is hashed once and not per crossing. */
const rememberedMax = 16_384;

/** Two FNV-1a over the characters from different starts: 32 bits of one, 8 of the other. */
export function termHash(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    a = Math.imul(a ^ c, prime);
    b = Math.imul(b ^ c, prime) ^ (b >>> 15);
  }
  return (a >>> 0) * 256 + ((b >>> 8) & 255);
}

/** No value holds a newline. */
export const termText = (field: string, value: string): string => `${field}\n${value}`;

/** Hashes of terms, by field and value; values of fields that differ from record to record are not remembered. */
export class TermHashes {
  #known = new Map<string, Map<string, number>>();
  #count = 0;

  of(field: string, value: string): number {
    if (field === "id") return termHash(termText(field, value));
    let values = this.#known.get(field);
    if (values === undefined) {
      values = new Map();
      this.#known.set(field, values);
    }
    const found = values.get(value);
    if (found !== undefined) return found;
    const fresh = termHash(termText(field, value));
    if (this.#count >= rememberedMax) {
      this.#known = new Map();
      this.#count = 0;
      return fresh;
    }
    values.set(value, fresh);
    this.#count += 1;
    return fresh;
  }
}
