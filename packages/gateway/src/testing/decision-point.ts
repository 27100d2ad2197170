// Promises a decision point that speaks OPA's data API as it is documented (POST /v1/data/<path> with `input`; `result` absent where the path names
// nothing; `decision_id`; 400 and 500 with `code` and `message`), for tests: OPA itself is in no package registry we use. Trusts nothing of the gateway.
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export type Rule = (input: unknown) => unknown;

export interface DecisionPoint {
  readonly url: string;
  /** Path behind `/v1/data/` -> rule; undefined is no value. */
  readonly rules: Map<string, Rule>;
  /** Every question that arrived: its path and its input. */
  readonly asked: { readonly path: string; readonly input: unknown }[];
  /** Ids of the decisions it has told. */
  readonly decisions: string[];
  /** Answers in place of the data API; null: the data API. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | null;
  close(): Promise<void>;
}

const dataPath = "/v1/data/";

export async function startDecisionPoint(): Promise<DecisionPoint> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => response.destroy());
    request.on("end", () => {
      if (point.answer !== null) point.answer(request, response);
      else serve(request, response, Buffer.concat(chunks).toString("utf8"));
    });
  });
  const say = (response: ServerResponse, status: number, value: object): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  };
  const serve = (request: IncomingMessage, response: ServerResponse, text: string): void => {
    const path = request.url ?? "";
    if (request.method !== "POST" || !path.startsWith(dataPath)) {
      say(response, 404, { code: "undefined_document" });
      return;
    }
    const { input } = JSON.parse(text);
    const name = path.slice(dataPath.length);
    point.asked.push({ path: name, input });
    const decision_id = randomUUID();
    point.decisions.push(decision_id);
    const rule = point.rules.get(name);
    try {
      const result = rule?.(input);
      say(response, 200, { decision_id, ...(result === undefined ? {} : { result }) });
    } catch (fault) {
      say(response, 500, { code: "internal_error", message: String(fault) });
    }
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the decision point has no address");
  const point: DecisionPoint = {
    url: `http://127.0.0.1:${address.port}`,
    rules: new Map(),
    asked: [],
    decisions: [],
    answer: null,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return point;
}
