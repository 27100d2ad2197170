// Promises `call` from the named operation to the printed answer. Trusts the estate, the SDK and the answer's own words for a denial.
// Specified in docs/cli/call.md.
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import type { Terminal } from "../terminal.ts";
import { type BuiltRequest, buildRequest } from "./build-request.ts";
import { type CallAnswer, createCallClient } from "./call-once.ts";
import {
  type CallingClient,
  findClient,
  findHolder,
  findOperation,
  loadEnvironment,
  type Provided,
} from "./find-operation.ts";
import { refuseTaken, saveReceipt } from "./save-receipt.ts";
import { quantile } from "./timings.ts";
import type { Way } from "./way.ts";

export interface CallOrder {
  readonly way: Way;
  readonly operation: string;
  readonly words: readonly string[];
  readonly body: Uint8Array | null;
  readonly headers: readonly string[];
  readonly as: string | undefined;
  readonly scope: string | undefined;
  readonly keyFile: string | undefined;
  readonly repeat: number;
  readonly verbose: boolean;
  readonly curl: boolean;
  /** File for the receipt of the first call. */
  readonly receipt: string | undefined;
  /** Presented in place of a token; null: a token is fetched. */
  readonly apiKey: string | null;
  key(client: string): TokenSigner;
  readonly terminal: Terminal;
}

/** Null: the answer is yes. Else how the command ends; the answer itself is printed already. */
export async function runCall(order: CallOrder): Promise<CommandEnd | null> {
  const environment = await loadEnvironment(order.way.configDirectory, order.way.environment);
  const provided = findOperation(environment, order.operation);
  const from =
    order.apiKey === null
      ? findClient(environment, order.as, {
          provider: provided.system.id,
          dataDirectory: order.way.dataDirectory,
          key: order.keyFile,
        })
      : findHolder(environment, order.as);
  const request = buildRequest(provided, order);
  if (order.curl) return printCurl(order, from, request);
  if (order.receipt !== undefined) refuseTaken(order.receipt);
  const client = createCallClient({
    way: order.way,
    client: from.client,
    key: order.apiKey ?? order.key(from.client),
    system: provided.system.id,
    ...(order.scope === undefined ? {} : { scope: order.scope }),
  });
  try {
    const answers: CallAnswer[] = [];
    for (let i = 0; i < order.repeat; i += 1) answers.push(keptAnswer(await client.call(request), i));
    const end = report(order, { provided, from, request, answers });
    const crossing = answers[0]?.headers["sallyport-crossing"] ?? null;
    if (order.receipt !== undefined) {
      await saveReceipt(client, crossing, order.receipt);
      order.terminal.line(`receipt saved: ${order.receipt}`);
    }
    return end;
  } finally {
    await client.close();
  }
}

/** Of many calls the first body is enough. */
function keptAnswer(answer: CallAnswer, index: number): CallAnswer {
  return index === 0 ? answer : { ...answer, body: new Uint8Array(0) };
}

interface Called {
  readonly provided: Provided;
  readonly from: CallingClient;
  readonly request: BuiltRequest;
  readonly answers: readonly CallAnswer[];
}

function report(order: CallOrder, called: Called): CommandEnd | null {
  const { answers, request, from } = called;
  // The first that was refused says more than the first.
  const shown = answers.find(({ status }) => status >= 400) ?? answers[0];
  if (shown === undefined) return null;
  const denial = denialOf(shown);
  const repeated = answers.length === 1 ? null : repeatedOf(answers);
  order.terminal.result(
    {
      operation: order.operation,
      as: from.system.id,
      method: request.method,
      url: `${order.way.gateway}${request.target}`,
      status: shown.status,
      crossing: shown.headers["sallyport-crossing"] ?? null,
      denial,
      headers: shown.headers,
      body: bodyValue(shown),
      totalMs: shown.totalMs,
      steps: shown.steps,
      ...(order.receipt === undefined ? {} : { receipt: order.receipt }),
      ...(repeated === null ? {} : { repeated }),
    },
    () => words(order, called, shown),
  );
  return callEnd(shown);
}

interface Denial {
  /** `stranger`: nothing in the answer is a gateway's, so something before it answered. */
  readonly by: "gateway" | "provider" | "stranger";
  readonly code: string | null;
  readonly detail: string | null;
  readonly id: string | null;
}

function denialOf(answer: CallAnswer): Denial | null {
  if (answer.status < 400) return null;
  const verdict = /^(?:deny|allow); by=gateway; code=([a-z-]+)/.exec(answer.headers["sallyport-verdict"] ?? "");
  const id = answer.headers["sallyport-crossing"] ?? null;
  if (verdict === null) return { by: id === null ? "stranger" : "provider", code: null, detail: null, id };
  const problem = bodyValue(answer);
  const detail = isObject(problem) && typeof problem["detail"] === "string" ? problem["detail"] : null;
  return { by: "gateway", code: verdict[1] ?? null, detail, id };
}

/** How the command ends for an answer; null: well. */
export function callEnd(answer: CallAnswer): CommandEnd | null {
  return endOf(answer, denialOf(answer));
}

function endOf({ status }: CallAnswer, denial: Denial | null): CommandEnd | null {
  if (denial === null) return null;
  if (denial.by === "stranger")
    return new CommandEnd(
      exitCode.no,
      `something before the gateway answered ${status}: the answer has no Sallyport-Crossing`,
      "look into the log of the proxy in front, which could not ask or reach the gateway, or has nothing under this path",
    );
  if (denial.by === "provider")
    return new CommandEnd(
      exitCode.no,
      `the provider answered ${status}`,
      "the gateway let it cross; the answer is the provider's",
    );
  const detail = denial.detail === null ? "" : `: ${denial.detail}`;
  return new CommandEnd(
    exitCode.no,
    `denied by the gateway, ${denial.code}${detail}`,
    denial.id === null ? "" : `sallyport why ${denial.id}`,
  );
}

function repeatedOf(answers: readonly CallAnswer[]) {
  // The first one also fetched the token and made the connections.
  const warm = answers.slice(1).map(({ totalMs }) => totalMs);
  const statuses = new Map<number, number>();
  for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  return {
    calls: answers.length,
    firstMs: answers[0]?.totalMs ?? 0,
    p50Ms: quantile(warm, 0.5),
    p99Ms: quantile(warm, 0.99),
    statuses: Object.fromEntries(statuses),
  };
}

/** Headers that say something about the crossing; the rest is shown with --verbose. */
const interesting = /^(?:content-type|sallyport-.*|ratelimit.*|retry-after|www-authenticate|location|etag)$/;

function words(order: CallOrder, { provided, from, request, answers }: Called, shown: CallAnswer): readonly string[] {
  const { system, operation } = provided;
  const lines = [
    `${shown.status} ${system.id}:${operation.name} as ${from.system.id}, ${shown.totalMs} ms`,
    `${request.method} ${order.way.gateway}${request.target}`,
    ...Object.entries(shown.headers)
      .filter(([name]) => order.verbose || interesting.test(name))
      .map(([name, value]) => `${name}: ${value}`),
    "",
    ...bodyLines(shown),
    "",
  ];
  if (answers.length > 1) {
    const { calls, firstMs, p50Ms, p99Ms, statuses } = repeatedOf(answers);
    lines.push(
      `${calls} calls: first ${firstMs} ms, then p50 ${p50Ms} ms, p99 ${p99Ms} ms`,
      `statuses: ${Object.entries(statuses)
        .map(([status, count]) => `${status} x ${count}`)
        .join(", ")}`,
    );
    if (!order.verbose) return lines;
  }
  const rows = shown.steps.map(({ at, step, ms }) => [at, step, ms.toFixed(2)]);
  return [...lines, ...order.terminal.table([["where", "what", "ms"], ...rows])];
}

function bodyLines(answer: CallAnswer): readonly string[] {
  if (answer.body.length === 0) return ["(no body)"];
  const value = bodyValue(answer);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return [...text.split("\n"), ...(answer.cut ? ["(cut at 16 MiB)"] : [])];
}

/** JSON as its value, text as text, anything else as its size. */
function bodyValue({ headers, body, cut }: CallAnswer): unknown {
  if (body.length === 0) return null;
  const type = headers["content-type"] ?? "";
  const text = new TextDecoder().decode(body);
  if (/^application\/(?:[a-z0-9.+-]+\+)?json\b/i.test(type) && !cut) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  return /^text\/|^application\/(?:xml|yaml|x-www-form-urlencoded)|\+xml\b/i.test(type)
    ? text
    : `(${body.length} bytes of ${type || "no declared type"})`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function printCurl(order: CallOrder, from: CallingClient, request: BuiltRequest): null {
  const headers = Object.entries(request.headers).filter(([name]) => name !== "accept" && name !== "host");
  const body = request.body === null ? "" : typeof request.body === "string" ? request.body : "@-";
  const line = [
    "curl",
    ...(request.method === "GET" ? [] : ["-X", request.method]),
    ...headers.flatMap(([name, value]) => ["-H", quoted(`${name}: ${value}`)]),
    ...(body === "" ? [] : ["--data-binary", quoted(body)]),
    quoted(`http://127.0.0.1:9000${request.target}`),
  ].join(" ");
  const proxy = `sallyport proxy --as ${from.system.id} --listen :9000`;
  order.terminal.result({ proxy, curl: line }, () => [`# first: ${proxy}`, line]);
  return null;
}

/** One word of a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
