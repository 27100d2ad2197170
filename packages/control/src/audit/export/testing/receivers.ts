// Promises receivers that behave like the real ones as far as their protocols say: HEC with its codes and acknowledgements, the bulk API with ids that
// exist once, OTLP with partial success, a webhook that checks signatures. Trusts nothing it is sent. For tests.
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { type TestName, testCertificate } from "../../../identity/certificates.test-support.ts";

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface ReceiverAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Receiver {
  readonly origin: string;
  /** PEM roots that its certificate chains to. */
  readonly ca: string;
  readonly requests: readonly ReceivedRequest[];
  close(): Promise<void>;
}

/** An https server on loopback, with these names in its certificate; `answer` may never settle, or write by itself and give null. */
export async function startReceiver(
  answer: (request: ReceivedRequest, res: ServerResponse) => ReceiverAnswer | null | Promise<ReceiverAnswer | null>,
  names: readonly TestName[] = [{ type: "ip", value: "127.0.0.1" }],
): Promise<Receiver> {
  const { cert, key } = testCertificate(names);
  const requests: ReceivedRequest[] = [];
  const server = createServer({ cert, key }, (req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", async () => {
      const bytes = Buffer.concat(chunks);
      const body = (req.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes).toString("utf8");
      const request = { path: req.url ?? "", headers: req.headers, body };
      requests.push(request);
      const said = await answer(request, res);
      if (said === null) return;
      res.writeHead(said.status, { "content-type": "application/json", ...said.headers });
      res.end(said.body ?? "");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  return {
    origin: `https://127.0.0.1:${port}`,
    ca: cert,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface SplunkIndex {
  readonly events: readonly Readonly<Record<string, unknown>>[];
  answer(request: ReceivedRequest): ReceiverAnswer;
}

const hec = (status: number, text: string, code: number, more: object = {}): ReceiverAnswer => ({
  status,
  body: JSON.stringify({ text, code, ...more }),
});

/** HEC as its reference says: tokens, channels, an event without `event` refuses the batch from there on, acknowledgements later. */
export function splunkIndex(options: {
  readonly token: string;
  readonly ack?: boolean;
  readonly refuses?: (event: unknown) => boolean;
}): SplunkIndex {
  const events: Readonly<Record<string, unknown>>[] = [];
  const asked = new Map<number, number>();
  let nextAck = 0;
  return {
    events,
    answer({ path, headers, body }) {
      if (headers.authorization !== `Splunk ${options.token}`) return hec(403, "Invalid token", 4);
      const channel = headers["x-splunk-request-channel"];
      if (options.ack === true && channel === undefined) return hec(400, "Data channel is missing", 10);
      if (path.startsWith("/services/collector/ack")) {
        const ids = (JSON.parse(body) as { acks: number[] }).acks;
        const seen = (id: number) => {
          asked.set(id, (asked.get(id) ?? 0) + 1);
          return (asked.get(id) ?? 0) > 1;
        };
        return { status: 200, body: JSON.stringify({ acks: Object.fromEntries(ids.map((id) => [id, seen(id)])) }) };
      }
      if (path !== "/services/collector/event") return { status: 404, body: "" };
      const given = body.split("\n").map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
      const bad = given.findIndex((one) => options.refuses?.(one["event"]) === true);
      events.push(...(bad < 0 ? given : given.slice(0, bad)));
      if (bad >= 0) return hec(400, "Invalid data format", 6, { "invalid-event-number": bad });
      return hec(200, "Success", 0, options.ack === true ? { ackId: nextAck++ } : {});
    },
  };
}

/** The bulk API: `create` of an id that exists is 409, a document that `refuses` names is 400 in its item. */
export function elasticIndex(options: { readonly refuses?: (document: unknown) => string | null }) {
  const documents = new Map<string, unknown>();
  return {
    documents,
    answer({ path, body }: ReceivedRequest): ReceiverAnswer {
      if (path !== "/_bulk") return { status: 404, body: "{}" };
      const lines = body.trimEnd().split("\n");
      const items = [];
      for (let at = 0; at < lines.length; at += 2) {
        const { create } = JSON.parse(lines[at] ?? "") as { create: { _index: string; _id: string } };
        const document: unknown = JSON.parse(lines[at + 1] ?? "");
        const reason = options.refuses?.(document) ?? null;
        const item = { _index: create._index, _id: create._id };
        if (documents.has(create._id))
          items.push({
            create: {
              ...item,
              status: 409,
              error: { type: "version_conflict_engine_exception", reason: "document already exists" },
            },
          });
        else if (reason !== null)
          items.push({ create: { ...item, status: 400, error: { type: "document_parsing_exception", reason } } });
        else {
          documents.set(create._id, document);
          items.push({ create: { ...item, status: 201, result: "created" } });
        }
      }
      return {
        status: 200,
        body: JSON.stringify({ took: 1, errors: items.some(({ create }) => create.status > 299), items }),
      };
    },
  };
}

/** A collector of logs that takes what is OTLP JSON and rejects as many as it is told. */
export function otlpCollector(options: { readonly rejects?: number } = {}) {
  const logRecords: Readonly<Record<string, unknown>>[] = [];
  return {
    logRecords,
    answer({ path, headers, body }: ReceivedRequest): ReceiverAnswer {
      if (path !== "/v1/logs" || headers["content-type"] !== "application/json") return { status: 404, body: "{}" };
      const request = JSON.parse(body) as {
        resourceLogs: { scopeLogs: { logRecords: Readonly<Record<string, unknown>>[] }[] }[];
      };
      for (const { scopeLogs } of request.resourceLogs)
        for (const scope of scopeLogs) logRecords.push(...scope.logRecords);
      const { rejects = 0 } = options;
      if (rejects === 0) return { status: 200, body: "{}" };
      return {
        status: 200,
        body: JSON.stringify({
          partialSuccess: { rejectedLogRecords: String(rejects), errorMessage: "attribute too long" },
        }),
      };
    },
  };
}

/** A receiver of Standard Webhooks 1.0: signature, five minutes, each id once. */
export function webhookInbox(key: Uint8Array, now: () => number) {
  const ids = new Set<string>();
  const events: unknown[] = [];
  return {
    ids,
    events,
    answer({ headers, body }: ReceivedRequest): ReceiverAnswer {
      const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": given } = headers;
      const wanted = `v1,${createHmac("sha256", key)
        .update(`${String(id)}.${String(timestamp)}.${body}`)
        .digest("base64")}`;
      const isEqual =
        typeof given === "string" &&
        given.length === wanted.length &&
        timingSafeEqual(Buffer.from(given), Buffer.from(wanted));
      if (!isEqual || Math.abs(Number(timestamp) * 1_000 - now()) > 300_000) return { status: 401, body: "" };
      const { data } = JSON.parse(body) as { readonly data: { readonly events?: readonly unknown[] } };
      if (!ids.has(String(id))) events.push(...(data.events ?? []));
      ids.add(String(id));
      return { status: 204 };
    },
  };
}
