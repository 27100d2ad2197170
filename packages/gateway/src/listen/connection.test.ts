// The server alone, over sockets: what a connection may do to us. What a request may do is tested with the parser and with the whole gateway.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { after, afterEach, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { beginExchange, type Exchange } from "../exchange.ts";
import type { ListenBounds } from "../ports.ts";
import { until } from "../testing/start-test-gateway.ts";
import { defaultListenBounds } from "./bounds.ts";
import type { ListenerHandler } from "./connection.ts";
import { contentWaitingBytesMax } from "./incoming.ts";
import { pipelinedBytesMax, unwantedBytesMax } from "./input-bounds.ts";
import { Listener } from "./listener.ts";
import { readInto } from "./shared-reads.ts";

type Serve = (exchange: Exchange) => void;

interface Bed {
  readonly listener: Listener;
  readonly port: number;
  readonly served: string[];
  readonly refused: string[];
  readonly turnedAway: string[];
  /** Began and not closed. */
  running(): number;
}

const beds: Listener[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
after(() => Promise.all(beds.map((listener) => listener.close())));

/** Answers with what was asked, once the content has come. */
const echo: Serve = (exchange) => {
  const pieces: Buffer[] = [];
  const { incoming, response } = exchange;
  incoming.take({
    data: (piece) => pieces.push(piece),
    end: () => {
      response.writeHead(200, ["content-type", "text/plain"]);
      response.end(`${incoming.method} ${incoming.url} ${Buffer.concat(pieces).toString("latin1")}`);
    },
    gone: () => {},
  });
};

/** A listener whose handler answers by `serve`, and refusals with their code. */
async function open(
  serve: Serve = echo,
  bounds: Partial<ListenBounds> = {},
  tls?: { readonly cert: string; readonly key: string },
): Promise<Bed> {
  const served: string[] = [];
  const refused: string[] = [];
  const turnedAway: string[] = [];
  let running = 0;
  const handler: ListenerHandler = {
    begin(incoming, response, on) {
      running++;
      return beginExchange({
        id: "",
        window: 0,
        startedAtMs: 0,
        startedMonotonicMs: 0,
        times: null,
        incoming,
        response,
        on,
      });
    },
    serve(exchange) {
      served.push(`${exchange.incoming.method} ${exchange.incoming.url}`);
      exchange.onFramingError = (verdict) => handler.refuse(exchange, verdict);
      serve(exchange);
    },
    refuse({ response }, verdict) {
      refused.push(verdict.code);
      response.writeHead(400, ["connection", "close"]);
      response.end(verdict.code);
    },
    closed: () => {
      running--;
    },
    connectionRefused: (reason) => void turnedAway.push(reason),
    unread: () => {},
  };
  const options = { name: "public", host: "127.0.0.1", port: 0, ...(tls === undefined ? {} : { tls }) };
  const listener = new Listener(options, { ...defaultListenBounds, ...bounds }, handler);
  beds.push(listener);
  const { port } = await listener.open();
  return { listener, port, served, refused, turnedAway, running: () => running };
}

interface Client {
  readonly socket: Socket;
  text(): string;
  /** What went wrong on its socket. */
  readonly errors: string[];
  readonly closed: Promise<void>;
  send(text: string): void;
  /** Waits until what came matches. */
  sees(pattern: RegExp): Promise<void>;
}

function dial({ port }: Bed, ca?: string): Client {
  const at = { port, host: "127.0.0.1", noDelay: true };
  const socket = ca === undefined ? connect(at) : connectTls({ ...at, ca, checkServerIdentity: () => undefined });
  sockets.push(socket);
  let text = "";
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const errors: string[] = [];
  socket.on("error", (error) => errors.push(error.message));
  socket.on("data", (octets) => {
    text += octets.toString("latin1");
  });
  return {
    socket,
    closed,
    text: () => text,
    errors,
    send: (sent) => void socket.write(sent, "latin1"),
    sees: (pattern) => until(() => pattern.test(text), `${pattern} in ${text.slice(-200)}`),
  };
}

const get = (path: string, lines = ""): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const post = (path: string, content: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${content.length}\r\n\r\n${content}`;
const bodies = (text: string): string[] => text.split(/HTTP\/1\.1 \d{3} [^\r]*\r\n(?:[^\r]+\r\n)*\r\n/).slice(1);

describe("one request after another", () => {
  test("pipelined requests are answered in order, and none is begun before the answer to the one before has left", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => void held.push(exchange));
    const client = dial(bed);
    client.send(get("/1") + post("/2", "two") + get("/3"));
    await until(() => held.length === 1, "the first");
    for (let i = 0; i < 3; i++) {
      await until(() => held.length === i + 1, `request ${i + 1}`);
      assert.equal(held.length, i + 1);
      held[i]?.response.writeHead(200, ["content-length", "1"]);
      held[i]?.response.end(String(i + 1));
    }
    await client.sees(/3$/);
    assert.deepEqual(bed.served, ["GET /1", "POST /2", "GET /3"]);
    assert.equal(bed.running(), 0);
  });

  test("a request in any number of pieces is one request", async () => {
    const bed = await open();
    const client = dial(bed);
    for (const octet of post("/slow", "content")) {
      client.send(octet);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.sees(/POST \/slow content$/);
    client.send(get("/next"));
    await client.sees(/GET \/next $/);
    assert.equal(bed.served.length, 2);
  });

  test("what an exchange does after its end touches no later one", async () => {
    const ended: Exchange[] = [];
    const bed = await open((exchange) => {
      ended.push(exchange);
      echo(exchange);
    });
    const client = dial(bed);
    client.send(get("/1"));
    await client.sees(/GET \/1 $/);
    client.send(get("/2"));
    await client.sees(/GET \/2 $/);
    ended[0]?.response.end("again");
    ended[0]?.response.write(Buffer.from("again"));
    ended[0]?.response.writeContinue();
    client.send(get("/3"));
    await client.sees(/GET \/3 $/);
    assert.deepEqual(bodies(client.text()), ["GET /1 ", "GET /2 ", "GET /3 "]);
  });

  test("desync: a request hidden in the content that nobody read is content, and is thrown away", async () => {
    const bed = await open(({ response }) => {
      response.writeHead(200, []);
      response.end("unread");
    });
    const client = dial(bed);
    client.send(post("/1", get("/hidden")) + get("/2"));
    await until(() => bed.served.length === 2, "two requests");
    assert.deepEqual(bed.served, ["POST /1", "GET /2"]);
  });

  test("desync: behind content that nobody wanted and that is too large the connection ends", async () => {
    const bed = await open(({ response }) => {
      response.writeHead(200, []);
      response.end("unread");
    });
    const client = dial(bed);
    client.send(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${unwantedBytesMax + 10}\r\n\r\n`);
    await client.sees(/unread/);
    client.send("x".repeat(unwantedBytesMax + 10) + get("/2"));
    await client.closed;
    assert.deepEqual(bed.served, ["POST /1"]);
  });

  test("an answer before the content has come: the rest is thrown away, and the next request is read behind it", async () => {
    const told: string[] = [];
    const bed = await open(({ response, incoming }) => {
      if (!incoming.complete)
        incoming.take({ data: () => told.push("data"), end: () => told.push("end"), gone: () => told.push("gone") });
      response.writeHead(200, []);
      response.end(`early ${incoming.complete}`);
    });
    const client = dial(bed);
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    await client.sees(/early false/);
    client.send(`lo\r\n0\r\n\r\n${get("/2")}`);
    await until(() => bed.served.length === 2, "the next");
    assert.deepEqual(bed.served, ["POST /1", "GET /2"]);
    assert.deepEqual(told, ["data", "gone"], "whoever still took it is told, and does not wait for ever");
  });

  test("content that stops being HTTP after its answer ends the connection without a second answer", async () => {
    const bed = await open(({ response }) => {
      response.writeHead(200, []);
      response.end("early");
    });
    const client = dial(bed);
    client.send("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    await client.sees(/early/);
    client.send(`lo\nGARBAGE${get("/2")}`);
    await client.closed;
    assert.deepEqual([bed.served, bed.refused, bodies(client.text()).length], [["POST /1"], [], 1]);
  });

  test("Connection: close, HTTP/1.0 and the last request of a connection end it with their answer; what is behind is not served", async () => {
    for (const [text, bounds] of [
      [get("/1", "Connection: close\r\n"), {}],
      ["GET /1 HTTP/1.0\r\n\r\n", {}],
      [get("/1"), { requestsPerSocketMax: 1 }],
    ] as const) {
      const bed = await open(echo, bounds);
      const client = dial(bed);
      client.send(text + get("/2"));
      await client.closed;
      assert.deepEqual(bed.served, ["GET /1"], text);
      assert.match(client.text(), /\r\nconnection: close\r\n/);
      assert.deepEqual(bed.turnedAway, "requestsPerSocketMax" in bounds ? ["requests-per-socket"] : []);
    }
  });
});

describe("callers share a buffer", () => {
  test("and nothing else: heads, contents and pipelined requests that wait for their rest are not overwritten by another caller's", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => void held.push(exchange));
    const clients = [dial(bed), dial(bed), dial(bed)];
    const texts = clients.map((_, i) => {
      const name = String(i).repeat(40);
      return `${post(`/${name}`, name.repeat(3))}GET /${name}/next HTTP/1.1\r\nHost: ${name}\r\n\r\n`;
    });
    // Each in turn a few octets, so that every state meets the octets of another.
    for (let at = 0; at < (texts[0]?.length ?? 0); at += 7)
      for (const [i, client] of clients.entries()) {
        client.send(texts[i]?.slice(at, at + 7) ?? "");
        await new Promise((resolve) => setImmediate(resolve));
      }
    await until(() => held.length === 3 && held.every(({ incoming }) => incoming.complete), "three requests");
    for (const exchange of held.slice()) echo(exchange);
    await until(() => held.length === 6, "three more");
    for (const exchange of held.slice(3)) echo(exchange);
    for (const [i, client] of clients.entries()) {
      const name = String(i).repeat(40);
      await client.sees(/next $/);
      assert.deepEqual(bodies(client.text()), [`POST /${name} ${name.repeat(3)}`, `GET /${name}/next `]);
    }
  });

  test("attack: content that somebody still holds is not overwritten by who gets the buffer next that its connection kept it in", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => void held.push(exchange));
    const pieces = new Map<Exchange, Buffer[]>();
    const contentOf = async (letter: string): Promise<Exchange> => {
      const from = held.length;
      const client = dial(bed);
      client.send(get("/before"));
      await until(() => held.length === from + 1, "the first");
      // Behind the request under way, so that the connection keeps it in a buffer of its own until its turn comes.
      client.send(post("/kept", letter.repeat(40_000)));
      await until(() => held[from]?.incoming.socket.isPaused() === true, "what was read of it");
      held[from]?.response.writeHead(200, []);
      held[from]?.response.end("first");
      await until(() => held.length === from + 2, "the second");
      const second = held[from + 1];
      assert.ok(second !== undefined);
      pieces.set(second, []);
      second.incoming.take({ data: (piece) => pieces.get(second)?.push(piece), end: () => {}, gone: () => {} });
      await until(() => second.incoming.complete, "its content");
      return second;
    };
    const first = await contentOf("a");
    await contentOf("b");
    assert.equal(Buffer.concat(pieces.get(first) ?? []).toString("latin1"), "a".repeat(40_000));
  });

  test("on the Node we ship", () => {
    const server = createServer((socket) => {
      assert.equal(
        readInto(socket, Buffer.alloc(8), () => {}),
        true,
      );
      socket.destroy();
    });
    return new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        const port = typeof address === "object" ? (address?.port ?? 0) : 0;
        connect(port, "127.0.0.1").once("close", () => server.close(() => resolve()));
      });
    });
  });
});

describe("what waits is bounded", () => {
  test("memory: of a body that nobody takes only a bounded part is read, and all of it arrives once somebody does", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => void held.push(exchange));
    const client = dial(bed);
    const size = 8 * 1024 * 1024;
    client.send(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
    client.send("x".repeat(size));
    await until(() => held[0]?.incoming.socket.isPaused() === true, "the pause");
    const read = held[0]?.incoming.socket.bytesRead ?? 0;
    assert.ok(read >= contentWaitingBytesMax && read < size / 2, `${read}`);
    assert.ok(client.socket.writableLength > 0, "the caller feels it");
    let taken = 0;
    held[0]?.incoming.take({
      data: (piece) => {
        taken += piece.length;
      },
      end: () => {
        held[0]?.response.writeHead(200, []);
        held[0]?.response.end(`taken ${taken}`);
      },
      gone: () => {},
    });
    await client.sees(new RegExp(`taken ${size}`));
  });

  test("attack: one octet of a content whose rest does not come keeps no more alive than itself", async () => {
    const pieces: Buffer[] = [];
    const taker = { data: (piece: Buffer) => pieces.push(piece), end: () => {}, gone: () => {} };
    const bed = await open(({ incoming }) => incoming.take(taker));
    for (const [lines, first, next] of [
      ["Content-Length: 9", "1", "2"],
      ["Transfer-Encoding: chunked", "1\r\n1\r\n", "1\r\n2\r\n"],
    ]) {
      const client = dial(bed);
      const from = pieces.length;
      client.send(`POST /1 HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${first}`);
      await until(() => pieces.length === from + 1, "the first");
      client.send(next ?? "");
      await until(() => pieces.length === from + 2, "the second");
    }
    assert.deepEqual(
      pieces.map(({ buffer }) => buffer.byteLength),
      [1, 1, 1, 1],
    );
  });

  test("memory: behind a request under way only a bounded number of octets is read, and they are served afterwards", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => {
      if (held.length === 0) held.push(exchange);
      else echo(exchange);
    });
    const client = dial(bed);
    const more = 2_000;
    client.send(get("/0"));
    await until(() => held.length === 1, "the first");
    for (let i = 1; i <= more; i++) client.send(get(`/${i}`, `X: ${"x".repeat(1_000)}\r\n`));
    await until(() => held[0]?.incoming.socket.isPaused() === true, "the pause");
    const read = held[0]?.incoming.socket.bytesRead ?? 0;
    assert.ok(read > pipelinedBytesMax && read < more * 500, `${read}`);
    held[0]?.response.writeHead(200, []);
    held[0]?.response.end("first");
    await client.sees(new RegExp(`GET /${more} `));
    assert.equal(bed.served.length, more + 1);
  });

  test("memory: a caller that asks and never reads is not served a second time, and loses its connection", async () => {
    const large = Buffer.alloc(16 * 1024 * 1024, "x");
    const bed = await open(
      ({ response }) => {
        response.writeHead(200, ["content-length", String(large.length)]);
        response.end(large);
      },
      { requestTimeoutMs: 300, headersTimeoutMs: 300 },
    );
    const client = dial(bed);
    client.socket.pause();
    client.send(get("/1").repeat(100));
    await until(() => bed.served.length === 1, "the first");
    await until(() => bed.running() === 0, "the end of its patience");
    assert.equal(bed.served.length, 1);
  });

  test("too many connections are closed and counted, and the next fits again", async () => {
    const bed = await open(echo, { connectionsMax: 1 });
    const first = dial(bed);
    first.send(get("/1"));
    await first.sees(/GET \/1 $/);
    const second = dial(bed);
    await second.closed;
    assert.deepEqual(bed.turnedAway, ["connections"]);
    first.socket.destroy();
    await first.closed;
    // The place is free once the server has seen the end of the first.
    while (bed.served.length === 1) {
      const next = dial(bed);
      next.send(get("/3"));
      await until(() => /GET \/3 $/.test(next.text()) || next.socket.closed, "an answer, or the end");
    }
    assert.equal(bed.served.at(-1), "GET /3");
  });
});

describe("what does not come in time", () => {
  const quick = { headersTimeoutMs: 1_000, requestTimeoutMs: 1_500, keepAliveTimeoutMs: 100 };

  test("slowloris: a head that comes octet by octet has one deadline, from its first octet", async () => {
    const bed = await open(echo, quick);
    const client = dial(bed);
    const drip = setInterval(() => client.send("a"), 20);
    client.send("GET / HTTP/1.1\r\nX: ");
    await client.closed;
    clearInterval(drip);
    assert.deepEqual(bed.refused, ["request-timeout"]);
    assert.equal(bodies(client.text()).length, 1);
  });

  test("slow post: content that comes octet by octet has one deadline, and the request has one answer", async () => {
    const bed = await open(echo, quick);
    const client = dial(bed);
    const drip = setInterval(() => client.send("a"), 20);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    await client.closed;
    clearInterval(drip);
    assert.deepEqual([bed.served, bed.refused], [["POST /"], ["request-timeout"]]);
    assert.equal(bodies(client.text()).length, 1);
  });

  test("connections on which nothing comes, or only an empty line, are closed without an answer", async () => {
    const bed = await open(echo, quick);
    for (const text of ["", "\r\n"]) {
      const client = dial(bed);
      if (text !== "") client.send(text);
      await client.closed;
      assert.equal(client.text(), "");
    }
    assert.deepEqual([bed.served, bed.refused], [[], []]);
  });

  test("an idle connection is told how long it may be idle, is closed a little later, and a request meanwhile is served", async () => {
    const bed = await open(echo, { ...quick, keepAliveTimeoutMs: 3_000 });
    const client = dial(bed);
    client.send(get("/1"));
    await client.sees(/\r\nconnection: keep-alive\r\nkeep-alive: timeout=3\r\n\r\nGET \/1 $/);
    client.send(get("/2"));
    await client.sees(/GET \/2 $/);
    await client.closed;
    assert.equal(bed.served.length, 2);
  });

  test("a partial request behind a good one has its own deadline and its own refusal", async () => {
    const bed = await open(echo, { ...quick, keepAliveTimeoutMs: 600_000 });
    const client = dial(bed);
    client.send(`${get("/1")}GET /2 HT`);
    await client.closed;
    assert.deepEqual([bed.served, bed.refused], [["GET /1"], ["request-timeout"]]);
  });
});

describe("callers that go away", () => {
  test("half-close and reset: a request under way ends once, and its content is lost, not ended", async () => {
    for (const leave of ["end", "resetAndDestroy"] as const) {
      const told: string[] = [];
      const bed = await open((exchange) => {
        exchange.incoming.take({
          data: () => told.push("data"),
          end: () => told.push("end"),
          gone: () => told.push("gone"),
        });
      });
      const client = dial(bed);
      client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
      await until(() => told.length === 1, "a piece");
      client.socket[leave]();
      await until(() => bed.running() === 0, "the end");
      assert.deepEqual(told, ["data", "gone"], leave);
    }
  });

  test("half-close behind a whole request ends it as well: who does not listen is gone", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => void held.push(exchange));
    const client = dial(bed);
    client.send(get("/1"));
    await until(() => held.length === 1, "the request");
    client.socket.end();
    await until(() => bed.running() === 0, "the end");
    assert.equal(held[0]?.response.destroyed, true);
    held[0]?.response.writeHead(200, []);
    held[0]?.response.end("too late");
    await client.closed;
    assert.equal(client.text(), "");
  });

  test("an answer is not reset by what its caller still sends behind the last request", async () => {
    const bed = await open(({ response }) => {
      response.writeHead(403, ["connection", "close"]);
      response.end("no");
    });
    const client = dial(bed);
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n${"x".repeat(500_000)}`);
    await client.closed;
    assert.deepEqual([bodies(client.text()), client.errors], [["no"], []]);
  });

  test("who never stops sending behind the last answer loses its connection all the same", async () => {
    const bed = await open(({ response }) => {
      response.writeHead(403, ["connection", "close"]);
      response.end("no");
    });
    const client = dial(bed);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    await client.sees(/no$/);
    client.send("x".repeat(50_000_000));
    await client.closed;
    assert.equal(bed.served.length, 1);
  });
});

describe("answers", () => {
  const answering = async (serve: Serve, text = get("/")) => {
    const bed = await open(serve);
    const client = dial(bed);
    client.send(text);
    await until(() => bed.served.length === 1 && bed.running() === 0, "the end of the exchange");
    client.send(get("/behind"));
    await until(() => bed.served.length === 2 || client.socket.closed, "another, or the end");
    return { text: client.text(), survives: bed.served.length === 2 };
  };

  test("content without a length is chunked, and ends with its last chunk", async () => {
    const { text, survives } = await answering(({ response, incoming }) => {
      if (incoming.url !== "/") return;
      response.writeHead(200, []);
      response.write(Buffer.from("hello"));
      response.write(Buffer.alloc(0));
      response.end("!");
    });
    assert.match(text, /\r\ntransfer-encoding: chunked\r\n.*\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n$/s);
    assert.ok(survives);
  });

  test("HEAD, 204 and 304 have no content, whatever is written", async () => {
    const cases = [
      [200, get("/").replace("GET", "HEAD")],
      [204, get("/")],
      [304, get("/")],
    ] as const;
    for (const [status, request] of cases) {
      const { text, survives } = await answering(({ response, incoming }) => {
        if (incoming.url !== "/") return;
        response.writeHead(status, status === 200 ? ["content-length", "5"] : []);
        response.end("hello");
      }, request);
      assert.ok(survives && text.endsWith("\r\n\r\n") && !text.includes("chunked"), `${status}`);
    }
  });

  test("more or less content than announced cuts the connection, and never looks like another answer", async () => {
    const much = await answering(({ response }) => {
      response.writeHead(200, ["content-length", "2"]);
      response.write(Buffer.from("ok"));
      response.write(Buffer.from("HTTP/1.1 200 OK\r\n\r\n"));
    });
    assert.ok(!much.survives && bodies(much.text).length <= 1 && !much.text.slice(20).includes("HTTP/1.1"));
    const little = await answering(({ response }) => {
      response.writeHead(200, ["content-length", "5"]);
      response.write(Buffer.from("ok"));
      response.end();
    });
    assert.ok(!little.survives);
  });

  test("response splitting: a line end or a character above 0xff in a field throws before anything is sent", async () => {
    const thrown: string[] = [];
    await answering(({ response, incoming }) => {
      if (incoming.url !== "/") return;
      for (const [name, value] of [
        ["x", "a\r\nset-cookie: a=b"],
        ["x", "a\nb"],
        ["x", "a\0"],
        ["x", "\u010a"],
        ["x\r\ny", "a"],
        ["x y", "a"],
        ["", "a"],
        ["transfer-encoding", "chunked"],
        ["content-length", "1e1000"],
        ["content-length", "-1"],
      ] as const)
        try {
          response.writeHead(200, [name, value]);
        } catch {
          thrown.push(name);
        }
      response.writeHead(200, []);
      response.end();
    });
    assert.equal(thrown.length, 10);
  });

  test("a stream waits for its caller: write says no at last, and drain is told once the caller reads", async () => {
    let drains = 0;
    const bed = await open(({ response }) => {
      response.writeHead(200, []);
      const piece = Buffer.alloc(64 * 1024, "x");
      let pieces = 0;
      const pour = (): void => {
        while (pieces < 400) {
          pieces++;
          if (response.write(piece)) continue;
          drains++;
          response.once("drain", pour);
          return;
        }
        response.end();
      };
      pour();
    });
    const client = dial(bed);
    client.send(get("/"));
    await client.sees(/\r\n0\r\n\r\n$/);
    assert.ok(drains > 0);
    assert.equal(client.text().match(/x/g)?.length, 400 * 64 * 1024);
  });

  test("100 Continue is sent when the content is wanted, and never behind the answer", async () => {
    const bed = await open((exchange) => {
      const wants = exchange.incoming.url === "/wanted";
      const { continueWanted } = exchange;
      if (wants) continueWanted?.();
      assert.equal(exchange.continueWanted, wants ? null : continueWanted);
      if (wants) echo(exchange);
      else {
        exchange.response.writeHead(403, ["connection", "close"]);
        exchange.response.end("no");
        continueWanted?.();
      }
    });
    const expecting = (path: string) => `POST ${path} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`;
    const client = dial(bed);
    client.send(expecting("/wanted"));
    await client.sees(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    client.send("hi");
    await client.sees(/POST \/wanted hi$/);
    client.send(expecting("/unwanted"));
    await client.closed;
    assert.equal(client.text().match(/100 Continue/g)?.length, 1);
  });
});

describe("over TLS", () => {
  test("the same: pieces, pipelining, an early answer, a large one, and a caller that goes away", async () => {
    const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
    const life = { notBeforeMs: Date.now(), notAfterMs: Date.now() + 86_400_000 };
    const ca = createLocalCa({ tenant: "main", environment: "production", random, ...life });
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
    const { pem } = issueLeaf({ ca, publicKeySpki, names: { dns: ["a.test"] }, usage: "server", random, ...life });
    const pair = { cert: pem, key: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
    const large = Buffer.alloc(4 * 1024 * 1024, "x");
    const serve: Serve = (exchange) => {
      const { incoming, response } = exchange;
      if (incoming.url === "/large") {
        response.writeHead(200, ["content-length", String(large.length)]);
        response.end(large);
      } else if (incoming.url === "/early") {
        response.writeHead(200, ["content-length", "5"]);
        response.end("early");
      } else if (incoming.url !== "/held") echo(exchange);
    };
    const bed = await open(serve, {}, pair);
    const client = dial(bed, ca.certificatePem);
    client.send(post("/1", "one") + get("/2"));
    await client.sees(/POST \/1 one.*GET \/2 $/s);
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhel");
    await client.sees(/early$/);
    client.send(`lo!${get("/large")}`);
    await client.sees(/x{1000}$/);
    await until(() => bed.running() === 0, "the large one has left");
    client.send(get("/held"));
    await until(() => bed.running() === 1, "one under way");
    client.socket.end();
    await until(() => bed.running() === 0, "its end");
    assert.deepEqual(bed.served, ["POST /1", "GET /2", "POST /early", "GET /large", "GET /held"]);
  });
});

describe("refusals", () => {
  test("of what is no request: one answer, and the end, whatever else was sent", async () => {
    const bed = await open();
    const client = dial(bed);
    client.send(`GET / HTTP/1.1\nHost: a\n\n${get("/2")}`);
    await client.closed;
    assert.deepEqual([bed.refused, bed.served, bodies(client.text())], [["bad-version"], [], ["bad-version"]]);
  });

  test("of broken content that came with its head: it is refused before anybody sees it", async () => {
    const bed = await open();
    const client = dial(bed);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
    await client.closed;
    assert.deepEqual([bed.refused, bed.served], [["bad-framing"], []]);
  });

  test("of garbage behind good requests: those are answered, the garbage is not", async () => {
    const bed = await open();
    const client = dial(bed);
    client.send(`${get("/1") + get("/2")}GARBAGE\0`);
    await client.closed;
    assert.deepEqual([bed.served, bed.refused], [["GET /1", "GET /2"], []]);
  });
});

describe("the end of a listener", () => {
  test("stop goes on serving the connections it has; close cuts them, and what was under way ends once", async () => {
    const held: Exchange[] = [];
    const bed = await open((exchange) => {
      if (exchange.incoming.url === "/held") held.push(exchange);
      else echo(exchange);
    });
    const [kept, silent, busy] = [dial(bed), dial(bed), dial(bed)];
    kept.send(get("/1"));
    await kept.sees(/GET \/1 $/);
    busy.send(get("/held"));
    await until(() => held.length === 1, "one under way");
    const stopped = bed.listener.stop();
    const isRefused = () =>
      new Promise<boolean>((resolve) => {
        const late = connect(bed.port, "127.0.0.1", () => late.destroy());
        late.once("error", () => resolve(true)).once("close", () => resolve(false));
      });
    while (!(await isRefused()));
    kept.send(get("/2"));
    await kept.sees(/GET \/2 $/);
    await Promise.all([bed.listener.close(), stopped]);
    await Promise.all([kept.closed, silent.closed, busy.closed]);
    await until(() => bed.running() === 0, "the end of what was under way");
    assert.equal(held[0]?.response.destroyed, true);
  });
});
