// Promises whether what stands behind a chunk's size is a list of extensions, octet by octet, and where it ends: no line end inside quotes can hide a
// chunk (the TERM.EXT and EXT.TERM confusions). Trusts nothing. Specified in RFC 9112 §7.1.1, without its bad white space: llhttp takes none either.
import { cr, space, tokenOctets } from "./octets.ts";

const semicolon = 0x3b;
const equals = 0x3d;
const quote = 0x22;
const backslash = 0x5c;
const delete_ = 0x7f;

type Phase = "name" | "value" | "token" | "quoted" | "escaped" | "end";

/** One reader for all chunks of a message, one after the other. Nothing of an extension is kept. */
export class ChunkExtensions {
  #phase: Phase = "name";
  #isBegun = false;

  /** The next octet stands behind the first semicolon of a size line. */
  begin(): void {
    this.#phase = "name";
    this.#isBegun = false;
  }

  /** "end": `octet` is the CR that ends the line. */
  read(octet: number): "more" | "end" | "malformed" {
    switch (this.#phase) {
      case "name":
      case "token":
        if (tokenOctets[octet] === 1) {
          this.#isBegun = true;
          return "more";
        }
        if (!this.#isBegun) return "malformed";
        if (octet !== equals || this.#phase === "token") return this.#endOrNext(octet);
        this.#phase = "value";
        return "more";
      case "value":
        if (octet === quote) this.#phase = "quoted";
        else if (tokenOctets[octet] === 1) this.#phase = "token";
        else return "malformed";
        return "more";
      case "quoted":
        if (octet === quote) this.#phase = "end";
        else if (octet === backslash) this.#phase = "escaped";
        else if (octet < space || octet >= delete_) return "malformed";
        return "more";
      case "escaped":
        this.#phase = "quoted";
        return octet < space || octet >= delete_ ? "malformed" : "more";
      default:
        return this.#endOrNext(octet);
    }
  }

  #endOrNext(octet: number): "more" | "end" | "malformed" {
    if (octet === cr) return "end";
    if (octet !== semicolon) return "malformed";
    this.begin();
    return "more";
  }
}
