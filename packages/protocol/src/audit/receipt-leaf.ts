// Promises what a leaf in a receipt says of a crossing, read without the vocabularies of one version of the program: a word that is newer than the
// reader is handed on as it stands. Trusts nothing. Specified in docs/formats/receipt.md "The leaf".

/** What was decided, as the leaf has it; members of docs/formats/leaf.md. */
export interface DecidedRecord {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly operation: string | null;
  readonly integration: string | null;
  readonly verdict: string;
  readonly code: string | null;
  readonly proof: string | null;
}

/** How it ended. */
export interface EndedRecord {
  readonly at: number;
  readonly outcome: string;
  /** Status sent to the caller; 0 when none was. */
  readonly status: number;
}

export interface ReceiptLeaf {
  readonly text: string;
  readonly id: string;
  /** `<tenant>/<environment>/<node>` */
  readonly place: string;
  readonly decided: DecidedRecord | null;
  readonly ended: EndedRecord | null;
}

const leafBytesMax = 65_535;
/** Newest version of each type that this reader knows. */
const versions: ReadonlyMap<string, number> = new Map([
  ["crossing", 3],
  ["intent", 3],
  ["outcome", 2],
]);

type Members = Readonly<Record<string, unknown>>;

/** Reads a `crossing`, `intent` or `outcome` leaf in its one spelling; else why not. */
export function readReceiptLeaf(bytes: Uint8Array): ReceiptLeaf | "malformed-leaf" | "unknown-version" {
  const members = membersOf(bytes);
  if (members === null) return "malformed-leaf";
  const { v, t } = members;
  const newest = typeof t === "string" ? versions.get(t) : undefined;
  if (newest === undefined || typeof v !== "number") return "malformed-leaf";
  if (v > newest) return "unknown-version";
  const id = textOf(members, "id");
  const place = ["tenant", "environment", "node"].map((name) => textOf(members, name));
  const decided = t === "outcome" ? null : decidedOf(members);
  const ended = t === "intent" ? null : endedOf(members);
  if (id === null || place.includes(null) || decided === undefined || ended === undefined) return "malformed-leaf";
  return { text: asciiOf(bytes), id, place: place.join("/"), decided, ended };
}

/** ASCII without a backslash, and JSON that prints as it stands: no white space, no member twice, no other spelling of a number. */
function membersOf(bytes: Uint8Array): Members | null {
  if (bytes.length > leafBytesMax || bytes.some((byte) => byte < 0x20 || byte > 0x7e || byte === 0x5c)) return null;
  const text = asciiOf(bytes);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    return JSON.stringify(value) === text ? (value as Members) : null;
  } catch {
    return null;
  }
}

const asciiOf = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

const textOf = (members: Members, name: string) => {
  const value = members[name];
  return typeof value === "string" ? value : null;
};
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === "string";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function decidedOf({ at, operation, integration, verdict, code, proof }: Members): DecidedRecord | undefined {
  if (!isCount(at) || typeof verdict !== "string") return undefined;
  if (!isTextOrNull(operation) || !isTextOrNull(integration) || !isTextOrNull(code) || !isTextOrNull(proof))
    return undefined;
  return { at, operation, integration, verdict, code, proof };
}

function endedOf({ at, outcome, status }: Members): EndedRecord | undefined {
  return isCount(at) && typeof outcome === "string" && isCount(status) ? { at, outcome, status } : undefined;
}
