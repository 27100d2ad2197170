// Promises everything a parser told of the bytes it was given, cut where a test says. For tests. Trusts nothing.
import { ResponseParser } from "../response-parser.ts";

export interface ReadAnswer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly content: string;
  /** How it ended; null: it has not. */
  readonly end: { readonly isReusable: boolean } | { readonly malformed: string } | null;
  /** Calls of onContent. */
  readonly pieces: number;
}

/** Feeds `pieces` one after the other, then, where asked, the end of the connection. Content is latin1. */
export function readAnswer(
  pieces: readonly Buffer[],
  on: { readonly method?: string; readonly eof?: boolean } = {},
): ReadAnswer {
  let status = 0;
  let fields: readonly string[] = [];
  const held: Buffer[] = [];
  let end: ReadAnswer["end"] = null;
  const once = (value: NonNullable<ReadAnswer["end"]>): void => {
    if (end !== null) throw new Error("told of a second end");
    end = value;
  };
  const parser: ResponseParser = new ResponseParser({
    onHead() {
      if (status !== 0) throw new Error("told of a second head");
      status = parser.head.status;
      fields = parser.head.fields;
    },
    onContent(piece) {
      if (end !== null) throw new Error("content after the end");
      held.push(piece);
    },
    onEnd: (isReusable) => once({ isReusable }),
    onMalformed: (malformed) => once({ malformed }),
  });
  parser.begin(on.method ?? "GET");
  // The buffer a socket reads into is one and the same; whatever is kept must have been copied.
  const reused = Buffer.alloc(Math.max(1, ...pieces.map((piece) => piece.length)));
  for (const piece of pieces) {
    piece.copy(reused);
    parser.feed(reused.subarray(0, piece.length), false);
    reused.fill(0x21);
  }
  if (on.eof === true) parser.eof();
  return { status, fields, content: Buffer.concat(held).toString("latin1"), end, pieces: held.length };
}

/** Every way to cut `bytes` in two, and byte by byte. */
export function* cuts(bytes: Buffer): Generator<readonly Buffer[]> {
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}
