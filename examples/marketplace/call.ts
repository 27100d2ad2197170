// Promises one HTTP exchange as it was: status, code, id and the milliseconds it took, over a connection that trusts only the roots given.
// Trusts node:http. Codes and ids of refusals: docs/problems/README.md.
import { type Agent, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly latencyMs: number;
  /** Crossing id the answer names; empty when it names none. */
  readonly id: string;
  /** Public code of a refusal; null for any other answer. */
  readonly code: string | null;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Root and, for mTLS, the caller's certificate (PEM). */
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
  /** Without one each call has a connection of its own. */
  readonly agent?: Agent;
}

const timeoutMs = 10_000;

/** Rejects when there is no whole answer in 10 s. */
export function call(url: string, options: CallOptions = {}): Promise<Reply> {
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, tls = {}, agent } = options;
    const setup = { method, headers, family: 4, timeout: timeoutMs, agent: agent ?? false, ...tls };
    const request = send(url, setup, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
        const text = Buffer.concat(chunks).toString("utf8");
        resolve(
          replyOf({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(flat),
            text,
            latencyMs: performance.now() - startedMs,
          }),
        );
      });
    });
    request.on("timeout", () => request.destroy(new Error(`no answer from ${new URL(url).origin} in ${timeoutMs} ms`)));
    request.on("error", reject);
    request.end(options.body);
  });
}

/** The same for an answer of fetch; its body is read here. */
export async function replyOfFetch(send: () => Promise<Response>): Promise<Reply> {
  const startedMs = performance.now();
  const response = await send();
  const text = await response.text();
  const latencyMs = performance.now() - startedMs;
  return replyOf({ status: response.status, headers: Object.fromEntries(response.headers), text, latencyMs });
}

/** Reads id and code out of an answer. Pure. */
export function replyOf(answer: Pick<Reply, "status" | "headers" | "text" | "latencyMs">): Reply {
  const isProblem = answer.headers["content-type"]?.startsWith("application/problem+json") ?? false;
  return { ...answer, id: answer.headers["sallyport-crossing"] ?? "", code: isProblem ? codeOf(answer.text) : null };
}

function codeOf(text: string): string | null {
  const problem: unknown = JSON.parse(text);
  if (typeof problem !== "object" || problem === null || !("code" in problem)) return null;
  return typeof problem.code === "string" ? problem.code : null;
}
