// Promises to read what HPACK's Huffman code wrote, exactly, or to say that it is none; nothing is guessed at the end of a string.
// Trusts nothing. Specified in RFC 7541 §5.2 and Appendix B: the code is canonical, so that the lengths say all of it.

/** Bits of the code of each symbol 0 to 255 and of EOS (256), as runs of `length x count`, in order of the symbols. */
const lengthRuns =
  "13x1 23x1 28x7 24x1 30x1 28x2 30x1 28x8 30x1 28x9 6x1 10x2 12x1 13x1 6x1 8x1 11x1 10x2 8x1 11x1 8x1 6x3 5x3 6x7 7x1 8x1 15x1 6x1 12x1 10x1 13x1 " +
  "6x1 7x22 8x1 7x1 8x1 13x1 19x1 13x1 14x1 6x1 15x1 5x1 6x1 5x1 6x1 5x1 6x3 5x1 7x2 6x3 5x1 6x1 7x1 6x1 5x2 6x1 7x5 15x1 11x1 14x1 13x1 28x1 " +
  "20x1 22x1 20x2 22x3 23x1 22x1 23x5 24x1 23x1 24x2 22x1 23x1 24x1 23x4 21x1 22x1 23x1 22x1 23x2 24x1 22x1 21x1 20x1 22x2 23x2 21x1 23x1 22x2 24x1 " +
  "21x1 22x1 23x2 21x2 22x1 21x1 23x1 22x1 23x2 20x1 22x3 23x1 22x2 23x1 26x2 20x1 19x1 22x1 23x1 22x1 25x1 26x3 27x2 26x1 24x1 25x1 19x1 21x1 26x1 27x2 " +
  "26x1 27x1 24x1 21x2 26x2 28x1 27x3 20x1 24x1 20x1 21x1 22x1 21x2 23x1 22x2 25x2 24x2 26x1 23x1 26x1 27x1 26x2 27x5 28x1 27x5 26x1 30x1";

const eos = 256;
const lengthMax = 30;
const lengths: readonly number[] = lengthRuns.split(" ").flatMap((run) => {
  const [length = 0, count = 0] = run.split("x").map(Number);
  return Array.from({ length: count }, () => length);
});

/** Symbols in order of their codes; by length: the first code and where its symbols begin. */
const symbols = lengths.map((_, symbol) => symbol).sort((a, b) => (lengths[a] ?? 0) - (lengths[b] ?? 0) || a - b);
const counts = new Uint32Array(lengthMax + 1);
for (const length of lengths) counts[length] = (counts[length] ?? 0) + 1;
const firstCode = new Uint32Array(lengthMax + 1);
const firstIndex = new Uint32Array(lengthMax + 1);
for (let length = 1, code = 0, index = 0; length <= lengthMax; length++) {
  firstCode[length] = code;
  firstIndex[length] = index;
  index += counts[length] ?? 0;
  code = (code + (counts[length] ?? 0)) * 2;
}

/** Longest padding that is none too many: it would hide another symbol. */
const paddingBitsMax = 7;

/** The text (latin1) that octets[from..end) stand for; null: they are not this code, hold EOS, or end in something else than its first bits. */
export function readHuffman(octets: Uint8Array, from: number, end: number): string | null {
  let text = "";
  let code = 0;
  let length = 0;
  for (let at = from; at < end; at++) {
    const octet = octets[at] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((octet >> bit) & 1);
      length++;
      const place = code - (firstCode[length] ?? 0);
      if (place >= (counts[length] ?? 0)) {
        if (length >= lengthMax) return null;
        continue;
      }
      const symbol = symbols[(firstIndex[length] ?? 0) + place] ?? eos;
      if (symbol === eos) return null;
      text += String.fromCharCode(symbol);
      code = 0;
      length = 0;
    }
  }
  // RFC 7541 §5.2: the padding is the beginning of EOS, all ones.
  return length <= paddingBitsMax && code === 2 ** length - 1 ? text : null;
}
