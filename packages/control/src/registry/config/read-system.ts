// Promises one system file, as one environment sees it, as a SystemConfig or the errors that keep it from being served.
// Trusts the types (system-schema.ts) and attachments.ts. Specified in docs/configuration.md "systems/<id>.yaml".
import type { Classification, DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import { readSchemaFile } from "./attachments.ts";
import { type BodySchema, readBodySchema } from "./body-schema.ts";
import type { OperationConfig, SystemConfig } from "./estate.ts";
import type { EstateIo } from "./estate-io.ts";
import { compareText, errorAt, type Finding, placeOf } from "./finding.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { readAttributes } from "./read-attributes.ts";
import { readIdentity } from "./read-identity.ts";
import { readMode, readPassthrough } from "./read-mode.ts";
import { readPayload } from "./read-payload.ts";
import { shape } from "./shape.ts";
import { stepUpOf } from "./step-up-schema.ts";
import { type OperationSource, type SystemSource, systemSchema } from "./system-schema.ts";
import { type MapTree, spotOf } from "./yaml-tree.ts";

/** Residency is not checked in this version, so no system says where it is. */
const everywhere = "default";

export interface SystemReading {
  readonly system: SystemConfig | null;
  readonly findings: readonly Finding[];
}

interface Reader {
  readonly io: EstateIo;
  readonly tree: MapTree;
  readonly findings: Finding[];
}

/** `tree` has the overrides of one environment merged in and no `uses` (those are integrations). */
export function readSystem(io: EstateIo, tree: MapTree): SystemReading {
  const shaped = shape(systemSchema, tree);
  if (shaped.value === null) return { system: null, findings: shaped.findings };
  const source: SystemSource = shaped.value;
  const reader: Reader = { io, tree, findings: [] };
  const operations = Object.entries(source.operations)
    // The short form became a map before (overlay.ts).
    .flatMap(([name, operation]) => (typeof operation === "string" ? [] : [readOperation(reader, name, operation)]))
    .sort((a, b) => compareText(a.name, b.name));
  refuseSameMatch(reader, operations);
  refuseOpenUpstream(reader, source);
  const identity = readIdentity(io, tree, source.identity);
  reader.findings.push(...identity.findings);
  const system: SystemConfig = {
    id: source.system,
    owner: source.owner,
    zone: source.zone,
    region: everywhere,
    ...(source.url === undefined ? {} : { upstream: upstreamOf(source, source.url) }),
    public: publicOf(source),
    clients: identity.clients,
    certificates: identity.certificates,
    attributes: sortedRecord(source.attributes),
    operations,
    ...readTokens(source.tokens),
    ...readExceptions(reader, source),
    declaredAt: placeOf(spotOf(tree, ["system"], "key")),
  };
  const isBroken = reader.findings.some((finding) => finding.severity === "error");
  return { system: isBroken ? null : system, findings: reader.findings };
}

function readTokens(source: SystemSource["tokens"]): Pick<SystemConfig, "tokens" | "legacyTokens"> {
  const { form, ...legacy } = typeof source === "string" ? { form: source } : source;
  const said = form === "jwt" ? {} : { tokens: form };
  if (!("algorithm" in legacy)) return said;
  const { algorithm, reason, until: untilMs } = legacy;
  return { ...said, legacyTokens: { algorithm, reason, untilMs } };
}

function readExceptions(reader: Reader, source: SystemSource): Pick<SystemConfig, "mode" | "passthrough"> {
  const { mode, findings } = readMode(reader.tree, source, reader.io.now());
  reader.findings.push(...findings);
  const said = mode === undefined ? {} : { mode };
  if (source.passthrough === undefined) return said;
  const read = readPassthrough(reader.tree, source.passthrough, reader.io.now());
  reader.findings.push(...read.findings);
  return { ...said, passthrough: read.passthrough };
}

function upstreamOf(source: SystemSource, url: string): NonNullable<SystemConfig["upstream"]> {
  const trust = source.tls?.ca;
  return { url, allowPrivate: source.allowPrivate, ...(trust === undefined ? {} : { trust }) };
}

function publicOf(source: SystemSource): SystemConfig["public"] {
  const host = source.public?.host;
  return {
    ...(host === undefined ? {} : { host }),
    path: source.public?.path ?? `/${source.system}`,
    strip: source.public?.strip ?? true,
  };
}

function refuseOpenUpstream(reader: Reader, source: SystemSource): void {
  const { tree, findings } = reader;
  if (source.url === undefined) {
    const served = [
      ["operations", Object.keys(source.operations).length > 0, "operations, but no `url` where they are served"],
      ["passthrough", source.passthrough !== undefined, "`passthrough`, but no `url` to pass to"],
    ] as const;
    for (const [key, isServed, message] of served)
      if (isServed) findings.push(errorAt(spotOf(tree, [key], "key"), message, "add `url: https://…`"));
    return;
  }
  const url = new URL(source.url);
  if (!source.allowPrivate && needsPrivateWord(url.hostname)) {
    findings.push(
      errorAt(
        spotOf(tree, ["url"]),
        "the URL leads to a private or loopback address",
        "add `allowPrivate: true` if that is meant",
      ),
    );
  }
  if (source.tls?.ca !== undefined && url.protocol === "http:") {
    findings.push(
      errorAt(
        spotOf(tree, ["tls"], "key"),
        "`tls` has no effect on an http URL",
        "use https in `url`, or remove `tls`",
      ),
    );
  }
}

function readOperation(reader: Reader, name: string, source: OperationSource): OperationConfig {
  const at = ["operations", name];
  const body = readBody(reader, at, source);
  const carried = { path: source.match.path, takesJson: body.body?.content === "json" };
  const payload = readPayload(reader, [...at, "payload"], source.payload, { ...carried, labelled: body.labelled });
  const schemaClasses = [...body.classes, ...payload.classes];
  const classification = readClassification(reader, at, { source, schemaClasses });
  checkRecord(reader, at, { source, classification });
  return {
    name,
    method: source.match.method,
    path: source.match.path,
    classification,
    authorize: source.authorize,
    attributes: readAttributes(reader, [...at, "attributes"], source.attributes, carried),
    ...(body.body === undefined ? {} : { body: body.body }),
    bodyBytesMax: body.bytesMax,
    timeoutMs: source.timeout,
    businessErrors: [...new Set(source.outcome?.["business-error"] ?? [])].sort((a, b) => a - b),
    offline: source.offline,
    ...(payload.rule === undefined ? {} : { payload: payload.rule }),
    ...(source.record === "buffered" ? { record: source.record } : {}),
    ...stepUpOf(source),
  };
}

/** Whether something happened, and who read what is restricted, must never be unknown: no answer goes ahead of such a record. */
function checkRecord(
  { tree, findings }: Reader,
  at: readonly string[],
  { source, classification }: { readonly source: OperationSource; readonly classification: Classification },
): void {
  if (source.record !== "buffered") return;
  const { method } = source.match;
  const what = !["GET", "HEAD", "OPTIONS"].includes(method)
    ? `an effect (${method})`
    : classification === "restricted"
      ? "restricted"
      : null;
  if (what === null) return;
  const message = `the operation is ${what}: its record must be durable before the answer`;
  findings.push(errorAt(spotOf(tree, [...at, "record"]), message, "remove `record: buffered`"));
}

interface BodyReading {
  readonly body: OperationConfig["body"];
  readonly bytesMax: number;
  readonly classes: readonly DataClass[];
  /** The schema with its labels; undefined: there is none. */
  readonly labelled?: unknown;
}

const bodyBytesMaxDefault = 1024 * 1024;

function readBody(reader: Reader, at: readonly string[], source: OperationSource): BodyReading {
  const none: BodyReading = { body: undefined, bytesMax: 0, classes: [] };
  const takesBody = ["POST", "PUT", "PATCH"].includes(source.match.method);
  if (source.body === "none" || (source.body === undefined && !takesBody)) return none;
  if (source.body === undefined)
    return { body: { content: "json", contentType: "application/json" }, bytesMax: bodyBytesMaxDefault, classes: [] };
  const where = [...at, "body"];
  if (["GET", "HEAD", "OPTIONS"].includes(source.match.method)) {
    reader.findings.push(
      errorAt(spotOf(reader.tree, where, "key"), `${source.match.method} has no body`, "remove `body`"),
    );
    return none;
  }
  const { contentType, size, schema } = source.body;
  const content = /^application\/(json|[a-z0-9.+-]+\+json)$/.test(contentType) ? "json" : "opaque";
  if (schema === undefined) return { body: { content, contentType }, bytesMax: size, classes: [] };
  const spot = spotOf(reader.tree, [...where, "schema"]);
  if (content === "opaque") {
    reader.findings.push(
      errorAt(spot, "a schema for a content type that is not JSON", "use a JSON content type, or remove the schema"),
    );
    return none;
  }
  const isFile = typeof schema === "string";
  const known = isFile ? knownSchemas(reader).get(schema) : undefined;
  if (known !== undefined) return { ...known, body: { content, contentType, schema: known.schema }, bytesMax: size };
  const attached = isFile ? readSchemaFile(reader.io, spot, schema) : { value: schema, findings: [] };
  reader.findings.push(...attached.findings);
  if (attached.findings.length > 0) return none;
  const read = readBodySchema(attached.value);
  if ("message" in read) {
    const place = isFile ? spot : spotOf(reader.tree, [...where, "schema", ...read.path]);
    const inFile = isFile && read.path.length > 0 ? ` at /${read.path.join("/")}` : "";
    reader.findings.push(errorAt(place, `${read.message}${inFile}`, read.fix));
    return none;
  }
  if (isFile) knownSchemas(reader).set(schema, read);
  return { ...read, body: { content, contentType, schema: read.schema }, bytesMax: size };
}

/** Schemas in order by the name of their file, for each load: many operations and every environment may name the same one. */
const loads = new WeakMap<EstateIo, Map<string, BodySchema>>();

function knownSchemas({ io }: Reader): Map<string, BodySchema> {
  const known = loads.get(io) ?? new Map<string, BodySchema>();
  loads.set(io, known);
  return known;
}

const ranks: readonly Classification[] = ["public", "internal", "confidential", "restricted"];
const classOf: Readonly<Record<DataClass, Classification>> = {
  public: "public",
  internal: "internal",
  confidential: "confidential",
  restricted: "restricted",
  pii: "confidential",
  payment: "confidential",
  health: "confidential",
  secret: "restricted",
};

function readClassification(
  reader: Reader,
  at: readonly string[],
  from: { readonly source: OperationSource; readonly schemaClasses: readonly DataClass[] },
): Classification {
  const classes = [...from.source.data, ...from.schemaClasses];
  const derived =
    classes.length === 0
      ? "internal"
      : (ranks[Math.max(...classes.map((name) => ranks.indexOf(classOf[name])))] ?? "restricted");
  const said = from.source.classification;
  if (said === undefined) return derived;
  if (ranks.indexOf(said) < ranks.indexOf(derived) && classes.length > 0) {
    const message = `the data classes make it ${derived}, and \`classification\` cannot lower that`;
    reader.findings.push(
      errorAt(spotOf(reader.tree, [...at, "classification"]), message, `remove it, or write ${derived} or higher`),
    );
  }
  return said;
}

/** Two operations whose paths differ only in the names of parameters cannot be told apart. */
function refuseSameMatch(reader: Reader, operations: readonly OperationConfig[]): void {
  const seen = new Map<string, string>();
  for (const { name, method, path } of operations) {
    const key = `${method} ${path.replaceAll(/\{\w+\}/g, "{}")}`;
    const other = seen.get(key);
    if (other === undefined) seen.set(key, name);
    else
      reader.findings.push(
        errorAt(
          spotOf(reader.tree, ["operations", name]),
          `the same requests as \`${other}\``,
          "give each operation its own method and path",
        ),
      );
  }
}

function sortedRecord<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => compareText(a, b)));
}
