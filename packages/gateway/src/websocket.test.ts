// WebSockets through a real gateway, octet by octet on both sides: what passes, who may, what of callers and providers is refused, and how each ends.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RunningTime } from "./testing/running-time.ts";
import { until } from "./testing/start-test-gateway.ts";
import {
  acceptFor,
  callerKey,
  closeFrame,
  idOf,
  makeFrame,
  type OpenOptions,
  openWebSocketBench,
  type RawEnd,
  switching,
  type WebSocketBench,
} from "./testing/websocket-bench.ts";

let bench: WebSocketBench;
before(async () => {
  bench = await openWebSocketBench();
});
after(() => bench.close());

const ours = { isMasked: false } as const;

interface Pair {
  readonly caller: RawEnd;
  readonly provider: RawEnd;
  readonly id: string;
}

async function opened(options: OpenOptions = {}): Promise<Pair> {
  const caller = await bench.open(options);
  const head = await caller.head();
  assert.match(head, /^HTTP\/1\.1 101 /, head);
  const provider = bench.providers.at(-1);
  assert.ok(provider !== undefined);
  return { caller, provider, id: idOf(head) };
}

async function ends(id: string): Promise<object> {
  const { outcome, status, ...leaf } = await bench.outcome(id);
  const { code, stage, messagesIn, messagesOut } = { code: null, stage: null, messagesIn: 0, messagesOut: 0, ...leaf };
  return { outcome, status, code, stage, messagesIn, messagesOut };
}

test("messages pass both ways, with a handshake of our own behind, and the record says how many", async () => {
  const { caller, provider, id } = await opened();
  const head = await caller.head();
  assert.match(head, new RegExp(`^sec-websocket-accept: ${acceptFor(callerKey).replace(/[+/]/g, "\\$&")}$`, "im"));
  const asked = await provider.head();
  assert.ok(!asked.includes(callerKey), "towards the provider the gateway is the client");
  assert.match(asked, /^upgrade: websocket\r$/im);
  assert.doesNotMatch(asked, /authorization|^dpop/im, "the caller's token stays here");
  assert.match(asked, /^sallyport-identity: /im);
  const leaves = await bench.bed.leaves(id);
  assert.deepEqual(
    leaves.map(({ t }) => t),
    ["intent"],
    "durable before the 101",
  );

  caller.send(makeFrame("héllo"), makeFrame(Buffer.alloc(70_000, 7), { opcode: 2 }));
  assert.equal((await provider.frameAt(0)).payload.toString(), "héllo");
  await until(() => provider.frames().at(-1)?.isFinal === true && provider.frames().length > 1, "the second message");
  const parts = provider.frames().slice(1);
  assert.equal(parts[0]?.opcode, 2);
  assert.ok(parts.slice(1).every(({ opcode }) => opcode === 0));
  assert.ok(Buffer.concat(parts.map(({ payload }) => payload)).equals(Buffer.alloc(70_000, 7)));
  provider.send(makeFrame("one", ours), makeFrame("p", { opcode: 9, ...ours }), makeFrame("", ours));
  const [one, ping, empty] = [await caller.frameAt(0), await caller.frameAt(1), await caller.frameAt(2)];
  assert.deepEqual([one.payload.toString(), ping.opcode, empty.payload.length], ["one", 9, 0]);

  caller.send(closeFrame(1000, "done"));
  assert.deepEqual(await provider.close(), [1000, "done"]);
  provider.send(closeFrame(1000, "done", false));
  assert.deepEqual(await caller.close(), [1000, "done"]);
  await until(() => caller.isClosed && provider.isClosed, "both connections");
  assert.deepEqual(await ends(id), {
    ...{ outcome: "success", status: 101, code: null, stage: null },
    ...{ messagesIn: 2, messagesOut: 2 },
  });
});

test("a client of another make opens one, speaks and closes it (Node's own WebSocket)", async () => {
  const path = "/prices/v1/watch";
  const fields = await bench.fields(bench.orders, path);
  const headers = Object.fromEntries(fields.map((line) => line.split(": ", 2) as [string, string]));
  // Not in the types: undici's own option for fields of the handshake.
  const options = { headers, protocols: ["prices.v2", "chat"] } as unknown as string[];
  bench.answer = (end, key) => end.send(switching(key, "Sec-WebSocket-Protocol: prices.v2"));
  const socket = new WebSocket(`${bench.url.replace("http:", "ws:")}${path}`, options);
  const heard: string[] = [];
  socket.addEventListener("message", ({ data }) => heard.push(String(data)));
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  bench.answer = (end, key) => end.send(switching(key));
  assert.deepEqual([socket.protocol, socket.extensions], ["prices.v2", ""]);
  const provider = bench.providers.at(-1);
  assert.match(
    (await provider?.head()) ?? "",
    /^sec-websocket-protocol: prices\.v2$/im,
    "what is not declared is not offered",
  );
  assert.doesNotMatch((await provider?.head()) ?? "", /extensions/i);
  socket.send("a price, please");
  assert.equal((await provider?.frameAt(0))?.payload.toString(), "a price, please");
  provider?.send(makeFrame("42", ours));
  await until(() => heard.length > 0, "a message");
  assert.deepEqual(heard, ["42"]);
  const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve));
  socket.close(1000, "bye");
  assert.deepEqual(await provider?.close(), [1000, "bye"]);
  provider?.send(closeFrame(1000, "bye", false));
  assert.deepEqual([(await closed).code, (await closed).wasClean], [1000, true]);
});

/** Refused before a provider hears of it; nothing that was sent behind is taken for a request. */
async function refused(options: OpenOptions, status: number, face: string, code = face): Promise<string> {
  const reached = bench.providers.length;
  const caller = await bench.open(options);
  await until(() => caller.isClosed, "the end of the connection");
  const text = caller.received.toString("latin1");
  assert.equal([...text.matchAll(/HTTP\/1\.1 \d/g)].length, 1, text);
  assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text);
  assert.ok(text.includes(`"code":"${face}"`), text);
  assert.equal(bench.providers.length, reached, "the provider's own count");
  const [leaf] = await bench.bed.leaves(idOf(text));
  assert.ok(leaf === undefined || (leaf.t === "crossing" && leaf.code === code), JSON.stringify(leaf));
  return text;
}

const behind = (text: string) => (head: string) => head + text;
const line = (text: string) => (head: string) => head.replace("\r\n\r\n", `\r\n${text}\r\n\r\n`);
const without = (name: string) => (head: string) => head.replace(new RegExp(`^${name}:.*\r\n`, "im"), "");
const swap = (from: RegExp, to: string) => (head: string) => head.replace(from, to);

const bent: [string, (head: string) => string][] = [
  ["a Content-Length beside it (nghttpx, CVE-2026-58055)", line("Content-Length: 0")],
  ["a body behind it", (head) => `${line("Content-Length: 5")(head)}GET /`],
  ["chunks behind it (Pingora, CVE-2026-2833)", (head) => `${line("Transfer-Encoding: chunked")(head)}0\r\n\r\n`],
  ["h2c", swap(/Upgrade: websocket/, "Upgrade: h2c")],
  ["h2c with its settings", line("HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")],
  ["two protocols in one field", swap(/Upgrade: websocket/, "Upgrade: websocket, h2c")],
  ["another method", swap(/^GET/, "POST")],
  ["no Connection: upgrade", without("Connection")],
  ["no Upgrade", without("Upgrade")],
  ["no key", without("Sec-WebSocket-Key")],
  ["two keys", line(`Sec-WebSocket-Key: ${callerKey}`)],
  ["a key of 15 octets", swap(/Sec-WebSocket-Key: \S+/, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j")],
  ["a key with another spelling", swap(/Sec-WebSocket-Key: \S+/, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==")],
  ["version 8", swap(/Version: 13/, "Version: 8")],
  ["two versions", line("Sec-WebSocket-Version: 13")],
  ["Expect", line("Expect: 100-continue")],
  ["a subprotocol that is no token", line("Sec-WebSocket-Protocol: a b")],
  ["a subprotocol twice", line("Sec-WebSocket-Protocol: a, a")],
];
for (const [what, bend] of bent) {
  test(`attack: a handshake with ${what} is refused, and its connection is closed`, async () => {
    const text = await refused({ bend }, 400, "upgrade-not-supported");
    assert.match(text, /connection: close/i);
  });
}

test("attack: octets behind a handshake that was not answered are neither frames nor a second request", async () => {
  const reached = bench.providers.length;
  const smuggled = `GET /prices/v1/price HTTP/1.1\r\nHost: x\r\n\r\n`;
  for (const octets of [makeFrame("early"), Buffer.from(smuggled)]) {
    const caller = await bench.open({ bend: behind(octets.toString("latin1")) });
    await until(() => caller.isClosed, "the end of the connection");
    const text = caller.received.toString("latin1");
    assert.match(text, /^HTTP\/1\.1 400 /);
    assert.match(text, /"code":"bad-framing"/);
    assert.equal([...text.matchAll(/HTTP\/1\.1 \d/g)].length, 1);
  }
  assert.ok(bench.providers.slice(reached).every(({ received }) => !received.includes("early")));
});

test("a handshake of an operation that is no WebSocket is refused, and a plain request of one that is", async () => {
  await refused({ path: "/prices/v1/price" }, 400, "upgrade-not-supported");
  const plain = await bench.orders.send(`${bench.url}/prices/v1/watch`);
  assert.deepEqual([plain.status, plain.code], [400, "upgrade-required"]);
  const [leaf] = await bench.bed.leaves(plain.id);
  assert.ok(leaf?.t === "crossing" && leaf.code === "upgrade-required");
});

test("cross-site WebSocket hijacking: a page of another origin opens none, one that is listed does, what is no browser too", async () => {
  for (const origin of ["https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example"])
    await refused({ bend: line(`Origin: ${origin}`) }, 403, "origin-not-allowed");
  const { caller } = await opened({ bend: line("Origin: https://shop.example") });
  caller.socket.destroy();
});

test("a caller without a token opens none", async () => {
  const bend = (head: string) => without("DPoP")(without("Authorization")(head));
  await refused({ bend }, 401, "unauthenticated", "credentials-missing");
});

const wrongAnswers: [string, (end: RawEnd, key: string) => void][] = [
  [
    "200 in place of 101 (Envoy, CVE-2024-23326)",
    (end) => end.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nok"),
  ],
  ["204", (end) => end.send("HTTP/1.1 204 No Content\r\n\r\n")],
  ["another Sec-WebSocket-Accept", (end) => end.send(switching(callerKey))],
  ["no Sec-WebSocket-Accept", (end, key) => end.send(switching(key).replace(/Sec-WebSocket-Accept.*\r\n/, ""))],
  ["Sec-WebSocket-Accept twice", (end, key) => end.send(switching(key, `Sec-WebSocket-Accept: ${acceptFor(key)}`))],
  ["no Upgrade", (end, key) => end.send(switching(key).replace("Upgrade: websocket\r\n", ""))],
  ["another protocol", (end, key) => end.send(switching(key).replace("Upgrade: websocket", "Upgrade: h2c"))],
  ["no Connection: upgrade", (end, key) => end.send(switching(key).replace("Connection: Upgrade\r\n", ""))],
  ["an extension", (end, key) => end.send(switching(key, "Sec-WebSocket-Extensions: permessage-deflate"))],
  ["a subprotocol nobody offered", (end, key) => end.send(switching(key, "Sec-WebSocket-Protocol: prices.v1"))],
  ["a length beside the 101", (end, key) => end.send(switching(key, "Content-Length: 5"))],
  ["an interim answer before it", (end, key) => end.send(`HTTP/1.1 103 Early Hints\r\n\r\n${switching(key)}`)],
  ["octets before the 101", (end, key) => end.send(makeFrame("x", ours), switching(key))],
];
for (const [what, answer] of wrongAnswers) {
  test(`attack: a provider that answers a handshake with ${what} gets no tunnel`, async () => {
    bench.answer = answer;
    const caller = await bench.open();
    bench.answer = (end, key) => end.send(switching(key));
    const head = await caller.head();
    assert.match(head, /^HTTP\/1\.1 502 /, head);
    await until(() => caller.isClosed && bench.providers.at(-1)?.isClosed === true, "both connections");
    const said = await ends(idOf(head));
    assert.deepEqual(said, {
      ...{ outcome: "system-error", status: 502, code: "upstream-protocol", stage: "forward" },
      ...{ messagesIn: 0, messagesOut: 0 },
    });
  });
}

test("a provider's no is passed on as the answer it is", async () => {
  bench.answer = (end) => end.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone");
  const caller = await bench.open();
  bench.answer = (end, key) => end.send(switching(key));
  await until(() => caller.isClosed, "the end");
  const text = caller.received.toString("latin1");
  assert.match(text, /^HTTP\/1\.1 404 /);
  assert.ok(text.endsWith("none"));
});

test("frames that come with the 101 are the first of the WebSocket", async () => {
  bench.answer = (end, key) => end.send(Buffer.concat([Buffer.from(switching(key)), makeFrame("first", ours)]));
  const { caller } = await opened();
  bench.answer = (end, key) => end.send(switching(key));
  assert.equal((await caller.frameAt(0)).payload.toString(), "first");
  caller.socket.destroy();
});

const badFrames: [string, () => readonly Buffer[], number, string][] = [
  ["without a mask", () => [makeFrame("x", ours)], 1002, "websocket-malformed"],
  ["with a reserved bit (a compressed one)", () => [makeFrame("x", { reserved: 4 })], 1002, "websocket-malformed"],
  ["of a reserved opcode", () => [makeFrame("x", { opcode: 3 })], 1002, "websocket-malformed"],
  ["of a length in too many octets", () => [makeFrame("x", { lengthBytes: 8 })], 1002, "websocket-malformed"],
  [
    "of a control frame of 126 octets",
    () => [makeFrame(Buffer.alloc(126), { opcode: 9 })],
    1002,
    "websocket-malformed",
  ],
  ["of a ping in fragments", () => [makeFrame("x", { opcode: 9, isFinal: false })], 1002, "websocket-malformed"],
  ["that continues nothing", () => [makeFrame("x", { opcode: 0 })], 1002, "websocket-malformed"],
  [
    "that begins within another message",
    () => [makeFrame("x", { isFinal: false }), makeFrame("y")],
    1002,
    "websocket-malformed",
  ],
  ["with text that is not UTF-8", () => [makeFrame(Buffer.from([0xc3, 0x28]))], 1007, "websocket-malformed"],
  ["with a code that may not be sent", () => [closeFrame(1005)], 1002, "websocket-malformed"],
  [
    "with a reason that is not UTF-8",
    () => [makeFrame(Buffer.from([3, 232, 0xff]), { opcode: 8 })],
    1007,
    "websocket-malformed",
  ],
  ["behind a Close", () => [closeFrame(1000), makeFrame("x")], 1002, "websocket-malformed"],
  ["of a message over its bound", () => [makeFrame(Buffer.alloc(100_001), { opcode: 2 })], 1009, "body-too-large"],
  [
    "of a message over its bound in fragments",
    () => [
      makeFrame(Buffer.alloc(60_000), { opcode: 2, isFinal: false }),
      makeFrame(Buffer.alloc(60_000), { opcode: 0 }),
    ],
    1009,
    "body-too-large",
  ],
  [
    "without end and without content",
    () => [
      makeFrame("", { isFinal: false }),
      ...Array.from({ length: 20 }, () => makeFrame("", { opcode: 0, isFinal: false })),
    ],
    1002,
    "websocket-malformed",
  ],
];
for (const [what, frames, code, reason] of badFrames) {
  test(`attack: a caller's frame ${what} closes the WebSocket with ${code}, told to both and on record`, async () => {
    const { caller, provider, id } = await opened();
    caller.send(...frames());
    const isBehindClose = what === "behind a Close";
    if (!isBehindClose) assert.deepEqual(await caller.close(), [code, reason]);
    assert.deepEqual(await provider.close(), isBehindClose ? [1000, ""] : [1001, ""]);
    await until(() => caller.isClosed && provider.isClosed, "both connections");
    const said = { ...(await ends(id)) };
    assert.deepEqual(
      { outcome: "denied", code: reason, stage: "inspect" },
      { outcome: Reflect.get(said, "outcome"), code: Reflect.get(said, "code"), stage: Reflect.get(said, "stage") },
    );
  });
}

test("attack: a provider's masked or compressed frame closes it with 1014 to the caller, and its own fault to the provider", async () => {
  for (const frame of [
    makeFrame("x"),
    makeFrame("x", { reserved: 4, ...ours }),
    makeFrame(Buffer.alloc(100_001), ours),
  ]) {
    const { caller, provider, id } = await opened();
    provider.send(frame);
    assert.deepEqual(await caller.close(), [1014, "upstream-protocol"]);
    assert.ok([1002, 1009].includes((await provider.close())[0]));
    const { outcome, code } = { code: null, ...(await bench.outcome(id)) };
    assert.deepEqual([outcome, code], ["system-error", "upstream-protocol"]);
  }
});

test("every bound of an operation holds: idle, and octets in all", async () => {
  const idle = await opened({ path: "/prices/v1/idle" });
  assert.deepEqual(await idle.caller.close(), [1001, "request-timeout"]);
  const little = await opened({ path: "/prices/v1/little" });
  for (let i = 0; i < 12; i++) little.provider.send(makeFrame("x".repeat(100), ours));
  assert.deepEqual(await little.caller.close(), [1009, "body-too-large"]);
});

test("a revocation closes it with 1008 and the code, in the middle of a message too; another one goes on", async () => {
  const other = await opened({ who: bench.portal });
  const { caller, provider, id } = await opened({ claims: { jti: "stolen-for-a-websocket" } });
  provider.send(makeFrame("the first half", { isFinal: false, ...ours }));
  await caller.frameAt(0);
  const running = new RunningTime();
  bench.bed.feed.revoke("jti", "stolen-for-a-websocket");
  assert.deepEqual(await caller.close(), [1008, "unauthenticated"]);
  const tookMs = running.end();
  assert.ok(tookMs < 1_000, `it took ${tookMs} ms`);
  assert.deepEqual(await provider.close(), [1001, ""]);
  await until(() => caller.isClosed && provider.isClosed, "both connections");
  const { outcome, code, stage } = { code: null, stage: null, ...(await bench.outcome(id)) };
  assert.deepEqual([outcome, code, stage], ["denied", "token-revoked", "identify"]);
  other.provider.send(makeFrame("still here", ours));
  assert.equal((await other.caller.frameAt(0)).payload.toString(), "still here");
  other.caller.socket.destroy();
});

test("a grant that is taken away closes it with 1008 not-granted", async () => {
  const { caller } = await opened();
  await bench.publish((estate) => ({
    ...estate,
    integrations: estate.integrations.filter(({ id }) => id !== "orders-to-prices"),
  }));
  assert.deepEqual(await caller.close(), [1008, "not-granted"]);
  await bench.publish();
  const again = await opened();
  again.caller.socket.destroy();
});

test("a provider that dies is 1014 to the caller; a caller that dies is 1001 to the provider, and aborted on record", async () => {
  const one = await opened();
  one.provider.socket.resetAndDestroy();
  assert.deepEqual(await one.caller.close(), [1014, "upstream-protocol"]);
  const two = await opened();
  two.caller.socket.resetAndDestroy();
  assert.deepEqual(await two.provider.close(), [1001, ""]);
  assert.equal((await bench.outcome(two.id)).outcome, "aborted");
});

test("whoever reads slowly slows the other side down: what is held between them is bounded", async () => {
  const { caller, provider } = await opened({ path: "/prices/v1/wide" });
  caller.socket.removeAllListeners("data");
  caller.socket.pause();
  const piece = makeFrame(Buffer.alloc(60_000), { opcode: 2, ...ours });
  const all = 2_000;
  let sent = 0;
  const pump = (): void => {
    while (sent < all && provider.socket.write(piece)) sent++;
  };
  provider.socket.on("drain", pump);
  pump();
  for (let before = -1; before !== sent; ) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  // What the sockets of this machine hold is theirs: some megabytes each, of 120 that would be sent.
  assert.ok(sent < all / 2, `${sent} pieces were taken though nobody read one`);
  const stoodAt = sent;
  let received = 0;
  caller.socket.on("data", (octets: Buffer) => {
    received += octets.length;
  });
  caller.socket.resume();
  await until(() => sent > stoodAt && received > stoodAt * 60_000, "it to go on");
  caller.socket.destroy();
});

test("a gateway that drains sends its WebSockets to another one: 1001 not-ready, once listening ends", async () => {
  const shared = bench;
  bench = await openWebSocketBench();
  try {
    const { caller, provider, id } = await opened();
    const drained = bench.bed.gateway.drain(0);
    assert.deepEqual(await caller.close(), [1001, "not-ready"]);
    assert.deepEqual(await provider.close(), [1001, ""]);
    const { outcome, code } = { code: null, ...(await bench.outcome(id)) };
    assert.deepEqual([outcome, code], ["system-error", "not-ready"]);
    await drained;
  } finally {
    await bench.close();
    bench = shared;
  }
});

test("nothing is left when they have ended: no crossing under way", async () => {
  await until(() => bench.bed.gateway.status().inFlight === 0, "the last one");
});
