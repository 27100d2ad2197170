// Sinks against receivers that keep to their protocols and against ones that do not.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { testCertificate } from "../../identity/certificates.test-support.ts";
import { elasticReceiver } from "./elastic.ts";
import { encodeRecord } from "./encode.ts";
import { noNames } from "./exported-record.ts";
import { fileSink, stdoutSink } from "./file-sink.ts";
import type { HttpReceiver } from "./http-exchange.ts";
import { type HttpPlace, httpSink } from "./http-sink.ts";
import { otlpReceiver } from "./otlp.ts";
import { SinkFault } from "./sink.ts";
import { splunkReceiver } from "./splunk.ts";
import { splunkSink } from "./splunk-sink.ts";
import { everyRecord } from "./testing/every-leaf.ts";
import { temporaryFolder } from "./testing/fold-on-disk.ts";
import {
  elasticIndex,
  otlpCollector,
  type Receiver,
  type ReceiverAnswer,
  splunkIndex,
  startReceiver,
  webhookInbox,
} from "./testing/receivers.ts";
import { webhookReceiver } from "./webhook.ts";

const token = "canary-11111111-2222-3333-4444-555555555555";
const now = () => Date.now();
const dialer = createDialer();
const batch = everyRecord().map((record) =>
  encodeRecord(record, { format: "ocsf", version: "1.5.0", nameOf: noNames }),
);
const open: Receiver[] = [];
after(() => Promise.all(open.map((one) => one.close())));

async function receiver(...given: Parameters<typeof startReceiver>): Promise<Receiver> {
  const started = await startReceiver(...given);
  open.push(started);
  return started;
}
const placeOf = ({ origin, ca }: Receiver, more: Partial<HttpPlace> = {}): HttpPlace => ({
  ...{ dialer, origin, ca, allowPrivate: true, identity: null, now },
  ...more,
});
const splunk = { basePath: "", token, index: "audit", sourceType: "sallyport:ocsf", channel: null, gzip: true };

async function faultOf(send: Promise<unknown>): Promise<SinkFault> {
  const fault = await send.then(
    () => assert.fail("taken"),
    (error: unknown) => error,
  );
  assert.ok(fault instanceof SinkFault, String(fault));
  assert.ok(!`${fault.message} ${fault.stack ?? ""}`.includes(token), "no credential is ever in a fault");
  return fault;
}

test("Splunk: events arrive compressed, with time, host, source and index, and count as taken at code 0", async () => {
  const index = splunkIndex({ token });
  const at = await receiver((request) => index.answer(request));
  const sink = httpSink(splunkReceiver(splunk), placeOf(at));
  assert.deepEqual(await sink.send(batch), { kind: "taken", rejected: [] });
  await sink.close();
  assert.equal(index.events.length, batch.length);
  const [first] = index.events;
  assert.deepEqual([first?.["time"], first?.["host"], first?.["index"]], ["1795305600.000", "gw-1", "audit"]);
  assert.equal((first?.["event"] as { class_uid: number } | undefined)?.class_uid, 6002);
  assert.equal(at.requests[0]?.headers["content-encoding"], "gzip");
});

test("Splunk with acknowledgement: a batch is taken when the indexer says so, not when HEC does", async () => {
  const index = splunkIndex({ token, ack: true });
  const at = await receiver((request) => index.answer(request));
  let pauses = 0;
  const pause = async () => {
    pauses += 1;
  };
  const channel = "00000000-0000-4000-8000-000000000001";
  const sink = splunkSink({ ...splunk, channel }, { ...placeOf(at), pause });
  assert.equal((await sink.send(batch)).kind, "taken");
  assert.equal(pauses, 1);
  await sink.close();
  const never = await receiver((request) =>
    request.path.includes("/ack") ? { status: 200, body: '{"acks":{"0":false}}' } : index.answer(request),
  );
  const waiting = splunkSink({ ...splunk, channel }, { ...placeOf(never), pause });
  assert.match((await faultOf(waiting.send(batch.slice(0, 1)))).message, /did not acknowledge it in 60 s/);
  await waiting.close();
});

test("Elastic: a second delivery of the same records makes no second document, and one that is refused is named", async () => {
  const index = elasticIndex({
    refuses: (document) => ((document as { class_uid?: number }).class_uid === 3003 ? "field [x] is no date" : null),
  });
  const at = await receiver((request) => index.answer(request));
  const sink = httpSink(
    elasticReceiver({ basePath: "", index: "logs-audit", authorization: `ApiKey ${token}`, gzip: true }),
    placeOf(at),
  );
  for (let times = 0; times < 2; times += 1) {
    const delivery = await sink.send(batch);
    assert.equal(delivery.kind, "taken");
    assert.deepEqual(
      delivery.kind === "taken" ? delivery.rejected.map(({ at: where }) => batch[where]?.record.leaf.t) : [],
      ["issuance"],
    );
  }
  await sink.close();
  assert.equal(index.documents.size, batch.length - 1);
  assert.ok(index.documents.has("sallyport.local/main/production/gw-1/gateway/2026:2"));
});

test("OTLP: log records arrive with time, severity, place and body; rejected ones are doubtful, and are not sent again", async () => {
  const collector = otlpCollector();
  const at = await receiver((request) => collector.answer(request));
  const send = (to: Receiver) =>
    httpSink(otlpReceiver({ path: "/v1/logs", authorization: null, gzip: true }), placeOf(to)).send(batch);
  assert.deepEqual(await send(at), { kind: "taken", rejected: [] });
  const [first] = collector.logRecords;
  assert.deepEqual([first?.["timeUnixNano"], first?.["severityText"]], ["1795305600000000000", "INFO"]);
  const partial = await receiver((request) => otlpCollector({ rejects: 2 }).answer(request));
  const delivery = await send(partial);
  assert.ok(delivery.kind === "taken" && delivery.rejected.length === batch.length);
  assert.match(
    delivery.kind === "taken" ? (delivery.rejected[0]?.reason ?? "") : "",
    /rejected 2 of \d+ without saying which: attribute too long/,
  );
});

test("webhook: the signature of Standard Webhooks verifies, and a second delivery has the same id", async () => {
  const key = Buffer.alloc(32, 7);
  const inbox = webhookInbox(key, now);
  const at = await receiver((request) => inbox.answer(request));
  const open = (with_: Uint8Array) =>
    httpSink(webhookReceiver({ path: "/hook", sink: "copy", key: with_ }), placeOf(at));
  await open(key).send(batch);
  await open(key).send(batch);
  assert.equal(inbox.ids.size, 1);
  assert.equal(inbox.events.length, batch.length);
  assert.match(
    (await faultOf(open(Buffer.alloc(32, 8)).send(batch))).message,
    /401: it does not accept the credential/,
  );
});

const protocols: readonly (readonly [string, HttpReceiver])[] = [
  ["splunk", splunkReceiver(splunk)],
  ["elastic", elasticReceiver({ basePath: "", index: "audit", authorization: `ApiKey ${token}`, gzip: true })],
  ["otlp", otlpReceiver({ path: "/v1/logs", authorization: `Bearer ${token}`, gzip: true })],
  ["webhook", webhookReceiver({ path: "/hook", sink: "copy", key: Buffer.from(token) })],
];

test("attack: a receiver that lies about acceptance is not believed", async () => {
  const lies: Readonly<Record<string, readonly ReceiverAnswer[]>> = {
    splunk: [
      { status: 200, body: "<html>log in</html>" },
      { status: 200, body: '{"text":"Incorrect index","code":7}' },
      { status: 200 },
    ],
    elastic: [
      { status: 200, body: '{"errors":false,"items":[]}' },
      { status: 200, body: "{}" },
      {
        status: 200,
        body: JSON.stringify({ errors: false, items: batch.map(() => ({ create: { _id: "another", status: 201 } })) }),
      },
      { status: 200, body: JSON.stringify({ errors: true, items: batch.map(() => ({ create: "ok" })) }) },
    ],
    otlp: [
      { status: 200, body: "<html>log in</html>" },
      { status: 200, body: "[]" },
    ],
  };
  for (const [name, protocol] of protocols)
    for (const lie of lies[name] ?? []) {
      const at = await receiver(() => lie);
      const sink = httpSink(protocol, placeOf(at));
      await faultOf(sink.send(batch));
      await sink.close();
    }
});

test("attack: a redirect is not followed, whatever it points at", async () => {
  let reached = 0;
  const target = await receiver(() => {
    reached += 1;
    return { status: 200, body: "{}" };
  });
  for (const [name, protocol] of protocols)
    for (const status of [301, 302, 307, 308]) {
      const at = await receiver(() => ({ status, headers: { location: `${target.origin}/` } }));
      const sink = httpSink(protocol, placeOf(at, { ca: at.ca }));
      assert.match((await faultOf(sink.send(batch))).message, /redirects are not followed/, name);
      await sink.close();
    }
  assert.equal(reached, 0);
});

test("429 and 503 say when to come back, and it is kept to, within bounds", async () => {
  // A date in a field is whole seconds.
  const fixed = 1_795_305_600_000;
  for (const [field, min, max] of [
    ["7", 7_000, 7_000],
    ["999999999", 900_000, 900_000],
    [new Date(fixed + 20_000).toUTCString(), 20_000, 20_000],
  ] as const)
    for (const status of [429, 503]) {
      const at = await receiver(() => ({
        status,
        headers: { "retry-after": field },
        body: '{"text":"busy","code":9}',
      }));
      for (const [name, protocol] of protocols) {
        const sink = httpSink(protocol, placeOf(at, { now: () => fixed }));
        const { retryAfterMs } = await faultOf(sink.send(batch));
        assert.ok(retryAfterMs !== null && retryAfterMs >= min && retryAfterMs <= max, `${name} ${retryAfterMs}`);
        await sink.close();
      }
    }
});

test("attack: an answer without end is given up at its bound", async () => {
  const at = await receiver((_request, res) => {
    res.writeHead(200, { "content-type": "application/json" });
    const chunk = Buffer.alloc(65_536, "x");
    const more = () => {
      while (!res.destroyed && res.write(chunk));
      if (!res.destroyed) res.once("drain", more);
    };
    more();
    return null;
  });
  const sink = httpSink(protocols[1]?.[1] ?? assert.fail(), placeOf(at));
  assert.match((await faultOf(sink.send(batch))).message, /answer-too-large/);
  await sink.close();
});

test("attack: a receiver at a private address is not dialled unless the sink says so", async () => {
  const at = await receiver(() => ({ status: 200, body: "{}" }));
  const sink = httpSink(protocols[0]?.[1] ?? assert.fail(), placeOf(at, { allowPrivate: false }));
  assert.match((await faultOf(sink.send(batch))).message, /address-refused/);
  await sink.close();
  const metadata = httpSink(
    protocols[0]?.[1] ?? assert.fail(),
    placeOf(at, { allowPrivate: true, origin: "https://metadata.internal" }),
  );
  await faultOf(metadata.send(batch));
  await metadata.close();
  assert.equal(at.requests.length, 0);
});

test("attack: a receiver whose certificate does not chain to the given roots gets nothing", async () => {
  const at = await receiver(() => ({ status: 200, body: "{}" }));
  const other = testCertificate([{ type: "ip", value: "127.0.0.1" }]).cert;
  for (const ca of [other, null]) {
    const sink = httpSink(protocols[0]?.[1] ?? assert.fail(), placeOf(at, { ca }));
    assert.match((await faultOf(sink.send(batch))).message, /tls-untrusted/);
    await sink.close();
  }
  assert.equal(at.requests.length, 0);
});

test("attack: a receiver with the certificate of another name gets nothing, whatever roots it chains to", async () => {
  const at = await receiver(() => ({ status: 200, body: "{}" }), [{ type: "dns", value: "siem.evil.example" }]);
  const sink = httpSink(protocols[0]?.[1] ?? assert.fail(), placeOf(at));
  assert.match((await faultOf(sink.send(batch))).message, /tls-untrusted/);
  await sink.close();
  assert.equal(at.requests.length, 0);
});

test("attack: what a receiver says is quoted on one line, printable and short", async () => {
  const at = await receiver(() => ({ status: 400, body: `bad\r\n2026 FORGED LINE\u001b[31m${"x".repeat(5_000)}` }));
  const sink = httpSink(protocols[2]?.[1] ?? assert.fail(), placeOf(at));
  const delivery = await sink.send(batch);
  assert.ok(delivery.kind === "refused");
  assert.match(
    delivery.kind === "refused" ? delivery.reason : "",
    /^400 bad 2026 FORGED LINE \[31mx{10}[ -~]{1,300}…$/,
  );
  await sink.close();
});

test("a file is its owner's alone, makes way at its size, and keeps as many as it is told", async () => {
  const folder = temporaryFolder();
  const path = join(folder.path, "copy.ndjson");
  const one = (batch[2]?.json.length ?? 0) + 1;
  const sink = fileSink({ path, rotateBytes: one * 2, keep: 2 });
  for (let times = 0; times < 9; times += 1) await sink.send(batch.slice(2, 3));
  await sink.close();
  const lines = (name: string) => readFileSync(name, "utf8").trimEnd().split("\n").length;
  assert.deepEqual([path, `${path}.1`, `${path}.2`].map(lines), [1, 2, 2]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  folder.remove();
});

test("standard output gets one line for each event, and a reader that is gone is a fault and no yes", async () => {
  const written: string[] = [];
  const sink = stdoutSink(async (text) => void written.push(text));
  assert.deepEqual(await sink.send(batch), { kind: "taken", rejected: [] });
  assert.equal(written.join(""), batch.map(({ json }) => `${json}\n`).join(""));
  for (const line of written.join("").trimEnd().split("\n")) assert.equal(typeof JSON.parse(line), "object");
  const gone = stdoutSink(() => Promise.reject(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })));
  assert.match((await faultOf(gone.send(batch))).message, /standard output takes nothing \(EPIPE\)/);
  await sink.close();
});

test("a file that cannot be written is a fault with its path", async () => {
  const folder = temporaryFolder();
  const sink = fileSink({ path: join(folder.path, "none", "copy.ndjson"), rotateBytes: 1_000_000, keep: 1 });
  assert.match((await faultOf(sink.send(batch))).message, /none\/copy\.ndjson cannot be written \(ENOENT\)/);
  folder.remove();
});
