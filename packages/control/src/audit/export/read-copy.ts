// Promises the events of one line of a copy, in every form Sallyport sends and the usual wrappings of receivers, or why there are none.
// Pure. Trusts nothing: a copy comes from elsewhere. Specified in docs/export.md "Verifying a copy".

export interface CopiedEvent {
  readonly origin: string;
  readonly index: number;
  readonly previous: number | null;
  readonly leafHash: string;
  /** Null: the form holds none. */
  readonly leaf: string | null;
  readonly format: "ocsf" | "ecs" | "leaf";
  /** Version of Sallyport that made the fields; null where it is not said. */
  readonly madeBy: string | null;
  /** Mapped fields, to be held against the leaf; null: there are none. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

const lineCharactersMax = 1_048_576;
const nestingMax = 4;
const hashForm = /^[0-9a-f]{64}$/;
const originForm = /^[a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9-]*)+$/;

type Fields = Readonly<Record<string, unknown>>;

/** Events of a line, maybe none (an action line of a bulk request, an empty line); a text says why it cannot be read. */
export function readCopiedLine(line: string): readonly CopiedEvent[] | string {
  const text = line.trim();
  if (text === "") return [];
  if (text.length > lineCharactersMax) return `a line of more than ${lineCharactersMax} characters`;
  if (!text.startsWith("{")) return readSyslog(text);
  try {
    return readObject(JSON.parse(text), 0) ?? "no event of Sallyport: it names no origin and index";
  } catch {
    return "the line is not JSON";
  }
}

function readObject(value: unknown, depth: number): readonly CopiedEvent[] | null {
  if (!isFields(value) || depth > nestingMax) return null;
  if (isFields(value["unmapped"]) && isFields(value["unmapped"]["sallyport"]))
    return ocsf(value, value["unmapped"]["sallyport"]);
  if (isFields(value["sallyport"])) return ecsOrLeaf(value, value["sallyport"]);
  if (isFields(value["create"]) || isFields(value["index"])) return [];
  // HEC, an Elastic hit, an OTLP log record, a webhook message: the event is inside.
  const inner = value["event"] ?? value["_source"] ?? value["result"];
  if (inner !== undefined) return readObject(inner, depth + 1);
  const body = isFields(value["body"]) ? value["body"]["stringValue"] : undefined;
  if (typeof body === "string") return readObject(JSON.parse(body), depth + 1);
  const events = isFields(value["data"]) ? value["data"]["events"] : undefined;
  if (!Array.isArray(events)) return null;
  const read = events.map((event) => readObject(event, depth + 1));
  return read.includes(null) ? null : read.flatMap((one) => one ?? []);
}

function ocsf(event: Fields, place: Fields): readonly CopiedEvent[] | null {
  const metadata = isFields(event["metadata"]) ? event["metadata"] : {};
  const product = isFields(metadata["product"]) ? metadata["product"] : {};
  return placed(place, {
    format: "ocsf",
    leaf: textOf(event["raw_data"]),
    madeBy: textOf(product["version"]),
    fields: event,
  });
}

function ecsOrLeaf(event: Fields, place: Fields): readonly CopiedEvent[] | null {
  const leaf = textOf(event["leaf"]);
  if (leaf !== null) return placed(place, { format: "leaf", leaf, madeBy: null, fields: null });
  const inner = isFields(event["event"]) ? event["event"] : {};
  const observer = isFields(event["observer"]) ? event["observer"] : {};
  return placed(place, {
    format: "ecs",
    leaf: textOf(inner["original"]),
    madeBy: textOf(observer["version"]),
    fields: event,
  });
}

function placed(
  place: Fields,
  rest: Pick<CopiedEvent, "format" | "leaf" | "madeBy" | "fields">,
): readonly CopiedEvent[] | null {
  const { origin, index, previous = null, leaf_hash: leafHash } = place;
  if (typeof origin !== "string" || !originForm.test(origin)) return null;
  // The event of `export test` is no record.
  if (origin.startsWith("test/")) return [];
  if (
    !isIndex(index) ||
    (previous !== null && !isIndex(previous)) ||
    typeof leafHash !== "string" ||
    !hashForm.test(leafHash)
  )
    return null;
  return [{ origin, index, previous, leafHash, ...rest }];
}

const syslogForm = /\[audit@[0-9]+ ((?:[a-z]+="(?:[^"\\\]]|\\["\\\]])*" ?)+)\]/;

function readSyslog(line: string): readonly CopiedEvent[] | string {
  const parameters = syslogForm.exec(line);
  if (parameters?.[1] === undefined) return "neither JSON nor a syslog message of Sallyport";
  const said = Object.fromEntries(
    [...parameters[1].matchAll(/([a-z]+)="((?:[^"\\\]]|\\["\\\]])*)"/g)].map(([, name, value]) => [
      name,
      value?.replace(/\\(["\\\]])/g, "$1"),
    ]),
  );
  const number = (text: string | undefined) => (text === undefined ? null : Number(text));
  const place = {
    origin: said["origin"],
    index: number(said["idx"]),
    previous: number(said["prev"]),
    leaf_hash: said["leaf"],
  };
  const leaf = /\{"v":[0-9]+,"t":"[a-z]+".*\}$/.exec(line)?.[0] ?? null;
  return (
    placed(place, { format: "leaf", leaf, madeBy: null, fields: null }) ??
    "its structured data names no origin and index"
  );
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const textOf = (value: unknown): string | null => (typeof value === "string" ? value : null);
