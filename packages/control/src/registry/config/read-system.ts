// Promises one system file, as one environment sees it, as a SystemConfig or the errors that keep it from being served.
// Trusts the types (system-schema.ts) and read-schema.ts. Specified in docs/configuration.md "systems/<id>.yaml".
import { isDeepStrictEqual } from "node:util";
import type { Classification, DataClass } from "@sallyport/protocol/snapshot/objects.ts";
import { readChain } from "./client-chain.ts";
import type { SystemConfig } from "./estate.ts";
import type { EstateIo } from "./estate-io.ts";
import { compareText, errorAt, type Finding, placeOf } from "./finding.ts";
import { readHedges } from "./hedge-schema.ts";
import { readIdempotency } from "./idempotency-schema.ts";
import type { OperationConfig } from "./operation-config.ts";
import { needsPrivateWord } from "./private-hosts.ts";
import { readAttributes } from "./read-attributes.ts";
import { readBody } from "./read-body.ts";
import { callsBody, readGrpc, refuseGrpcResilience } from "./read-grpc.ts";
import { readIdentity } from "./read-identity.ts";
import { readLookups } from "./read-lookups.ts";
import { readMode, readPassthrough } from "./read-mode.ts";
import { readNextHop, refuseSignedCalls } from "./read-next-hop.ts";
import { readOutcome } from "./read-outcome.ts";
import { readParameters } from "./read-parameters.ts";
import { readPayload } from "./read-payload.ts";
import {
  defaultResilience,
  readFallback,
  readPlaces,
  refusePlaces,
  refuseRules,
  resilienceOf,
} from "./read-resilience.ts";
import { readResponse } from "./read-response.ts";
import { refuseThreats, threatsOf } from "./read-threats.ts";
import { isJsonType } from "./response-schema.ts";
import { shape } from "./shape.ts";
import { stepUpOf } from "./step-up-schema.ts";
import { type OperationSource, type SystemSource, systemSchema } from "./system-schema.ts";
import { checkUnseenBody } from "./unseen-body.ts";
import type { UpstreamConfig } from "./upstream-config.ts";
import { webSocketOf } from "./websocket-schema.ts";
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
    // The short form became a map before (overlay.ts), and what a description says of it was filled in (registry/openapi).
    .flatMap(([name, operation]) => {
      if (typeof operation === "string") return [];
      const { match } = operation;
      const response = operation.response === "none" ? undefined : operation.response;
      if (match !== undefined) return [readOperation(reader, name, { ...operation, match, response }, source.threats)];
      refuseNoMatch(reader, name, operation.operationId);
      return [];
    })
    .sort((a, b) => compareText(a.name, b.name));
  refuseThreats(reader, [], source.threats);
  refuseSameMatch(reader, operations);
  refuseOpenUpstream(reader, source);
  refuseGrpcResilience(reader, operations, source);
  refuseSignedCalls(reader, operations, source);
  const nextHop = readNextHop(reader, operations, source);
  const identity = readIdentity(io, tree, source.identity);
  reader.findings.push(...identity.findings);
  const system: SystemConfig = {
    id: source.system,
    owner: source.owner,
    zone: source.zone,
    region: everywhere,
    ...upstreamOf(reader, source, nextHop),
    public: publicOf(source),
    clients: identity.clients,
    certificates: identity.certificates,
    ...(source.identity?.apiKeys === undefined ? {} : { apiKeys: source.identity.apiKeys }),
    ...(identity.signatures === undefined ? {} : { signatures: identity.signatures }),
    attributes: sortedRecord(source.attributes),
    operations: readHedges(reader, source, operations),
    ...readTokens(source.tokens),
    ...readExceptions(reader, source),
    declaredAt: placeOf(spotOf(tree, ["system"], "key")),
  };
  const isBroken = reader.findings.some((finding) => finding.severity === "error");
  return { system: isBroken ? null : system, findings: reader.findings };
}

function refuseNoMatch({ tree, findings }: Reader, name: string, id: string | undefined): void {
  // Why the description does not say it has been said.
  if (id !== undefined) return;
  const fix = "add `match: METHOD /path`, or `operationId` of the system's `openapi`";
  findings.push(errorAt(spotOf(tree, ["operations", name], "key"), "`match` is missing", fix));
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

function upstreamOf(
  reader: Reader,
  source: SystemSource,
  nextHop: Pick<UpstreamConfig, "nextHop">,
): Pick<SystemConfig, "upstream"> {
  const { tree } = reader;
  const places = readPlaces(tree, source).map(({ url, weight }) => ({ url, weight }));
  const [first] = places;
  if (first === undefined) {
    refuseShownNowhere(reader, source);
    return {};
  }
  const trust = source.tls?.ca;
  const resilience = resilienceOf(source, places.length);
  return {
    upstream: {
      url: first.url,
      allowPrivate: source.allowPrivate,
      ...(source.signed ? { signed: true as const } : {}),
      ...nextHop,
      ...(trust === undefined ? {} : { trust }),
      ...readShown(reader, source, places),
      ...(source.endpoints === undefined ? {} : { endpoints: places }),
      ...(isDeepStrictEqual(resilience, defaultResilience(places.length)) ? {} : { resilience }),
    },
  };
}

function refuseShownNowhere({ tree, findings }: Reader, { tls }: SystemSource): void {
  if (tls?.certificate === undefined) return;
  const message = "a certificate without a `url` to show it to";
  findings.push(errorAt(spotOf(tree, ["tls", "certificate"], "key"), message, "add `url: …`"));
}

function readShown(
  { io, tree, findings }: Reader,
  { tls }: SystemSource,
  places: readonly { readonly url: string }[],
): Pick<UpstreamConfig, "certificate"> {
  if (tls?.certificate === undefined) return {};
  const spot = spotOf(tree, ["tls", "certificate"]);
  const plain = places.find(({ url }) => !url.startsWith("https:"));
  if (plain !== undefined)
    findings.push(errorAt(spot, `nobody sees a certificate at ${plain.url}`, "write https, or remove `certificate`"));
  const read = readChain(io, spot, tls.certificate);
  findings.push(...read.findings);
  return { certificate: read.value };
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
  const places = readPlaces(tree, source);
  findings.push(...refusePlaces(tree, source), ...refuseRules(tree, source));
  if (places.length === 0) {
    const served = [
      ["operations", Object.keys(source.operations).length > 0, "operations, but no `url` where they are served"],
      ["passthrough", source.passthrough !== undefined, "`passthrough`, but no `url` to pass to"],
    ] as const;
    for (const [key, isServed, message] of served)
      if (isServed) findings.push(errorAt(spotOf(tree, [key], "key"), message, "add `url: https://…`"));
    return;
  }
  for (const { url, spot } of places) {
    if (source.allowPrivate || !needsPrivateWord(new URL(url).hostname)) continue;
    const message = "the URL leads to a private or loopback address";
    findings.push(errorAt(spot, message, "add `allowPrivate: true` if that is meant"));
  }
  const isClear = places.some(({ url }) => url.startsWith("http:"));
  if (source.tls?.ca !== undefined && isClear)
    findings.push(
      errorAt(
        spotOf(tree, ["tls"], "key"),
        "`tls` has no effect on an http URL",
        `use https in \`${source.url === undefined ? "endpoints" : "url"}\`, or remove \`tls\``,
      ),
    );
}

function readOperation(
  reader: Reader,
  name: string,
  source: OperationSource,
  threats: SystemSource["threats"],
): OperationConfig {
  const at = ["operations", name];
  const grpc = readGrpc(reader, at, source);
  const body = grpc === undefined ? readBody(reader, at, source) : callsBody;
  const carried = {
    path: source.match.path,
    takesJson: body.body?.content === "json",
    unanswered: unansweredOf(source),
  };
  const payload = readPayload(reader, [...at, "payload"], source.payload, { ...carried, labelled: body.labelled });
  const response = readResponse(reader, [...at, "response"], source.response);
  const parameters = readParameters(reader, at, source, carried);
  const schemaClasses = [...parameters.classes, ...body.classes, ...payload.classes, ...response.classes];
  const classification = readClassification(reader, at, { source, schemaClasses });
  checkRecord(reader, at, { source, classification });
  checkWebSocket(reader, at, source);
  refuseThreats(reader, at, source.threats);
  checkUnseenBody(reader, at, { source, body: body.body });
  const { file, line } = spotOf(reader.tree, at, "key");
  return {
    name,
    declaredAt: `${file}:${line}`,
    method: source.match.method,
    path: source.match.path,
    classification,
    authorize: source.authorize,
    attributes: readAttributes(reader, [...at, "attributes"], source.attributes, {
      ...carried,
      lookups: Object.keys(source.lookups),
    }),
    ...readLookups(reader, at, source, carried),
    ...(parameters.parameters === undefined ? {} : { parameters: parameters.parameters }),
    ...(body.body === undefined ? {} : { body: body.body }),
    ...threatsOf(source.threats, threats),
    ...(source.unseenBody === "allow" ? { unseenBody: true } : {}),
    bodyBytesMax: body.bytesMax,
    timeoutMs: source.timeout,
    ...readOutcome(source.outcome),
    ...(grpc === undefined ? {} : { grpc }),
    offline: source.offline,
    ...readIdempotency(reader, at, { ...source, method: source.match.method }, carried),
    ...(payload.rule === undefined ? {} : { payload: payload.rule }),
    ...(response.response === undefined ? {} : { response: response.response }),
    ...(source.record === "buffered" ? { record: source.record } : {}),
    ...readFallback(reader, at, { source, classification }),
    ...webSocketOf(source.websocket),
    ...(source.nextHopScope === undefined ? {} : { nextHopScope: source.nextHopScope }),
    ...stepUpOf(source),
    ...opaOf(reader, at, source),
  };
}

function opaOf(
  { tree, findings }: Reader,
  at: readonly string[],
  { opa }: OperationSource,
): Pick<OperationConfig, "opa"> {
  if (opa === undefined) return {};
  const { url, path, timeout, allowPrivate } = opa;
  if (!allowPrivate && needsPrivateWord(new URL(url).hostname)) {
    const spot = spotOf(tree, [...at, "opa", "url"]);
    findings.push(
      errorAt(spot, "the URL leads to a private or loopback address", "add `allowPrivate: true` if that is meant"),
    );
  }
  return { opa: { url, path, timeoutMs: timeout, allowPrivate } };
}

/** Why attributes of the resource cannot come from the answer: an effect would have happened before anybody asked whether it may. */
function unansweredOf({ match, response, websocket }: OperationSource): string | null {
  if (websocket !== undefined) return "a WebSocket has none";
  if (!["GET", "HEAD", "OPTIONS"].includes(match.method)) return `the operation is an effect (${match.method})`;
  const contentType = response?.contentType ?? "application/json";
  return isJsonType(contentType) ? null : `the answers are ${contentType}`;
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

/** A handshake is a GET without a body, and what is asked of whole answers cannot be kept of one that never ends. */
function checkWebSocket({ tree, findings }: Reader, at: readonly string[], source: OperationSource): void {
  if (source.websocket === undefined) return;
  const wrong =
    source.match.method !== "GET"
      ? `a WebSocket begins with GET, not ${source.match.method}`
      : source.payload !== undefined
        ? "the messages of a WebSocket cannot be kept as `payload`"
        : source.response !== undefined
          ? "the messages of a WebSocket are not looked into as a `response` is"
          : source.record === "buffered"
            ? "a WebSocket is on record before it begins"
            : null;
  if (wrong === null) return;
  const fix = source.match.method === "GET" ? "remove one of the two" : "match `GET /…`, or remove `websocket`";
  findings.push(errorAt(spotOf(tree, [...at, "websocket"], "key"), wrong, fix));
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
