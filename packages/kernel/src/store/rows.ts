// Promises rows of a store as bytes that read back the same on either dialect, in a stream of bounded pieces. Trusts the values to be a store's.
// Specified in docs/formats/backup.md "Rows".
import { StoreFault } from "./fault.ts";
import type { SqlValue } from "./port.ts";

export interface TableHead {
  readonly name: string;
  readonly columns: readonly string[];
}

export type RowEvent =
  | { readonly kind: "table"; readonly table: TableHead }
  | { readonly kind: "row"; readonly values: readonly SqlValue[] };

const mark = { table: 0x54, row: 0x52, end: 0x45 } as const;
const tag = { null: 0, integer: 1, real: 2, text: 3, blob: 4 } as const;
const columnsMax = 200;
const headBytesMax = 65_536;
/** Above the largest value a command writes; a made-up length must not take the machine's memory. */
const valueBytesMax = 268_435_456;
const nameForm = /^[a-z][a-z0-9_]{0,62}$/;

/** A table's name and columns, before its rows. */
export function printTable({ name, columns }: TableHead): Buffer {
  const head = Buffer.from(JSON.stringify({ name, columns }));
  const front = Buffer.alloc(5);
  front[0] = mark.table;
  front.writeUInt32BE(head.length, 1);
  return Buffer.concat([front, head]);
}

/** One row; its values stand in the order of the table's columns. */
export function printRow(values: readonly SqlValue[]): Buffer {
  return Buffer.concat([Buffer.from([mark.row]), ...values.map(printValue)]);
}

/** After the last row. */
export const rowsEnd: Buffer = Buffer.from([mark.end]);

function printValue(value: SqlValue): Buffer {
  if (value === null) return Buffer.from([tag.null]);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return printNumber(value);
  if (typeof value === "number") {
    const real = Buffer.alloc(9);
    real[0] = tag.real;
    real.writeDoubleBE(value, 1);
    return real;
  }
  const isText = typeof value === "string";
  // as: what is neither null, number nor text is bytes.
  const bytes = isText ? Buffer.from(value) : (value as Uint8Array);
  const front = Buffer.alloc(5);
  front[0] = isText ? tag.text : tag.blob;
  front.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([front, bytes]);
}

function printNumber(value: SqlValue): Buffer {
  const whole = Buffer.alloc(9);
  whole[0] = tag.integer;
  whole.writeBigInt64BE(BigInt(value as number | bigint), 1); // as: the caller looked
  return whole;
}

/** Reads what `printTable`, `printRow` and `rowsEnd` wrote. Faults: StoreFault `bad-value` for anything else. */
export async function* parseRows(content: AsyncIterable<Uint8Array>): AsyncGenerator<RowEvent, void, void> {
  const bytes = new Pieces(content);
  let columns: number | null = null;
  for (;;) {
    const kind = (await bytes.take(1))[0];
    if (kind === mark.end) break;
    if (kind === mark.table) {
      const table = parseTable((await bytes.take(await bytes.length(headBytesMax))).toString("utf8"));
      columns = table.columns.length;
      yield { kind: "table", table };
      continue;
    }
    if (kind !== mark.row || columns === null) throw bad("something that is no row");
    const values: SqlValue[] = [];
    for (let i = 0; i < columns; i += 1) values.push(await parseValue(bytes));
    yield { kind: "row", values };
  }
  if (!(await bytes.isOver())) throw bad("something behind the last row");
}

function parseTable(text: string): TableHead {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw bad("a table without a head");
  }
  const { name, columns, ...more } = Object.fromEntries(Object.entries(value ?? {}));
  const isName = (one: unknown): one is string => typeof one === "string" && nameForm.test(one);
  if (!isName(name) || Object.keys(more).length > 0 || !Array.isArray(columns)) throw bad("a table without a name");
  if (columns.length === 0 || columns.length > columnsMax || !columns.every(isName))
    throw bad("a table without columns");
  return { name, columns };
}

async function parseValue(bytes: Pieces): Promise<SqlValue> {
  switch ((await bytes.take(1))[0]) {
    case tag.null:
      return null;
    case tag.integer: {
      const value = (await bytes.take(8)).readBigInt64BE(0);
      const isSafe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
      return isSafe ? Number(value) : value;
    }
    case tag.real:
      return (await bytes.take(8)).readDoubleBE(0);
    case tag.text:
      return (await bytes.take(await bytes.length(valueBytesMax))).toString("utf8");
    case tag.blob:
      return new Uint8Array(await bytes.take(await bytes.length(valueBytesMax)));
    default:
      throw bad("a value of no known type");
  }
}

class Pieces {
  readonly #content: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(content: AsyncIterable<Uint8Array>) {
    this.#content = content[Symbol.asyncIterator]();
  }

  async length(max: number): Promise<number> {
    const length = (await this.take(4)).readUInt32BE(0);
    if (length > max) throw bad("a value longer than any may be");
    return length;
  }

  async take(length: number): Promise<Buffer> {
    if (this.#rest.length >= length) return this.#cut(length);
    const pieces = [this.#rest];
    let have = this.#rest.length;
    while (have < length) {
      const next = await this.#content.next();
      if (next.done === true) throw bad("an end in the middle of a row");
      pieces.push(Buffer.from(next.value));
      have += next.value.length;
    }
    this.#rest = Buffer.concat(pieces);
    return this.#cut(length);
  }

  async isOver(): Promise<boolean> {
    return this.#rest.length === 0 && (await this.#content.next()).done === true;
  }

  #cut(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}

function bad(what: string): StoreFault {
  return new StoreFault("bad-value", `the rows cannot be read: they hold ${what}`);
}
