// Promises pairs of a gateway and a provider behind it that are given the same streams of octets, and every request that one of them reads otherwise than
// the other. A gateway's reading is its answers and its records; a provider's is its own. Trusts readers of testing/reading-upstreams.ts. Also a soak.
import { connect } from "node:tls";
import { frameFlag } from "@sallyport/kernel/http2/frames.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { debianProgram } from "../../../tools/debian-packages.ts";
import type { ListenBounds } from "./ports.ts";
import { type BentConnection, type BentRequest, bentConnections } from "./testing/bent-http2.ts";
import { bentStreams, type NamedStream } from "./testing/bent-streams.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { dataFrame, headersFrame, RawHttp2 } from "./testing/raw-http2.ts";
import {
  type ReadingUpstream,
  type ReadRequest,
  startNginxUpstream,
  startNodeUpstream,
} from "./testing/reading-upstreams.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";

export type PairName = "node" | "nginx";

/** What one pair made of one input. */
interface PairReading {
  /** `200`, or `400 bad-framing`; in order. */
  readonly answers: readonly string[];
  /** What the provider read of those that passed, without the crossing ids. */
  readonly reached: readonly string[];
  /** Where its two readings are not one. */
  readonly differences: readonly string[];
}

export interface PairReport {
  readonly streams: number;
  /** Requests that reached a provider, over both pairs. */
  readonly reached: number;
  readonly refused: number;
  readonly connectionsReused: Readonly<Record<PairName, number>>;
  readonly differences: readonly string[];
}

/** A stream that swallowed its own end is told so soon; long enough for a machine with all hands full to read what was written at once. */
const hasty = { requestTimeoutMs: 1_500, headersTimeoutMs: 1_500 };
/** Inputs under way at once. */
const lanes = 12;
const differencesMax = 20;
const workloads = newTestCa("workloads");

class Pair {
  readonly upstream: ReadingUpstream;
  readonly #bed: TestGateway;
  /** Why each crossing was refused; null: it was let pass. */
  readonly #answered = new Map<string, string | null>();
  readonly #tls = issueTestLeaf(workloads, { uri: ordersUri });

  private constructor(upstream: ReadingUpstream, bed: TestGateway) {
    this.upstream = upstream;
    this.#bed = bed;
  }

  static async start(name: PairName, bounds: Partial<ListenBounds>): Promise<Pair> {
    const upstream = name === "node" ? await startNodeUpstream() : await startNginxUpstream(debianProgram("nginx"));
    const bed = await startTestGateway({
      estate: withCertificates(marketplace(upstream.url), workloads),
      openLog: openTestLog,
      // The certificate of the connection says who calls: a request that is hidden is as good as any other.
      listeners: [tlsListener(workloads)],
      changes: { bounds },
    });
    return new Pair(upstream, bed);
  }

  /** Sends the octets on a connection of their own, in one write, and reads until its end. */
  async readStream({ stream }: NamedStream): Promise<PairReading> {
    return this.#judge(answersIn(await this.#send(stream)));
  }

  /** Sends one request after the other on one connection of HTTP/2. */
  async readConnection({ requests }: BentConnection): Promise<PairReading> {
    return this.#judge(await this.#sendFrames(requests));
  }

  /** What the gateway let pass is what the provider read, each once and in its order; nobody has another's answer. */
  #judge(answers: readonly RawReply[]): PairReading {
    const passed = answers.filter(({ code }) => code === null).map(({ crossing }) => crossing);
    for (const { crossing, code } of answers) this.#answered.set(crossing, code);
    const { seen } = this.upstream;
    const places = passed.map((id) => seen.findIndex(({ crossing }) => crossing === id));
    const differences = [...misgiven(answers)];
    if (places.some((place, i) => place < 0 || place <= (places[i - 1] ?? -1)))
      differences.push(`passed ${passed}, which the provider read at ${places}`);
    return {
      answers: answers.map(({ status, code }) => (code === null ? `${status}` : `${status} ${code}`)),
      reached: places.map((place) => {
        const { crossing: _, ...rest } = seen[place] ?? { crossing: "" };
        return JSON.stringify(rest);
      }),
      differences,
    };
  }

  /** Over all that was sent: each request the provider read was let pass, as this operation, with content of this length, and once. */
  async unlikeRecords(): Promise<readonly string[]> {
    const differences: string[] = [];
    const counted = new Set<string>();
    for (const request of this.upstream.seen) {
      const { crossing } = request;
      if (counted.has(crossing)) differences.push(`${crossing} was read twice`);
      counted.add(crossing);
      // Null: let pass; undefined: its connection ended before it could be answered.
      const code = this.#answered.get(crossing) ?? null;
      if (code !== null) differences.push(`${crossing} was refused as ${code} and reached the provider`);
      differences.push(...unlikeRecord(request, await this.#bed.leaves(crossing)));
    }
    return differences;
  }

  /** Word of control, without which nothing passes for long. */
  heartbeat(): void {
    this.#bed.feed.heartbeat();
  }

  async close(): Promise<void> {
    await this.#bed.close();
    await this.upstream.close();
  }

  async #send(stream: string): Promise<string> {
    const { cert, key } = this.#tls;
    const { port } = this.#bed.addresses[0] ?? { port: 0 };
    const to = { host: "127.0.0.1", port, servername: "localhost", ca: workloads.certificatePem };
    const socket = connect({ ...to, cert, key });
    let text = "";
    socket.on("data", (octets: Buffer) => {
      text += octets.toString("latin1");
    });
    socket.on("error", () => {
      // What was answered until then counts.
    });
    socket.write(stream, "latin1");
    await new Promise((resolve) => socket.once("close", resolve));
    return text;
  }

  async #sendFrames(requests: readonly BentRequest[]): Promise<readonly RawReply[]> {
    const { cert, key } = this.#tls;
    const { port } = this.#bed.addresses[0] ?? { port: 0 };
    const raw = await RawHttp2.open(`https://localhost:${port}`, { ca: workloads.certificatePem, cert, key });
    const replies: RawReply[] = [];
    try {
      await raw.acknowledge();
      for (const [i, request] of requests.entries()) {
        const id = 2 * i + 1;
        raw.send(...framesOf(id, request));
        const { blocks, text } = await raw.answer(id);
        // An interim answer stands in front.
        const head = blocks.find(({ ":status": status = "" }) => !status.startsWith("1")) ?? {};
        replies.push({
          status: Number(head[":status"] ?? 0),
          crossing: head["sallyport-crossing"] ?? "",
          code: codeIn(head["sallyport-verdict"] ?? ""),
          of: ofIn(text),
        });
      }
    } finally {
      raw.close();
    }
    return replies;
  }
}

interface RawReply {
  readonly status: number;
  readonly crossing: string;
  /** Why the gateway refused; null: it is the provider's answer. */
  readonly code: string | null;
  /** Whose answer it is, in the provider's word; null: it has no content. */
  readonly of: string | null;
}

const codeIn = (verdict: string): string | null =>
  /(?:deny|allow); by=gateway; code=([a-z0-9-]+)/i.exec(verdict)?.[1] ?? null;
const ofIn = (text: string): string | null => /\{"of":"([^"]*)"\}/.exec(text)?.[1] ?? null;

function framesOf(id: number, { fields, content, trailers }: BentRequest): readonly Buffer[] {
  const ends = (isLast: boolean): number => (isLast ? frameFlag.endStream : 0);
  const pieces = content ?? [];
  return [
    headersFrame(id, fields, ends(content === null)),
    ...pieces.map((piece, i) => dataFrame(id, piece, ends(trailers === null && i === pieces.length - 1))),
    ...(trailers === null ? [] : [headersFrame(id, trailers)]),
  ];
}

/** Final answers, by their status lines: no content here has one. */
function answersIn(text: string): readonly RawReply[] {
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((part) => part !== "" && !part.startsWith("HTTP/1.1 1"))
    .map((part) => ({
      status: Number(part.slice(9, 12)),
      crossing: /\r\nsallyport-crossing: ([^\r\n]+)\r\n/i.exec(part)?.[1] ?? "",
      code: codeIn(/\r\nsallyport-verdict: ([^\r\n]+)/i.exec(part)?.[1] ?? ""),
      of: ofIn(part),
    }));
}

const misgiven = (answers: readonly RawReply[]): readonly string[] =>
  answers
    .filter(({ of, crossing }) => of !== null && of !== crossing)
    .map(({ of, crossing }) => `${crossing} was given the answer of ${of}`);

/** Operations by what the provider read: written down here once more, so that the gateway's router does not judge itself. */
const operations: readonly (readonly [RegExp, string])[] = [
  [/^(?:GET|HEAD) \/v1\/invoices\/[^/?]+(?:\?.*)?$/, "billing:invoice.read"],
  [/^POST \/v1\/invoices(?:\?.*)?$/, "billing:invoice.create"],
  [/^PUT \/v1\/invoices\/[^/?]+\/scan(?:\?.*)?$/, "billing:invoice.upload"],
  [/^(?:GET|HEAD) \/v1\/regions\/eu(?:\?.*)?$/, "billing:region.read"],
];

function unlikeRecord(request: ReadRequest, leaves: readonly Leaf[]): readonly string[] {
  const { crossing, method, target, bytes } = request;
  const what = `${crossing} ${method} ${target}`;
  const [decided] = leaves;
  const told = leaves.at(-1);
  if (decided?.t !== "crossing" && decided?.t !== "intent") return [`${what}: no record of it`];
  const operation = operations.find(([pattern]) => pattern.test(`${method} ${target}`))?.[1];
  const differences: string[] = [];
  if (decided.operation !== operation)
    differences.push(`${what}: read as ${operation}, decided as ${decided.operation}`);
  if (told?.t !== "crossing" && told?.t !== "outcome") differences.push(`${what}: no outcome`);
  else if (told.bytesIn !== bytes) differences.push(`${what}: ${bytes} octets read, ${told.bytesIn} on record`);
  return differences;
}

/** Gives all octets to both pairs. */
export const compareStreams = (streams: readonly NamedStream[]): Promise<PairReport> =>
  compare(streams, hasty, (pair, stream) => pair.readStream(stream));

/** Gives the same requests of HTTP/2 to both pairs. */
export const compareConnections = (connections: readonly BentConnection[]): Promise<PairReport> =>
  compare(connections, {}, (pair, connection) => pair.readConnection(connection));

/** Half of `count` as octets, half as requests of HTTP/2. */
export async function runPairs({
  seed,
  count,
}: {
  readonly seed: number;
  readonly count: number;
}): Promise<PairReport> {
  const half = Math.ceil(count / 2);
  const one = await compareStreams(bentStreams({ seed, count: half }));
  const other = await compareConnections(bentConnections({ seed, count: half }));
  return {
    streams: one.streams + other.streams,
    reached: one.reached + other.reached,
    refused: one.refused + other.refused,
    connectionsReused: {
      node: one.connectionsReused.node + other.connectionsReused.node,
      nginx: one.connectionsReused.nginx + other.connectionsReused.nginx,
    },
    differences: [...one.differences, ...other.differences],
  };
}

async function compare<T extends { readonly name: string }>(
  inputs: readonly T[],
  bounds: Partial<ListenBounds>,
  read: (pair: Pair, input: T) => Promise<PairReading>,
): Promise<PairReport> {
  const node = await Pair.start("node", bounds);
  const nginx = await Pair.start("nginx", bounds).catch(async (fault: unknown) => {
    await node.close();
    throw fault;
  });
  const differences: string[] = [];
  const counts = { streams: 0, reached: 0, refused: 0 };
  const left = inputs.values();
  const lane = async (): Promise<void> => {
    for (const input of left) {
      if (differences.length >= differencesMax) return;
      node.heartbeat();
      nginx.heartbeat();
      const [one, other] = await Promise.all([read(node, input), read(nginx, input)]);
      counts.streams++;
      counts.reached += one.reached.length + other.reached.length;
      counts.refused += one.answers.filter((answer) => answer.includes(" ")).length;
      const found = [...one.differences, ...other.differences];
      if (one.answers.join() !== other.answers.join()) found.push(`answered ${one.answers} and ${other.answers}`);
      if (one.reached.join() !== other.reached.join()) found.push(`node ${one.reached}, nginx ${other.reached}`);
      if (found.length > 0) differences.push(`${found.join("; ")}: ${JSON.stringify(input)}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
    for (const pair of [node, nginx]) differences.push(...(await pair.unlikeRecords()));
    const unread = [...node.upstream.refusals(), ...nginx.upstream.refusals()];
    differences.push(...unread.map((words) => `a provider could not read what it was sent: ${words}`));
    const connectionsReused = { node: node.upstream.reused(), nginx: nginx.upstream.reused() };
    return { ...counts, connectionsReused, differences };
  } finally {
    await node.close();
    await nginx.close();
  }
}
