// Syslog over TLS into a real rsyslog, and against receivers that are not what they should be.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { debianProgram } from "../../../../../tools/debian-packages.ts";
import { testCertificate } from "../../identity/certificates.test-support.ts";
import { type EncodedRecord, encodeRecord } from "./encode.ts";
import { leafHashOf, noNames } from "./exported-record.ts";
import { SinkFault } from "./sink.ts";
import { syslogSink } from "./syslog-sink.ts";
import { everyRecord } from "./testing/every-leaf.ts";
import { temporaryFolder } from "./testing/fold-on-disk.ts";

const options = { enterprise: 32_473, facility: 13, bare: true };
const encoded = (format: "leaf" | "ocsf"): readonly EncodedRecord[] =>
  everyRecord().map((record) => encodeRecord(record, { format, version: "1.5.0", nameOf: noNames }));
const place = (port: number, ca: string | null) => ({
  origin: `https://127.0.0.1:${port}`,
  ...{ allowPrivate: true, ca, identity: null },
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** Asks until it is so, for at most 20 seconds. */
async function until<T>(ask: () => T | null | Promise<T | null>): Promise<T> {
  const endsAt = Date.now() + 20_000;
  for (;;) {
    const found = await ask();
    if (found !== null) return found;
    if (Date.now() > endsAt) throw new Error("it did not come to be within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const answers = (port: number): Promise<true | null> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket
      .once("error", () => resolve(null))
      .once("connect", () => {
        socket.destroy();
        resolve(true);
      });
  });

/** A real rsyslog that writes one JSON object for each message it parsed. */
async function startRsyslog(folder: string): Promise<{
  readonly port: number;
  readonly ca: string;
  readonly lines: () => readonly Parsed[];
  stop(): Promise<void>;
}> {
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const port = await freePort();
  const out = join(folder, "out.json");
  writeFileSync(join(folder, "cert.pem"), cert);
  writeFileSync(join(folder, "key.pem"), key, { mode: 0o600 });
  writeFileSync(out, "");
  writeFileSync(
    join(folder, "rsyslog.conf"),
    `global(workDirectory="${folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="${folder}/cert.pem" defaultNetstreamDriverCertFile="${folder}/cert.pem" defaultNetstreamDriverKeyFile="${folder}/key.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="${port}" address="127.0.0.1")
template(name="parsed" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf") property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf") property(outname="msgid" name="msgid" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf") property(outname="message" name="msg" format="jsonf")
}
action(type="omfile" file="${out}" template="parsed")
`,
  );
  const child: ChildProcess = spawn(
    debianProgram("rsyslogd"),
    ["-n", "-f", join(folder, "rsyslog.conf"), "-i", join(folder, "pid")],
    { stdio: "ignore" },
  );
  await until(() => answers(port));
  return {
    port,
    ca: cert,
    lines: () =>
      readFileSync(out, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Parsed),
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
    },
  };
}

interface Parsed {
  readonly pri: string;
  readonly host: string;
  readonly app: string;
  readonly msgid: string;
  readonly data: string;
  readonly message: string;
}

test("a real rsyslog receives every record over TLS, one message each, with structured data and the leaf whole", async (t) => {
  const folder = temporaryFolder();
  const rsyslog = await startRsyslog(folder.path);
  t.after(async () => {
    await rsyslog.stop();
    folder.remove();
  });
  const batch = encoded("leaf");
  const sink = syslogSink(options, place(rsyslog.port, rsyslog.ca));
  assert.deepEqual(await sink.send(batch), { kind: "taken", rejected: [] });
  await sink.close();
  const lines = await until(() => (rsyslog.lines().length >= batch.length ? rsyslog.lines() : null));
  assert.equal(lines.length, batch.length);
  for (const [at, line] of lines.entries()) {
    const record = batch[at]?.record ?? assert.fail();
    assert.deepEqual([line.host, line.app, line.msgid], ["gw-1", "sallyport", record.leaf.t]);
    assert.ok(line.data.includes(`idx="${at}"`) && line.data.includes(`leaf="${record.leafHash}"`), line.data);
    assert.match(line.pri, /^1(?:0[0-9]|10)$/, "facility 13, log audit");
    assert.equal(leafHashOf(Buffer.from(line.message.trim())), record.leafHash);
  }
});

test("attack: a syslog receiver that another key answers for gets nothing", async (t) => {
  let bytes = 0;
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const server = createServer({ cert, key }, (socket) =>
    socket.on("data", (chunk) => (bytes += chunk.length)).on("error", () => undefined),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  for (const ca of [testCertificate([{ type: "ip", value: "127.0.0.1" }]).cert, null]) {
    const sink = syslogSink(options, place(port, ca));
    await assert.rejects(
      sink.send(encoded("leaf")),
      (error) => error instanceof SinkFault && /tls-untrusted/.test(error.message),
    );
    await sink.close();
  }
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
  for (const server of [plain, old]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo; // a TCP listener always has one
    const sink = syslogSink(options, place(port, cert));
    await assert.rejects(sink.send(encoded("leaf")), SinkFault);
    await sink.close();
  }
  const sink = syslogSink(options, { ...place(1, cert), origin: "http://127.0.0.1:1" });
  await assert.rejects(sink.send(encoded("leaf")), /only verified TLS connections are made/);
});

test("a receiver that went away is dialled anew, and the batch comes again", async (t) => {
  const { cert, key } = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const sockets: TLSSocket[] = [];
  let text = "";
  const server = createServer({ cert, key }, (socket) => {
    sockets.push(socket);
    socket
      .on("error", () => undefined)
      .on("data", (chunk: Buffer) => {
        text += chunk.toString("latin1");
      });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo; // a TCP listener always has one
  const sink = syslogSink(options, place(port, cert));
  await sink.send(encoded("leaf").slice(0, 1));
  const [first] = await until(() => (sockets[0] === undefined ? null : sockets));
  const gone = new Promise((resolve) => first?.once("close", resolve));
  first?.destroy();
  await gone;
  await until(async () => {
    const again = await sink.send(encoded("leaf").slice(1, 2)).catch(() => null);
    return again === null || sockets.length < 2 ? null : true;
  });
  await until(() => (text.includes('idx="1"') ? true : null));
  await sink.close();
});
