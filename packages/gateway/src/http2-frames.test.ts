// Frames that no good caller sends, by hand over TLS: each has one end, said in the frame's own terms, and what had nothing to do with it is served.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { frameBudgets } from "@sallyport/kernel/http2/frame-budget.ts";
import { continuationsMax } from "@sallyport/kernel/http2/frame-guard.ts";
import { errorCode, frame, frameFlag, frameType, preface } from "@sallyport/kernel/http2/frames.ts";
import { streamsAtOnceMax } from "./listen/http2-bounds.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import {
  blockOf,
  dataFrame,
  type Fields,
  headersFrame,
  numberFrame,
  RawHttp2,
  type ReceivedStream,
  settingsFrame,
} from "./testing/raw-http2.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";

const workloads = newTestCa("workloads");
const ca = workloads.certificatePem;
const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
let upstream: CountingUpstream;
let bed: TestGateway;
let url: string;
/** One that waits for nobody long. */
let hasty: TestGateway;
let open: RawHttp2[] = [];

before(async () => {
  upstream = await startCountingUpstream();
  const options = {
    estate: withCertificates(marketplace(upstream.url), workloads),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  };
  bed = await startTestGateway(options);
  hasty = await startTestGateway({
    ...options,
    changes: { bounds: { requestTimeoutMs: 1_500, headersTimeoutMs: 1_500 } },
  });
  url = `https://localhost:${bed.addresses[0]?.port}`;
});
afterEach(async () => {
  for (const raw of open) raw.close();
  open = [];
  // What one test began reaches no provider while the next one counts.
  for (const one of [bed, hasty]) await until(() => one.gateway.status().inFlight === 0, "no crossing is under way");
  upstream.answer = null;
});
after(async () => {
  await bed?.close();
  await hasty?.close();
  await upstream?.close();
});

async function connect(begin?: Buffer, to: string = url): Promise<RawHttp2> {
  const raw = await RawHttp2.open(to, { ca, cert, key }, begin);
  open.push(raw);
  return raw;
}

const authority = [":authority", "localhost"] as const;
const head = (method: string, path: string): Fields => [
  [":method", method],
  [":scheme", "https"],
  [":path", path],
  authority,
];
const read: Fields = head("GET", "/billing/v1/invoices/1");
const effect: Fields = [...head("POST", "/billing/v1/invoices"), ["content-type", "application/json"]];
const content = '{"amount":5,"customer":"c"}';
const empty = Buffer.alloc(0);
const many = (count: number, one: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => one));

const statusOf = ({ blocks }: ReceivedStream): string => blocks[0]?.[":status"] ?? "none";

/** What the answer on stream 1 says, what is recorded of it, and that the provider was not asked. */
async function refused(...frames: readonly Buffer[]): Promise<string> {
  const raw = await connect();
  await raw.acknowledge();
  const reached = upstream.seen.length;
  raw.send(...frames);
  const answer = await raw.answer(1);
  assert.equal(upstream.seen.length, reached, "the provider was reached");
  const id = answer.blocks[0]?.["sallyport-crossing"] ?? "";
  const { code } = JSON.parse(answer.text) as { code?: string };
  // Of a stranger's refusals the first eight of a kind have a leaf each.
  const [leaf] = await bed.leaves(id);
  if (leaf?.t === "crossing") assert.equal(leaf.code, code);
  // The connection lives: what was wrong ended with its stream.
  raw.send(headersFrame(3, read));
  assert.equal(statusOf(await raw.answer(3)), "200");
  return `${statusOf(answer)} ${code}`;
}

/** The error code that the connection ends with, and that nothing more than `reached` came to the provider. */
async function ended(frames: readonly Buffer[], reachedMax = 0): Promise<number | null> {
  const raw = await connect();
  await raw.acknowledge();
  const reached = upstream.seen.length;
  raw.send(...frames);
  const code = await raw.ended();
  assert.ok(upstream.seen.length - reached <= reachedMax, `${upstream.seen.length - reached} reached the provider`);
  return code;
}

describe("the nearest good frames pass", () => {
  test("a read, an effect with padding, priority, continuation and trailers", async () => {
    const raw = await connect();
    await raw.acknowledge();
    raw.send(headersFrame(1, read));
    assert.equal(statusOf(await raw.answer(1)), "200");
    const block = blockOf(effect);
    const [first, second] = [block.subarray(0, 10), block.subarray(10)];
    raw.send(
      frame(
        { type: frameType.headers, flags: frameFlag.padded | frameFlag.priority, stream: 3 },
        Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 7]), first, Buffer.alloc(3)]),
      ),
      frame({ type: frameType.continuation, flags: frameFlag.endHeaders, stream: 3 }, second),
      frame(
        { type: frameType.data, flags: frameFlag.padded, stream: 3 },
        Buffer.concat([Buffer.from([2]), Buffer.from(content), Buffer.alloc(2)]),
      ),
      headersFrame(3, [["x-checksum", "1"]]),
      frame({ type: frameType.ping, flags: 0, stream: 0 }, Buffer.from("12345678")),
      frame({ type: 0xfa, flags: 0xff, stream: 0 }, Buffer.from("nobody knows this one")),
    );
    assert.equal(statusOf(await raw.answer(3)), "200");
    assert.equal(upstream.seen.at(-1)?.body, content);
    await raw.until(() => raw.frames.some(({ type, flags }) => type === frameType.ping && flags === frameFlag.ack));
  });

  test("each octet on its own: how frames were cut changes nothing", async () => {
    const raw = await connect(empty);
    const all = Buffer.concat([preface, settingsFrame(), headersFrame(1, effect, 0), dataFrame(1, content, 1)]);
    for (const octet of all) raw.send(Buffer.from([octet]));
    assert.equal(statusOf(await raw.answer(1)), "200");
  });
});

describe("a request that could be read in two ways is refused on its stream and recorded, and the connection goes on", () => {
  const without = (name: string): Fields => read.filter(([one]) => one !== name);
  const instead = (name: string, value: string): Fields => read.map((one) => (one[0] === name ? [name, value] : one));
  const cases: readonly (readonly [string, Fields, string])[] = [
    ["an absolute :path", instead(":path", "https://localhost/billing/v1/invoices/1"), "400 bad-request-line"],
    ["an empty :path", instead(":path", ""), "400 bad-request-line"],
    [":path *", [...head("OPTIONS", "*")], "400 bad-request-line"],
    ["a line end in :path", instead(":path", "/billing/v1/invoices/1 HTTP/1.1\r\nx: y"), "400 bad-request-line"],
    ["a space in :path", instead(":path", "/billing/v1/invoices/1 HTTP/1.1"), "400 bad-request-line"],
    ["a line end in :method", instead(":method", "GET / HTTP/1.1\r\nx: y"), "400 bad-request-line"],
    ["a line end in :authority", instead(":authority", "localhost\r\nx: y"), "400 bad-header"],
    ["user information in :authority", instead(":authority", "localhost@evil"), "400 bad-host"],
    [":authority beside another host", [...read, ["host", "other"]], "400 bad-host"],
    ["neither :authority nor host", without(":authority"), "400 bad-host"],
    ["two hosts", [...read, ["host", "localhost"], ["host", "localhost"]], "400 bad-host"],
    ["another :scheme", instead(":scheme", "http"), "400 bad-request-line"],
    ["no :scheme", without(":scheme"), "400 bad-request-line"],
    ["no :method", without(":method"), "400 bad-request-line"],
    ["no :path", without(":path"), "400 bad-request-line"],
    ["a doubled :path", [...read.slice(0, 3), [":path", "/other"], authority], "400 bad-request-line"],
    ["a pseudo-header behind a field", [read[0] ?? authority, ["x-a", "b"], ...read.slice(1)], "400 bad-header"],
    ["a pseudo-header nobody knows", [...read, [":status", "200"]], "400 bad-request-line"],
    ["CONNECT", [[":method", "CONNECT"], authority], "501 method-not-supported"],
    [
      "extended CONNECT (RFC 8441)",
      [[":method", "CONNECT"], [":protocol", "websocket"], ...read.slice(1)],
      "400 bad-request-line",
    ],
    ["a name in upper case", [...read, ["X-A", "b"]], "400 bad-header"],
    ["an empty name", [...read, ["", "b"]], "400 bad-header"],
    ["a colon in a name", [...read, ["x:a", "b"]], "400 bad-header"],
    ["a line end in a name", [...read, ["x\r\na", "b"]], "400 bad-header"],
    ["an underscore in a name", [...read, ["x_a", "b"]], "400 bad-header"],
    ["CR LF in a value: header injection", [...read, ["x-a", "b\r\nx-c: d"]], "400 bad-header"],
    ["LF in a value", [...read, ["x-a", "b\nc"]], "400 bad-header"],
    ["NUL in a value", [...read, ["x-a", "b\0c"]], "400 bad-header"],
    ["obs-text in a value", [...read, ["x-a", "b\xe9"]], "400 bad-header"],
    ["white space around a value", [...read, ["x-a", " b"]], "400 bad-header"],
    ["connection", [...read, ["connection", "close"]], "400 bad-header"],
    ["keep-alive", [...read, ["keep-alive", "timeout=5"]], "400 bad-header"],
    ["proxy-connection", [...read, ["proxy-connection", "close"]], "400 bad-header"],
    ["upgrade", [...read, ["upgrade", "h2c"]], "400 bad-header"],
    ["transfer-encoding: H2.TE", [...effect, ["transfer-encoding", "chunked"]], "400 bad-header"],
    ["te other than trailers", [...read, ["te", "gzip"]], "400 bad-header"],
    ["a length that is no number", [...read, ["content-length", "+0"]], "400 bad-framing"],
    ["two lengths", [...read, ["content-length", "0"], ["content-length", "0"]], "400 bad-framing"],
    ["a length without content: H2.CL", [...effect, ["content-length", "5"]], "400 bad-framing"],
    ["two authorizations", [...read, ["authorization", "a"], ["authorization", "b"]], "400 duplicate-header"],
  ];
  for (const [name, fields, expected] of cases)
    test(name, async () => assert.equal(await refused(headersFrame(1, fields)), expected));

  test("a :path without its slash (CVE-2026-33186)", async () => {
    assert.equal(await refused(headersFrame(1, instead(":path", "billing/v1/invoices/1"))), "400 bad-request-line");
  });

  test("content longer than its length: H2.CL", async () => {
    const fields: Fields = [...effect, ["content-length", "3"]];
    assert.equal(await refused(headersFrame(1, fields, 0), dataFrame(1, content, 1)), "400 bad-framing");
  });

  test("content shorter than its length: H2.CL", async () => {
    const fields: Fields = [...effect, ["content-length", "100"]];
    assert.equal(await refused(headersFrame(1, fields, 0), dataFrame(1, content, 1)), "400 bad-framing");
  });

  test("trailers with pseudo-headers", async () => {
    const frames = [headersFrame(1, effect, 0), dataFrame(1, content), headersFrame(1, [[":path", "/other"]])];
    assert.equal(await refused(...frames), "400 bad-header");
  });

  test("trailers that frame, in the same read as their request and in a later one", async () => {
    const frames = [headersFrame(1, effect, 0), dataFrame(1, content), headersFrame(1, [["content-length", "3"]])];
    assert.equal(await refused(...frames), "400 bad-header");
    const raw = await connect();
    await raw.acknowledge();
    raw.send(headersFrame(1, effect, 0));
    await until(() => bed.gateway.status().inFlight > 0, "the request has begun");
    raw.send(dataFrame(1, content), headersFrame(1, [["x-a", "b\r\n"]]));
    assert.equal(statusOf(await raw.answer(1)), "400");
  });

  test("header-list bomb: one entry of the table, named again and again", async () => {
    const bomb = Buffer.concat([
      blockOf(read),
      // Literal with indexing: x-bomb, 3,900 octets, and then 200 times the newest entry.
      Buffer.from([0x40, 6]),
      Buffer.from("x-bomb"),
      Buffer.from([127, ...[3_900 - 127].flatMap((left) => [(left % 128) + 128, Math.floor(left / 128)])]),
      Buffer.alloc(3_900, "a"),
      Buffer.alloc(200, 0x80 + 62),
    ]);
    const flags = frameFlag.endHeaders | frameFlag.endStream;
    assert.equal(await refused(frame({ type: frameType.headers, flags, stream: 1 }, bomb)), "431 header-too-large");
  });

  test("more fields than a request may have", async () => {
    const fields: Fields = [...read, ...Array.from({ length: 101 }, (_, i) => [`x-${i}`, "1"] as const)];
    assert.equal(await refused(headersFrame(1, fields)), "431 header-too-large");
  });
});

describe("what can only be meant to harm, or leaves nobody knowing what comes next, ends the connection", () => {
  const { protocol, enhanceYourCalm, frameSize, streamClosed, compression, flowControl } = errorCode;

  test("rapid reset (CVE-2023-44487)", async () => {
    const raw = await connect();
    await raw.acknowledge();
    const before = upstream.seen.length;
    const attempts = frameBudgets.reset.burst + 100;
    for (let i = 0; i < attempts; i++)
      raw.send(headersFrame(2 * i + 1, read), numberFrame(frameType.rstStream, 2 * i + 1, errorCode.cancel));
    assert.equal(await raw.ended(), enhanceYourCalm);
    assert.ok(upstream.seen.length - before <= frameBudgets.reset.burst);
    await until(() => bed.gateway.status().inFlight === 0, "every crossing that began has ended");
  });

  test("resets that the caller makes us send cost the same (CVE-2025-8671)", async () => {
    const raw = await connect();
    await raw.acknowledge();
    for (let i = 0; i < frameBudgets.reset.burst + 100; i++) {
      const id = 2 * i + 1;
      raw.send(
        headersFrame(id, effect, 0),
        numberFrame(frameType.windowUpdate, id, 0x7fff_ffff),
        numberFrame(frameType.windowUpdate, id, 0x7fff_ffff),
      );
    }
    // A window beyond its bound is a fault of the connection's flow control (RFC 9113 §6.9.1): it ends before the resets are too many.
    assert.equal(await raw.ended(), flowControl);
  });

  test("continuation flood (CVE-2024-27316)", async () => {
    const more = frame({ type: frameType.continuation, flags: 0, stream: 1 }, empty);
    const begun = frame({ type: frameType.headers, flags: frameFlag.endStream, stream: 1 }, blockOf(read));
    assert.equal(await ended([begun, many(continuationsMax + 1, more)]), enhanceYourCalm);
  });

  test("a header block larger than any header list may be", async () => {
    const piece = frame({ type: frameType.continuation, flags: 0, stream: 1 }, Buffer.alloc(9_000, 0x80 + 2));
    const begun = frame({ type: frameType.headers, flags: frameFlag.endStream, stream: 1 }, blockOf(read));
    assert.equal(await ended([begun, piece, piece]), enhanceYourCalm);
  });

  test("ping flood", async () => {
    const ping = frame({ type: frameType.ping, flags: 0, stream: 0 }, Buffer.alloc(8));
    assert.equal(await ended([many(frameBudgets.ping.burst + 50, ping)]), enhanceYourCalm);
  });

  test("settings flood", async () => {
    assert.equal(await ended([many(frameBudgets.settings.burst + 10, settingsFrame())]), enhanceYourCalm);
    const entries = Array.from({ length: 33 }, () => [4, 65_535] as const);
    assert.equal(await ended([settingsFrame(entries)]), enhanceYourCalm);
  });

  test("priority flood", async () => {
    const priority = frame({ type: frameType.priority, flags: 0, stream: 1 }, Buffer.alloc(5));
    assert.equal(await ended([many(frameBudgets.priority.burst + 50, priority)]), enhanceYourCalm);
  });

  test("window-update flood", async () => {
    const update = numberFrame(frameType.windowUpdate, 0, 1);
    assert.equal(await ended([many(frameBudgets["window-update"].burst + 250, update)]), enhanceYourCalm);
  });

  test("empty-data flood (CVE-2019-9518)", async () => {
    const flood = many(frameBudgets["empty-data"].burst + 50, dataFrame(1, ""));
    assert.equal(await ended([headersFrame(1, effect, 0), flood]), enhanceYourCalm);
  });

  test("unknown-frame flood", async () => {
    const unknown = frame({ type: 0xfa, flags: 0, stream: 0 }, empty);
    assert.equal(await ended([many(frameBudgets.unknown.burst + 50, unknown)]), enhanceYourCalm);
  });

  test("stream-id reuse, ids that go back, and even ones", async () => {
    assert.equal(await ended([headersFrame(5, read), headersFrame(5, read)], 1), streamClosed);
    assert.equal(await ended([headersFrame(5, read), headersFrame(3, read)], 1), streamClosed);
    assert.equal(await ended([headersFrame(2, read)]), protocol);
  });

  test("oversized frames", async () => {
    const flags = frameFlag.endHeaders | frameFlag.endStream;
    assert.equal(await ended([frame({ type: frameType.headers, flags, stream: 1 }, Buffer.alloc(16_385))]), frameSize);
    assert.equal(await ended([headersFrame(1, effect, 0), dataFrame(1, Buffer.alloc(16_385))]), frameSize);
    assert.equal(await ended([frame({ type: frameType.ping, flags: 0, stream: 0 }, Buffer.alloc(9))]), frameSize);
    assert.equal(await ended([frame({ type: frameType.settings, flags: 0, stream: 0 }, Buffer.alloc(5))]), frameSize);
  });

  test("data after end", async () => {
    assert.equal(await ended([headersFrame(1, read), dataFrame(1, "late")], 1), streamClosed);
    assert.equal(
      await ended([headersFrame(1, effect, 0), dataFrame(1, content, 1), dataFrame(1, "late", 1)], 1),
      streamClosed,
    );
  });

  test("data and resets of streams that nobody opened", async () => {
    assert.equal(await ended([dataFrame(1, "early")]), protocol);
    assert.equal(await ended([dataFrame(0, "nowhere")]), protocol);
    assert.equal(await ended([numberFrame(frameType.rstStream, 7, 8)]), protocol);
  });

  test("trailers that do not end their request", async () => {
    assert.equal(await ended([headersFrame(1, effect, 0), headersFrame(1, [["x-a", "b"]], 0)]), protocol);
  });

  test("a header block that is none, and one that asks for a larger table", async () => {
    const block = (octets: readonly number[]): Buffer =>
      frame({ type: frameType.headers, flags: 5, stream: 1 }, Buffer.from(octets));
    // Index 0; an index beyond the table; a string beyond the block; a Huffman code with too much padding; size 4,097.
    for (const octets of [[0x80], [0xff, 0x40], [0x00, 0x7f], [0x00, 0x82, 0xff, 0xff, 0x00], [0x3f, 0xe2, 0x1f]])
      assert.equal(await ended([block(octets)]), compression, octets.join(" "));
  });

  test("something else between the frames of a header block", async () => {
    const begun = frame({ type: frameType.headers, flags: frameFlag.endStream, stream: 1 }, blockOf(read));
    const done = (stream: number) =>
      frame({ type: frameType.continuation, flags: frameFlag.endHeaders, stream }, empty);
    assert.equal(await ended([begun, settingsFrame(), done(1)]), protocol);
    assert.equal(await ended([begun, done(3)]), protocol);
    assert.equal(await ended([begun, headersFrame(3, read)]), protocol);
    assert.equal(await ended([done(1)]), protocol);
  });

  test("padding longer than its frame, a push, an acknowledgement of nothing, a window that grows by nothing", async () => {
    const padded = frame({ type: frameType.data, flags: frameFlag.padded, stream: 1 }, Buffer.from([9, 1]));
    assert.equal(await ended([headersFrame(1, effect, 0), padded]), protocol);
    assert.equal(await ended([frame({ type: frameType.pushPromise, flags: 4, stream: 1 }, Buffer.alloc(4))]), protocol);
    const ack = frame({ type: frameType.settings, flags: frameFlag.ack, stream: 0 }, empty);
    assert.equal(await ended([ack]), protocol);
    assert.equal(await ended([numberFrame(frameType.windowUpdate, 0, 0)]), protocol);
  });

  test("more content than the window allows", async () => {
    upstream.answer = () => {
      // Never answers.
    };
    const piece = dataFrame(1, Buffer.alloc(16_000));
    const length: Fields = [...head("POST", "/billing/v1/nothing"), ["content-type", "application/json"]];
    assert.equal(await ended([headersFrame(1, length, 0), many(20, piece)]), flowControl);
  });

  test("a preface that is none, and settings that do not come first", async () => {
    const code = async (begin: Buffer): Promise<number | null> => (await connect(begin)).ended();
    assert.equal(await code(Buffer.from("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")), protocol);
    assert.equal(await code(Buffer.concat([preface, headersFrame(1, read)])), protocol);
  });
});

describe("waits have their bounds", () => {
  const connectHasty = (begin?: Buffer): Promise<RawHttp2> =>
    connect(begin, `https://localhost:${hasty.addresses[0]?.port}`);

  test("content that does not come is answered, and the connection goes on", async () => {
    const raw = await connectHasty();
    await raw.acknowledge();
    raw.send(headersFrame(1, effect, 0), dataFrame(1, "{"));
    const { blocks, text } = await raw.answer(1);
    assert.equal(blocks[0]?.[":status"], "408");
    assert.match(text, /"code":"request-timeout"/);
    raw.send(headersFrame(3, read));
    assert.equal(statusOf(await raw.answer(3)), "200");
  });

  test("zero window: an answer that nobody takes ends its stream, and is recorded", async () => {
    const raw = await connectHasty(Buffer.concat([preface, settingsFrame([[4, 0]])]));
    await raw.acknowledge();
    raw.send(headersFrame(1, read));
    const answer = await raw.answer(1);
    assert.deepEqual([statusOf(answer), answer.text, answer.reset], ["200", "", errorCode.cancel]);
    await until(() => hasty.gateway.status().inFlight === 0, "nothing is held for it");
  });

  test("a header block that does not end, and settings that are never acknowledged", async () => {
    const raw = await connectHasty();
    raw.send(frame({ type: frameType.headers, flags: 0, stream: 1 }, blockOf(read)));
    await raw.until(() => raw.closed);
    const silent = await connectHasty();
    await silent.until(() => silent.closed);
    const mute = await connectHasty(empty);
    await mute.until(() => mute.closed);
  });

  test("streams over a bound that the caller knows end its connection", async () => {
    upstream.answer = () => {
      // Never answers.
    };
    const raw = await connect();
    await raw.acknowledge();
    raw.send(...Array.from({ length: streamsAtOnceMax + 1 }, (_, i) => headersFrame(2 * i + 1, read)));
    assert.equal(await raw.ended(), errorCode.protocol);
    await until(() => bed.gateway.status().inFlight === 0, "nothing is held for it");
  });

  test("streams over the bound, before the caller can know it, are refused: nothing of them was begun", async () => {
    const raw = await connect();
    const before = upstream.seen.length;
    const answers: (() => void)[] = [];
    upstream.answer = (_request, response) => void answers.push(() => response.end("{}"));
    const ids = Array.from({ length: streamsAtOnceMax + 1 }, (_, i) => 2 * i + 1);
    raw.send(...ids.map((id) => headersFrame(id, read)));
    const last = ids.at(-1) ?? 0;
    assert.equal((await raw.answer(last)).reset, errorCode.refusedStream);
    await until(() => answers.length === streamsAtOnceMax, "the others are with the provider");
    for (const answer of answers) answer();
    assert.equal(upstream.seen.length - before, streamsAtOnceMax);
    for (const id of ids.slice(0, -1)) assert.equal(statusOf(await raw.answer(id)), "200");
  });
});
