import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { spkiHash } from "../x509/certificate.ts";
import { createLocalCa, issueLeaf } from "../x509/issue.ts";
import type { ChannelClient, StreamEnd, StreamOptions } from "./channel-client.ts";
import { createChannelClient } from "./channel-client.ts";
import { createDialer } from "./dialer.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const life = { notBeforeMs: Date.now(), notAfterMs: Date.now() + 86_400_000 };
const ca = createLocalCa({ tenant: "main", environment: "production", random, ...life });
function identity(usage: "client" | "server") {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = pair.publicKey.export({ format: "der", type: "spki" });
  const { pem } = issueLeaf({
    ca,
    publicKeySpki,
    names: { uri: `sallyport://main/production/eu/${usage}` },
    usage,
    random,
    ...life,
  });
  return {
    cert: pem,
    key: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    pin: spkiHash(publicKeySpki),
  };
}
const control = identity("server");
const node = identity("client");

type Handler = (response: ServerResponse, body: string) => void;
const routes: Record<string, Handler> = {};
const server = createServer(
  { cert: control.cert, key: control.key, ca: ca.certificatePem, requestCert: true, rejectUnauthorized: true },
  (request, response) => {
    assert.ok((request.socket as TLSSocket).authorized); // an https server hands out nothing else
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => routes[request.url ?? ""]?.(response, Buffer.concat(chunks).toString()));
  },
);
const clients: ChannelClient[] = [];
let origin = "";
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(async () => {
  await Promise.all(clients.map((client) => client.close()));
  server.closeAllConnections();
  server.close();
});

function newClient(pin = control.pin): ChannelClient {
  const client = createChannelClient({
    dialer: createDialer(),
    origin,
    rules: { allowPrivateHosts: new Set(["127.0.0.1"]), ownAddresses: new Set() },
    tls: { cert: node.cert, key: node.key, pins: [pin], pinOnly: true },
    connectTimeoutMs: 20_000,
  });
  clients.push(client);
  return client;
}

/** Opens a stream and gathers its lines; `end` resolves with how it ended. */
function open(client: ChannelClient, path: string, change: Partial<StreamOptions> = {}) {
  const lines: string[] = [];
  const events = new EventEmitter();
  let close = (): void => undefined;
  const end = new Promise<StreamEnd>((onEnd) => {
    const onLine = (line: string) => {
      lines.push(line);
      events.emit("line", line);
    };
    close = client.openStream(path, { onLine, onEnd, lineBytesMax: 64, idleTimeoutMs: 5000, ...change }).close;
  });
  return { lines, events, end, close: () => close() };
}

test("lines arrive whole and in order, however the bytes are cut, and the end is told once", async () => {
  routes["/down"] = (response) => {
    response.write('{"t":"hel');
    setImmediate(() => {
      response.write(Buffer.concat([Buffer.from('lo"}\n\n{"k":"'), Buffer.from("ü").subarray(0, 1)]));
      setImmediate(() =>
        response.end(Buffer.concat([Buffer.from("ü").subarray(1), Buffer.from('"}\n{"x":1}\nunfinished')])),
      );
    });
  };
  const stream = open(newClient(), "/down");
  assert.deepEqual(await stream.end, { kind: "ended" });
  assert.deepEqual(
    stream.lines,
    ['{"t":"hello"}', "", '{"k":"ü"}', '{"x":1}'],
    "a line without its newline never arrived",
  );
});

test("a line beyond its bound, bytes that are no UTF-8 and a handler that throws each end the stream as a fault", async () => {
  const client = newClient();
  routes["/long"] = (response) => response.write("x".repeat(65));
  const long = await open(client, "/long").end;
  assert.ok(long.kind === "fault" && long.fault.code === "answer-too-large");
  routes["/edge"] = (response) => response.end(`${"x".repeat(64)}\n`);
  assert.deepEqual(await open(client, "/edge").end, { kind: "ended" });
  routes["/latin"] = (response) => response.end(Buffer.from([0xff, 0x0a]));
  const latin = await open(client, "/latin").end;
  assert.ok(latin.kind === "fault" && latin.fault.code === "protocol");
  routes["/line"] = (response) => response.write("a\n");
  const thrown = await open(client, "/line", { onLine: () => assert.fail("handler") }).end;
  assert.ok(thrown.kind === "fault" && thrown.fault.code === "aborted");
});

test("silence longer than the idle bound ends the stream; each byte renews it", async () => {
  const silent = open(newClient(), "/silent", { idleTimeoutMs: 40 });
  routes["/silent"] = () => undefined;
  const end = await silent.end;
  assert.ok(end.kind === "fault" && end.fault.problem === "upstream-timeout");
  let beats = 0;
  routes["/beat"] = (response) => {
    const timer = setInterval(() => {
      beats += 1;
      if (beats < 12) return response.write("b\n");
      clearInterval(timer);
      return response.end();
    }, 200);
  };
  // All in all longer than the bound, each pause far shorter.
  assert.deepEqual(await open(newClient(), "/beat", { idleTimeoutMs: 2_000 }).end, { kind: "ended" });
});

test("a process that stood still for longer than the idle bound reads what came meanwhile, and calls its peer not silent", async () => {
  const idleTimeoutMs = 1_000;
  let response: ServerResponse | undefined;
  routes["/standstill"] = (begun) => {
    response = begun;
    begun.write("one\n");
  };
  const lines: string[] = [];
  const onLine = (line: string): void => {
    lines.push(line);
    if (line === "two") response?.end();
    if (line !== "one") return;
    response?.write("two\n");
    // Behind the turn in which it is sent, before the one in which it is read.
    setImmediate(() => {
      for (const from = performance.now(); performance.now() - from < 2 * idleTimeoutMs; );
    });
  };
  const stream = open(newClient(), "/standstill", { idleTimeoutMs, onLine });
  assert.deepEqual(await stream.end, { kind: "ended" });
  assert.deepEqual(lines, ["one", "two"]);
});

test("closing ends the stream as closed, and the other side sees the connection go", async () => {
  const gone = new EventEmitter();
  routes["/held"] = (response) => {
    response.write("one\n");
    response.on("close", () => gone.emit("gone"));
  };
  const stream = open(newClient(), "/held");
  const left = once(gone, "gone");
  await once(stream.events, "line");
  stream.close();
  assert.deepEqual(await stream.end, { kind: "closed" });
  await left;
});

test("an answer that is not 200 ends with its status and a bounded body; a redirect is such an answer", async () => {
  const client = newClient();
  routes["/refused"] = (response) => response.writeHead(403).end('{"code":"join-refused"}');
  assert.deepEqual(await open(client, "/refused").end, {
    kind: "status",
    status: 403,
    body: '{"code":"join-refused"}',
  });
  routes["/moved"] = (response) => response.writeHead(307, { location: "/refused" }).end();
  assert.deepEqual(await open(client, "/moved").end, { kind: "status", status: 307, body: "" });
  routes["/flood"] = (response) => response.writeHead(500).end("x".repeat(17_000));
  assert.equal((await open(client, "/flood").end).kind, "fault");
});

test("another key than the pinned one gets neither stream nor request", async () => {
  const client = newClient(node.pin);
  const end = await open(client, "/down").end;
  assert.ok(end.kind === "fault" && end.fault.code === "pin-mismatch");
  await assert.rejects(client.request("/up", { method: "POST", body: "{}", answerBytesMax: 10, timeoutMs: 20_000 }), {
    code: "pin-mismatch",
  });
});

test("requests are answered whole, inside their bounds of size and time", async () => {
  const client = newClient();
  routes["/up"] = (response, body) => response.writeHead(200, { "x-seen": "1" }).end(`got ${body}`);
  const answer = await client.request("/up", {
    method: "POST",
    body: "{}",
    headers: { "content-type": "application/json" },
    answerBytesMax: 6,
    timeoutMs: 20_000,
  });
  assert.deepEqual(
    [answer.status, answer.headers["x-seen"], new TextDecoder().decode(answer.body)],
    [200, "1", "got {}"],
  );
  await assert.rejects(client.request("/up", { method: "POST", body: "{}", answerBytesMax: 5, timeoutMs: 20_000 }), {
    code: "answer-too-large",
  });
  routes["/never"] = (response) => response.write("a");
  await assert.rejects(client.request("/never", { method: "GET", answerBytesMax: 5, timeoutMs: 50 }), {
    code: "answer-timeout",
  });
  for (const path of ["up", "//evil.example/", "/a b", "/\r\nx: y", "http://evil.example/"]) {
    await assert.rejects(client.request(path, { method: "GET", answerBytesMax: 5, timeoutMs: 50 }), TypeError, path);
  }
});
