// Syslog over TLS into a real rsyslog, and against receivers that are not what they should be.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { watch } from "node:fs/promises";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { debianProgram } from "../../../../../tools/debian-packages.ts";
import { testCertificate } from "../../identity/certificates.test-support.ts";
import { type EncodedRecord, encodeRecord } from "./encode.ts";
import { leafHashOf, noNames } from "./exported-record.ts";
import { type Sink, SinkFault } from "./sink.ts";
import { type SyslogPlace, syslogSink } from "./syslog-sink.ts";
import { everyRecord } from "./testing/every-leaf.ts";
import { temporaryFolder } from "./testing/fold-on-disk.ts";

const options = { enterprise: 32_473, facility: 13, bare: true };
const encoded = (format: "leaf" | "ocsf"): readonly EncodedRecord[] =>
  everyRecord().map((record) => encodeRecord(record, { format, version: "1.5.0", nameOf: noNames }));
const place = (port: number, ca: string | null) => ({
  origin: `https://127.0.0.1:${port}`,
  ...{ allowPrivate: true, ca, identity: null },
});

const patienceMs = 60_000;

/** What `found` gives once it is there: asked again whenever something in the folder changes. Rejects after a minute. */
async function inFolder<T>(folder: string, found: () => T | null): Promise<T> {
  const ending = new AbortController();
  const end = AbortSignal.any([ending.signal, AbortSignal.timeout(patienceMs)]);
  const changes = watch(folder, { signal: end });
  // Asked for before each look, the first too, as it is the first question that begins the watching: nothing comes in between.
  let change = changes.next();
  try {
    for (;;) {
      const now = found();
      if (now !== null) return now;
      await change;
      change = changes.next();
    }
  } finally {
    change.catch(() => undefined);
    ending.abort();
  }
}

/** Listens on loopback; ended with the test, and every connection with it, whether the test went well or not. */
async function listen(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port; // a TCP listener always has one
}

/** Closed with the test, whether it went well or not. */
function openSink(t: TestContext, at: SyslogPlace): Sink {
  const sink = syslogSink(options, at);
  t.after(() => sink.close());
  return sink;
}

/** A real rsyslog that writes one JSON object for each message it parsed. */
async function startRsyslog(t: TestContext): Promise<{
  readonly port: number;
  readonly ca: string;
  /** Of what it was sent, as soon as it has so many. */
  readonly lines: (count: number) => Promise<readonly Parsed[]>;
}> {
  const { path: folder, remove } = temporaryFolder();
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const out = join(folder, "out.json");
  writeFileSync(join(folder, "cert.pem"), cert);
  writeFileSync(join(folder, "key.pem"), key, { mode: 0o600 });
  writeFileSync(out, "");
  writeFileSync(
    join(folder, "rsyslog.conf"),
    `global(workDirectory="${folder}" maxMessageSize="64k" processInternalMessages="on" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="${folder}/cert.pem" defaultNetstreamDriverCertFile="${folder}/cert.pem" defaultNetstreamDriverKeyFile="${folder}/key.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="0" address="127.0.0.1" listenPortFileName="${folder}/port")
template(name="parsed" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf") property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf") property(outname="msgid" name="msgid" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf") property(outname="message" name="msg" format="jsonf")
}
action(type="omfile" file="${out}" template="parsed")
`,
  );
  const child = spawn(
    debianProgram("rsyslogd"),
    ["-n", "-f", join(folder, "rsyslog.conf"), "-i", join(folder, "pid")],
    { stdio: "ignore" },
  );
  // Before anything is waited for: one that starts late, or never, is ended too.
  const ended = new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
    remove();
  });
  const parsed = () => wholeLines(readFileSync(out, "utf8")).map((line) => JSON.parse(line) as Parsed);
  // Once it listens it says so, to itself.
  await Promise.race([
    inFolder(folder, () => parsed().find(({ app, message }) => app === "rsyslogd" && / start$/.test(message)) ?? null),
    ended.then(() => assert.fail("rsyslogd ended")),
  ]);
  const port = Number(readFileSync(join(folder, "port"), "utf8"));
  const sent = () => parsed().filter(({ app }) => app !== "rsyslogd");
  return { port, ca: cert, lines: (count) => inFolder(folder, () => (sent().length >= count ? sent() : null)) };
}

/** Without one that is still being written. */
const wholeLines = (text: string): readonly string[] => text.split("\n").slice(0, -1);

interface Parsed {
  readonly pri: string;
  readonly host: string;
  readonly app: string;
  readonly msgid: string;
  readonly data: string;
  readonly message: string;
}

test("a real rsyslog receives every record over TLS, one message each, with structured data and the leaf whole", async (t) => {
  const rsyslog = await startRsyslog(t);
  const batch = encoded("leaf");
  const sink = openSink(t, place(rsyslog.port, rsyslog.ca));
  assert.deepEqual(await sink.send(batch), { kind: "taken", rejected: [] });
  await sink.close();
  const lines = await rsyslog.lines(batch.length);
  assert.equal(lines.length, batch.length);
  for (const [at, line] of lines.entries()) {
    const record = batch[at]?.record ?? assert.fail();
    assert.deepEqual([line.host, line.app, line.msgid], ["gw-1", "sallyport", record.leaf.t]);
    assert.ok(line.data.includes(`idx="${at}"`) && line.data.includes(`leaf="${record.leafHash}"`), line.data);
    assert.match(line.pri, /^1(?:0[0-9]|10)$/, "facility 13, log audit");
    assert.equal(leafHashOf(Buffer.from(line.message.trim())), record.leafHash);
  }
});

for (const [who, names, roots] of [
  ["that another key answers for", [{ type: "ip", value: "127.0.0.1" }], "other"],
  ["that no public root vouches for", [{ type: "ip", value: "127.0.0.1" }], "public"],
  ["with the certificate of another name", [{ type: "dns", value: "siem.evil.example" }], "own"],
] as const)
  test(`attack: a syslog receiver ${who} gets nothing`, async (t) => {
    let bytes = 0;
    const { cert, key } = testCertificate(names);
    const port = await listen(
      t,
      createServer({ cert, key }, (socket) =>
        socket.on("data", (chunk) => (bytes += chunk.length)).on("error", () => undefined),
      ),
    );
    const ca = { other: testCertificate(names).cert, public: null, own: cert }[roots];
    await assert.rejects(
      openSink(t, place(port, ca)).send(encoded("leaf")),
      (error) => error instanceof SinkFault && /tls-untrusted/.test(error.message),
    );
    assert.equal(bytes, 0);
  });

test("attack: a receiver without TLS, or with a TLS of before 1.2, gets nothing", async (t) => {
  const plain = createTcpServer((socket) =>
    socket.on("error", () => undefined).on("data", () => socket.write("hello\n")),
  );
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const old = createServer(
    { cert, key, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
    (socket) => socket.on("error", () => undefined),
  );
  for (const server of [plain, old])
    await assert.rejects(openSink(t, place(await listen(t, server), cert)).send(encoded("leaf")), SinkFault);
  const sink = openSink(t, { ...place(1, cert), origin: "http://127.0.0.1:1" });
  await assert.rejects(sink.send(encoded("leaf")), /only verified TLS connections are made/);
});

test("a receiver that ended the connection between two batches is dialled anew, and no batch fails of it", async (t) => {
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  let sockets = 0;
  const messages = new EventEmitter();
  const server = createServer({ cert, key }, (socket) => {
    sockets += 1;
    let text = "";
    socket
      .on("error", () => undefined)
      .on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
        for (const index of [0, 1]) if (text.includes(`idx="${index}"`)) messages.emit(String(index), socket);
      });
  });
  const sink = openSink(t, place(await listen(t, server), cert));
  const first = once(messages, "0");
  await sink.send(encoded("leaf").slice(0, 1));
  // The listener's own event: it carries the connection the message came on.
  const [socket] = (await first) as [TLSSocket];
  // Closed on this side when the other has ended too: the sink has seen it.
  const gone = once(socket, "close");
  socket.end();
  await gone;
  const second = once(messages, "1");
  assert.deepEqual(await sink.send(encoded("leaf").slice(1, 2)), { kind: "taken", rejected: [] });
  await second;
  assert.equal(sockets, 2);
});

test("a batch whose connection breaks is a fault and no yes, and the next one dials anew", async (t) => {
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const received = new EventEmitter();
  let isBroken = true;
  const server = createServer({ cert, key }, (socket) => {
    socket.on("error", () => undefined).on("data", () => received.emit("data"));
    if (isBroken) socket.destroy();
  });
  const sink = openSink(t, place(await listen(t, server), cert));
  const batch = encoded("leaf");
  // More than the buffers of the system take: it cannot all be gone before the break is seen.
  const large = Array.from({ length: 200 }, () => batch).flat();
  await assert.rejects(sink.send(large), SinkFault);
  isBroken = false;
  const data = once(received, "data");
  assert.deepEqual(await sink.send(batch.slice(0, 1)), { kind: "taken", rejected: [] });
  await data;
});
