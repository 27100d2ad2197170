// WebSockets through the gateway between a client and a provider of somebody else's make (ws), in clear and over TLS at both ends: what one library sends is
// what the other gets, whole and in order, and ends keep their codes.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer as createPlainServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { after, afterEach, before, describe, test } from "node:test";
import { type ClientOptions, WebSocket, WebSocketServer } from "ws";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import type { TestEstate } from "./testing/test-estate.ts";
import { pricesEstate } from "./testing/websocket-bench.ts";

const workloads = newTestCa("workloads");
const providers = newTestCa("providers");
const serverPair = issueTestLeaf(providers, { dns: ["localhost"] }, { usage: "server" });
const callerPair = issueTestLeaf(workloads, { uri: ordersUri });
const messageBytesMax = 20_000_000;

interface Provided {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
}

interface Ends {
  readonly bed: TestGateway;
  readonly server: Server;
  readonly sockets: WebSocketServer;
  /** Clients' sides of all that were asked for. */
  readonly opened: WebSocket[];
  /** Those that were opened, in order. */
  readonly provided: Provided[];
  /** What the provider does with the next ones, from their first moment on. */
  serve: (socket: WebSocket) => void;
  /** Status with which the provider refuses the next handshakes; null: it does not. */
  refuses: number | null;
  /** The client's side of a fresh one, when it is open. */
  open(options?: {
    readonly protocols?: readonly string[];
    readonly path?: string;
    readonly ws?: ClientOptions;
  }): Promise<WebSocket>;
  connect(options?: {
    readonly protocols?: readonly string[];
    readonly path?: string;
    readonly ws?: ClientOptions;
  }): Promise<WebSocket>;
  close(): Promise<void>;
}

/** The prices, with room for large messages. */
function estateOf(url: string, isTls: boolean): TestEstate {
  const estate = withCertificates(pricesEstate(url), workloads);
  return {
    ...estate,
    systems: estate.systems.map((system) =>
      system.id !== "prices"
        ? system
        : {
            ...system,
            changes: { upstream: { url, allowPrivate: true, ...(isTls ? { ca: providers.certificatePem } : {}) } },
            operations: (system.operations ?? []).map((one) =>
              one.changes?.webSocket === undefined || one.name !== "price.wide"
                ? one
                : { ...one, changes: { webSocket: { ...one.changes.webSocket, messageBytesMax } } },
            ),
          },
    ),
  };
}

async function openEnds(isTls: boolean): Promise<Ends> {
  const provided: Provided[] = [];
  const server = isTls ? createTlsServer({ cert: serverPair.cert, key: serverPair.key }) : createPlainServer();
  const sockets = new WebSocketServer({
    server,
    perMessageDeflate: true,
    maxPayload: messageBytesMax,
    handleProtocols: (offered) => [...offered].at(-1) ?? false,
    verifyClient: (_info, done) => (ends.refuses === null ? done(true) : done(false, ends.refuses, "not now")),
  });
  sockets.on("connection", (socket, request) => {
    socket.on("error", () => undefined);
    provided.push({ socket, request });
    ends.serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = server.address();
  if (at === null || typeof at === "string") throw new Error("no address");
  const url = isTls ? `https://localhost:${at.port}` : `http://127.0.0.1:${at.port}`;
  const bed = await startTestGateway({
    estate: estateOf(url, isTls),
    openLog: openTestLog,
    ...(isTls ? { listeners: [tlsListener(workloads)] } : {}),
  });
  const port = bed.addresses[0]?.port ?? 0;
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const opened: WebSocket[] = [];
  const headersOf = async (path: string): Promise<Record<string, string>> => {
    if (isTls) return {};
    const htu = `http://127.0.0.1:${port}${path}`;
    if (orders.nonce === undefined) await orders.learnNonce(htu);
    const token = orders.token("prices");
    return { authorization: `DPoP ${token}`, dpop: orders.proof("GET", htu, token) };
  };
  const ends: Ends = {
    ...{ bed, server, sockets, provided, opened, refuses: null },
    serve: () => undefined,
    async connect({ protocols = [], path = "/prices/v1/wide", ws = {} } = {}) {
      const tls = isTls
        ? { ca: workloads.certificatePem, cert: callerPair.cert, key: callerPair.key, servername: "localhost" }
        : {};
      const target = `${isTls ? "wss" : "ws"}://127.0.0.1:${port}${path}`;
      const client = new WebSocket(target, [...protocols], {
        ...tls,
        headers: await headersOf(path),
        maxPayload: messageBytesMax,
        ...ws,
      });
      client.on("error", () => undefined);
      opened.push(client);
      return client;
    },
    async open(options) {
      const client = await ends.connect(options);
      await new Promise<void>((resolve, reject) => client.once("open", resolve).once("error", reject));
      return client;
    },
    async close() {
      for (const one of [...opened, ...provided.map(({ socket }) => socket)]) one.terminate();
      await bed.close();
      sockets.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return ends;
}

const next = (socket: WebSocket): Promise<{ readonly data: Buffer; readonly isBinary: boolean }> =>
  new Promise((resolve) => {
    socket.once("message", (data, isBinary) => resolve({ data: Buffer.from(data as Buffer), isBinary }));
  });
const closeOf = (socket: WebSocket): Promise<readonly [number, string]> =>
  new Promise((resolve) => socket.once("close", (code, reason) => resolve([code, reason.toString()])));
const digest = (octets: Buffer): string => createHash("sha256").update(octets).digest("hex");
const echo = (socket: WebSocket): void => {
  socket.on("message", (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }));
};

for (const isTls of [false, true])
  describe(isTls ? "over TLS" : "in clear", () => {
    let ends: Ends;
    before(async () => {
      ends = await openEnds(isTls);
    });
    afterEach(() => {
      ends.serve = () => undefined;
      ends.refuses = null;
      for (const one of ends.opened.splice(0)) one.terminate();
    });
    after(() => ends?.close());
    const providerEnd = (): WebSocket => {
      const last = ends.provided.at(-1);
      assert.ok(last !== undefined);
      return last.socket;
    };

    test("texts, octets and empty messages of both ways arrive as what they are, in order", async () => {
      ends.serve = echo;
      const client = await ends.open();
      const sent: readonly (string | Buffer)[] = [
        "one",
        "",
        "Grüße, 世界 🌍",
        Buffer.from([0, 255, 1]),
        Buffer.alloc(0),
        "x".repeat(70_000),
      ];
      for (const one of sent) {
        const back = next(client);
        client.send(one);
        const { data, isBinary } = await back;
        assert.equal(isBinary, typeof one !== "string");
        assert.ok(data.equals(Buffer.from(one)));
      }
      const many = Array.from({ length: 500 }, (_, i) => `${i}`);
      const got: string[] = [];
      client.on("message", (data) => got.push(String(data)));
      for (const one of many) client.send(one);
      await until(() => got.length === many.length, "all of them");
      assert.deepEqual(got, many);
    });

    test("a message in many fragments is one message at the other end, both ways", async () => {
      const client = await ends.open();
      const other = providerEnd();
      for (const [from, to] of [
        [client, other],
        [other, client],
      ] as const) {
        const got = next(to);
        for (let i = 0; i < 20; i++) from.send(`piece ${i} ü;`, { fin: i === 19 });
        const { data, isBinary } = await got;
        assert.equal(isBinary, false);
        assert.equal(String(data), Array.from({ length: 20 }, (_, i) => `piece ${i} ü;`).join(""));
      }
    });

    test("a subprotocol is agreed on among those that are declared, and others are not offered on", async () => {
      const client = await ends.open({ path: "/prices/v1/watch", protocols: ["prices.v1", "prices.v2", "secret.v9"] });
      assert.equal(
        ends.provided.at(-1)?.request.headers["sec-websocket-protocol"]?.replaceAll(" ", ""),
        "prices.v1,prices.v2",
      );
      assert.equal(client.protocol, "prices.v2");
      assert.equal(providerEnd().protocol, "prices.v2");
    });

    test("permessage-deflate, which both would like, is offered to nobody and used by nobody", async () => {
      ends.serve = echo;
      const client = await ends.open({ ws: { perMessageDeflate: true } });
      assert.equal(client.extensions, "");
      assert.equal(ends.provided.at(-1)?.request.headers["sec-websocket-extensions"], undefined);
      const back = next(client);
      client.send("a".repeat(50_000));
      assert.equal((await back).data.length, 50_000);
    });

    test("pings get their pongs from the other end, with what they carry, both ways", async () => {
      const client = await ends.open();
      const other = providerEnd();
      for (const [from, to] of [
        [client, other],
        [other, client],
      ] as const) {
        const pinged = new Promise<Buffer>((resolve) => to.once("ping", resolve));
        const ponged = new Promise<Buffer>((resolve) => from.once("pong", resolve));
        from.ping("are you there?");
        assert.equal(String(await pinged), "are you there?");
        assert.equal(String(await ponged), "are you there?");
      }
    });

    const ways: readonly (readonly [string, number | undefined, string, readonly [number, string]])[] = [
      ["normal", 1000, "done", [1000, "done"]],
      ["going away", 1001, "", [1001, ""]],
      ["of an application, with umlauts", 4001, "über", [4001, "über"]],
      ["of a library", 3000, "x".repeat(123), [3000, "x".repeat(123)]],
      ["without a code", undefined, "", [1005, ""]],
    ];
    for (const [what, code, reason, expected] of ways)
      test(`a Close ${what} is the same at the other end, whoever says it`, async () => {
        for (const isClient of [true, false]) {
          const client = await ends.open();
          const other = providerEnd();
          const both = Promise.all([closeOf(client), closeOf(other)]);
          const from = isClient ? client : other;
          if (code === undefined) from.close();
          else from.close(code, reason);
          const [atClient, atProvider] = await both;
          assert.deepEqual(isClient ? atProvider : atClient, expected);
          assert.equal((isClient ? atClient : atProvider)[0], expected[0], "echoed");
        }
      });

    test("an end that goes away without a word is told of at the other", async () => {
      const client = await ends.open();
      const atProvider = closeOf(providerEnd());
      client.terminate();
      assert.equal((await atProvider)[0], 1001);
      const again = await ends.open();
      const atClient = closeOf(again);
      providerEnd().terminate();
      assert.deepEqual(await atClient, [1014, "upstream-protocol"]);
      await until(() => ends.bed.gateway.status().inFlight === 0, "nothing is held for them");
    });

    test("16 MB in one frame, and in fragments, arrive whole both ways", async () => {
      ends.serve = echo;
      const client = await ends.open();
      const octets = randomBytes(16_000_000);
      const whole = next(client);
      client.send(octets);
      assert.equal(digest((await whole).data), digest(octets));
      const pieces = next(client);
      for (let at = 0; at < octets.length; at += 1_000_000)
        client.send(octets.subarray(at, at + 1_000_000), { binary: true, fin: at + 1_000_000 >= octets.length });
      assert.equal(digest((await pieces).data), digest(octets));
    });

    test("a message over its bound ends it with 1009, and the provider gets no whole one", async () => {
      let isWhole = false;
      ends.serve = (socket) =>
        socket.on("message", () => {
          isWhole = true;
        });
      const client = await ends.open({ path: "/prices/v1/watch" });
      const closed = closeOf(client);
      client.send(Buffer.alloc(100_001));
      assert.deepEqual(await closed, [1009, "body-too-large"]);
      assert.equal(isWhole, false);
    });

    test("a client that reads slowly holds the provider up, and gets everything in the end", async () => {
      const count = 400;
      const size = 100_000;
      const client = await ends.open();
      const other = providerEnd();
      client.pause();
      for (let i = 0; i < count; i++) other.send(Buffer.alloc(size, i % 251));
      let before = -1;
      let looks = 0;
      await until(() => {
        looks = other.bufferedAmount === before ? looks + 1 : 0;
        before = other.bufferedAmount;
        return looks > 100;
      }, "it stands still");
      assert.ok(other.bufferedAmount > (count * size) / 2, `${other.bufferedAmount} octets wait at the provider`);
      const got: number[] = [];
      client.on("message", (data) => {
        const octets = data as Buffer;
        got.push(octets.length === size ? (octets[0] ?? -1) : -1);
      });
      client.resume();
      await until(() => got.length === count, "everything");
      assert.deepEqual(
        got,
        Array.from({ length: count }, (_, i) => i % 251),
      );
    });

    test("fifty at once, each with its own messages", async () => {
      ends.serve = echo;
      const clients = await Promise.all(Array.from({ length: 50 }, () => ends.open()));
      const answers = await Promise.all(
        clients.map((client, i) => {
          const back = next(client);
          client.send(`client ${i}`);
          return back;
        }),
      );
      assert.deepEqual(
        answers.map(({ data }) => String(data)),
        clients.map((_, i) => `client ${i}`),
      );
    });

    test("a handshake that the provider refuses is that answer at the client", async () => {
      ends.refuses = 503;
      const client = await ends.connect();
      const status = await new Promise<number | undefined>((resolve) =>
        client.once("unexpected-response", (_request, response) => resolve(response.statusCode)),
      );
      assert.equal(status, 503);
    });
  });
