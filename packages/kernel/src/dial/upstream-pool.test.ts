import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, test } from "node:test";
import { ask, get, openPool, post, type RawProvider, startRawProvider } from "./testing/ask-upstream.ts";
import type { UpstreamConnection } from "./upstream-connection.ts";
import { ageMsMax, idleMs, idleMsMax, keptFor, requestsMax, waitingMax } from "./upstream-pool.ts";
import type { UpstreamPool } from "./upstream-port.ts";

const ok = (content: string, fields = "") =>
  `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${content.length}\r\n\r\n${content}`;
const answering = () =>
  startRawProvider(({ socket }, { connection, request }) => void socket.write(ok(`${connection}.${request}`)));

async function using(
  provider: RawProvider,
  work: (pool: UpstreamPool) => Promise<void>,
  on: Parameters<typeof openPool>[1] = {},
): Promise<void> {
  const pool = openPool(provider.origin, on);
  try {
    await work(pool);
  } finally {
    await pool.destroy();
    await provider.close();
  }
}

const contentOf = async (pool: UpstreamPool, request = get) => (await ask(pool, request)).content;

describe("connections", () => {
  test("one is used again for the next request, and its counts say so", async () => {
    const provider = await answering();
    await using(provider, async (pool) => {
      assert.deepEqual([await contentOf(pool), await contentOf(pool), await contentOf(pool)], ["1.1", "1.2", "1.3"]);
      assert.deepEqual(pool.counts(), { open: 1, idle: 1, waiting: 0 });
    });
  });

  test("the one used last is used first, so that the others can end", async () => {
    const provider = await answering();
    await using(provider, async (pool) => {
      const both = await Promise.all([contentOf(pool), contentOf(pool)]);
      assert.deepEqual(both.toSorted(), ["1.1", "2.1"]);
      const next = await contentOf(pool);
      assert.equal((await contentOf(pool)).split(".")[0], next.split(".")[0]);
    });
  });

  test("no more are made than the bound says; the other requests wait in line and are answered in order", async () => {
    const held: (() => void)[] = [];
    const provider = await startRawProvider(({ socket }) => void held.push(() => socket.write(ok("x"))));
    await using(
      provider,
      async (pool) => {
        const order: number[] = [];
        const asked = Array.from({ length: 6 }, (_, i) => ask(pool).then(() => order.push(i)));
        while (order.length < 6) {
          for (const answer of held.splice(0)) answer();
          await new Promise((resolve) => setImmediate(resolve));
          assert.ok(provider.connections.length <= 2);
        }
        await Promise.all(asked);
        assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
        assert.equal(provider.connections.length, 2);
      },
      { connectionsMax: 2 },
    );
  });

  test("a line that is full turns the next request away, and only that one", async () => {
    const provider = await startRawProvider(() => undefined);
    await using(
      provider,
      async (pool) => {
        for (let i = 0; i < waitingMax; i++) void ask(pool);
        const refused = await ask(pool);
        assert.match(refused.fault ?? "", /^queue-full: 4096 requests/);
        assert.equal(pool.counts().waiting, waitingMax);
      },
      { connectionsMax: 1 },
    );
  });

  test("an idle one is let go before the provider lets it go: after 4 s, or a second before its Keep-Alive says", async () => {
    const clock = { nowMs: 1_000 };
    const says = ["", "Keep-Alive: timeout=10\r\n", "Keep-Alive: timeout=0\r\n", "Keep-Alive: timeout=900, max=5\r\n"];
    const provider = await startRawProvider(
      ({ socket }, { connection }) => void socket.write(ok(`${connection}`, says[connection - 1] ?? "")),
    );
    await using(
      provider,
      async (pool) => {
        const after = async (ms: number) => {
          clock.nowMs += ms;
          return contentOf(pool);
        };
        assert.deepEqual([await after(0), await after(3_999), await after(4_000)], ["1", "1", "2"]);
        assert.deepEqual([await after(8_999), await after(9_000)], ["2", "3"]);
        assert.deepEqual([await after(0), await after(59_999), await after(60_000)], ["4", "4", "5"]);
      },
      { clock },
    );
  });

  test("an idle one is closed although nobody asks, and its end is seen", async () => {
    const clock = { nowMs: 1_000 };
    const provider = await answering();
    await using(
      provider,
      async (pool) => {
        await ask(pool);
        clock.nowMs += 4_000;
        await provider.connections[0]?.closed;
        assert.deepEqual(pool.counts(), { open: 0, idle: 0, waiting: 0 });
      },
      { clock },
    );
  });

  test("age and number of requests end one, whatever the provider says of keeping it", () => {
    const connection = (change: Partial<UpstreamConnection>) =>
      ({ requests: 1, madeMs: 0, keepAliveS: null, ...change }) as UpstreamConnection; // three of its fields are read
    assert.equal(keptFor(connection({}), ageMsMax - 1), idleMs);
    assert.equal(keptFor(connection({}), ageMsMax), 0);
    assert.equal(keptFor(connection({ requests: requestsMax - 1, keepAliveS: 3_600 }), 0), idleMsMax);
    assert.equal(keptFor(connection({ requests: requestsMax, keepAliveS: 3_600 }), 0), 0);
    assert.deepEqual(
      [0, 1, 2, 5].map((keepAliveS) => keptFor(connection({ keepAliveS }), 0)),
      [0, 500, 1_000, 4_000],
    );
  });
});

describe("the end of a pool", () => {
  test("close waits for what runs and what waits, takes nothing new, and closes the connections", async () => {
    const held: (() => void)[] = [];
    const provider = await startRawProvider(({ socket }) => void held.push(() => socket.write(ok("x"))));
    await using(
      provider,
      async (pool) => {
        const first = ask(pool);
        const second = ask(pool);
        while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
        let isClosed = false;
        const closed = pool.close().then(() => {
          isClosed = true;
        });
        assert.match((await ask(pool)).fault ?? "", /^aborted: /);
        assert.equal(isClosed, false);
        held.shift()?.();
        assert.equal((await first).content, "x");
        while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
        held.shift()?.();
        assert.equal((await second).content, "x");
        await closed;
        await provider.connections[0]?.closed;
      },
      { connectionsMax: 1 },
    );
  });

  test("destroy ends what runs and what waits, at once", async () => {
    const provider = await startRawProvider(() => undefined);
    await using(
      provider,
      async (pool) => {
        const asked = [ask(pool), ask(pool)];
        while (provider.connections[0]?.requests.length !== 1) await new Promise((resolve) => setImmediate(resolve));
        await pool.destroy();
        for (const { fault } of await Promise.all(asked)) assert.match(fault ?? "", /^aborted: /);
        assert.deepEqual(pool.counts(), { open: 0, idle: 0, waiting: 0 });
      },
      { connectionsMax: 1 },
    );
  });

  test("a request given up while it waits is never sent; one given up while it runs ends its connection, and the next one is served", async () => {
    const provider = await startRawProvider(({ socket, requests }) => {
      if (!requests.at(-1)?.startsWith("GET /held")) socket.write(ok("x"));
    });
    await using(
      provider,
      async (pool) => {
        const told = () => assert.fail("told after it was given up");
        const handler = { onContentSent: told, onHead: told, onContent: told, onEnd: told, onFault: told };
        const running = pool.send({ ...get, path: "/held" }, handler);
        const waiting = pool.send({ ...get, path: "/waiting" }, handler);
        const last = ask(pool, { ...get, path: "/last" });
        while (provider.connections[0]?.requests.length !== 1) await new Promise((resolve) => setImmediate(resolve));
        waiting.abort();
        running.abort();
        running.abort();
        assert.equal((await last).content, "x");
        await provider.connections[0]?.closed;
        assert.deepEqual(
          provider.connections.map(({ requests }) => requests.map((head) => head.split(" ")[1])),
          [["/held"], ["/last"]],
        );
      },
      { connectionsMax: 1 },
    );
  });
});

describe("content of requests", () => {
  test("head and short content leave in one piece; long content follows its head", async () => {
    for (const length of [2, 100_000]) {
      const content = Buffer.alloc(length, "x");
      const provider = await startRawProvider(({ socket }) => void socket.write(ok("x")));
      await using(provider, async (pool) => {
        await ask(pool, post(content));
        const received = provider.connections[0]?.received ?? "";
        const [head, body] = received.split("\r\n\r\n");
        assert.equal(
          head,
          `POST / HTTP/1.1\r\nhost: ${provider.origin.slice(7)}\r\ncontent-type: application/json\r\ncontent-length: ${length}`,
        );
        assert.equal(body?.slice(0, 1), "x");
      });
    }
  });

  const streamed = async (length: number | null, write: (stream: PassThrough, reached: Promise<void>) => void) => {
    const reached = Promise.withResolvers<void>();
    const provider = await startRawProvider(
      () => undefined,
      (socket) =>
        void socket.on("data", () => {
          reached.resolve();
          if (/(?:hello world|\r\n0\r\n\r\n)$/.test(provider.connections[0]?.received ?? "")) socket.write(ok("x"));
        }),
    );
    const pool = openPool(provider.origin);
    const stream = new PassThrough();
    const answered = ask(pool, post({ stream, length }));
    write(stream, reached.promise);
    const asked = await answered;
    const { open } = pool.counts();
    await pool.destroy();
    await provider.close();
    assert.equal(open, asked.fault === null ? 1 : 0);
    assert.ok(stream.destroyed || stream.readableEnded);
    return { asked, received: provider.connections[0]?.received ?? "" };
  };

  test("a stream of known length is sent as it is, one of unknown length in chunks", async () => {
    const known = await streamed(11, (stream) => stream.end("hello world"));
    assert.deepEqual([known.asked.fault, known.received.split("\r\n\r\n")[1]], [null, "hello world"]);
    assert.match(known.received, /\r\ncontent-length: 11\r\n\r\n/);
    const unknown = await streamed(null, (stream) => stream.end("hello"));
    assert.match(unknown.received, /\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
    assert.equal(unknown.asked.fault, null);
  });

  test("request smuggling by a stream: more than it said is never sent, and less ends the connection", async () => {
    const more = await streamed(5, (stream) => {
      stream.write("hello");
      stream.write("GET /admin HTTP/1.1\r\n\r\n");
    });
    assert.match(more.asked.fault ?? "", /^aborted: the request has more content than it said/);
    assert.ok(!more.received.includes("/admin"));
    const less = await streamed(12, (stream) => stream.end("hello"));
    assert.match(less.asked.fault ?? "", /^aborted: the request has less content than it said/);
    const broken = await streamed(null, (stream, reached) => {
      stream.write("hel");
      void reached.then(() => stream.destroy(new Error("gone")));
    });
    assert.match(broken.asked.fault ?? "", /^aborted: the content of the request was given up/);
    assert.ok(!broken.received.endsWith("0\r\n\r\n"), "a body cut short never looks complete");
  });

  test("a stream that breaks while its request waits ends that request alone, and nothing of it is sent", async () => {
    const provider = await answering();
    await using(provider, async (pool) => {
      for (const error of [new Error("gone"), undefined]) {
        const stream = new PassThrough();
        const asked = ask(pool, post({ stream, length: null }));
        stream.destroy(error);
        assert.match((await asked).fault ?? "", /^aborted: the content of the request was given up/);
      }
      assert.match(await contentOf(pool), /^\d\.1$/);
      assert.ok(provider.connections.every(({ received }) => !received.includes("POST")));
    });
  });

  test("a provider that does not read is not filled: the stream waits", async () => {
    const provider = await startRawProvider(
      () => undefined,
      (socket) => void socket.pause(),
    );
    await using(provider, async (pool) => {
      const stream = new PassThrough();
      let sent = 0;
      const asked = ask(pool, post({ stream, length: null }), (step, _call, bytes) => {
        if (step === "onContentSent") sent += bytes;
      });
      const piece = Buffer.alloc(64 * 1024);
      const total = 64 * 1024 * 1024;
      let written = 0;
      // Until neither side takes more: what lies between them is the kernel's and one socket's buffers.
      for (let still = 0; still < 20; ) {
        const before = written;
        while (written < total && stream.write(piece)) written += piece.length;
        await new Promise((resolve) => setImmediate(resolve));
        still = written === before ? still + 1 : 0;
      }
      assert.ok(written < total / 2, `${written} bytes were taken, ${sent} sent`);
      await pool.destroy();
      assert.match((await asked).fault ?? "", /^aborted: /);
      assert.ok(stream.destroyed);
    });
  });

  test("a provider that refuses early is not sent the rest, and its connection is not used again", async () => {
    let finish = (): void => undefined;
    const provider = await startRawProvider(({ socket }, { connection }) => {
      if (connection > 1) socket.write(ok("x"));
      else socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n");
      finish = () => void socket.write("no");
    });
    await using(provider, async (pool) => {
      const stream = new PassThrough();
      stream.write("begun");
      const { status, content } = await ask(pool, post({ stream, length: null }), (step) => {
        if (step !== "onHead") return;
        // From now on nothing is taken, although the answer is not over.
        setImmediate(() => {
          assert.equal(stream.destroyed, true);
          finish();
        });
      });
      assert.deepEqual([status, content], [413, "no"]);
      assert.equal(await contentOf(pool), "x");
      assert.equal(provider.connections.length, 2);
    });
  });

  test("content already here when the answer comes early does not make the connection look free", async () => {
    const provider = await startRawProvider(({ socket }, { connection }) => void socket.write(ok(`${connection}`)));
    await using(provider, async (pool) => {
      const stream = new PassThrough();
      stream.write("begun");
      assert.equal((await ask(pool, post({ stream, length: 10 }))).content, "1");
      assert.equal(stream.destroyed, true);
      assert.equal(await contentOf(pool), "2");
    });
  });
});

test("a request that could be two throws, and nothing is sent", async () => {
  const provider = await answering();
  await using(provider, async (pool) => {
    const told = () => assert.fail("told of a request that was not sent");
    const handler = { onContentSent: told, onHead: told, onContent: told, onEnd: told, onFault: told };
    const bad = [
      { path: "/ HTTP/1.1\r\nx: y" },
      { headers: ["x", "a\r\nb: c"] },
      { method: "GET / HTTP/1.1\r\n\r\nGET" },
    ];
    for (const change of bad) assert.throws(() => pool.send({ ...get, ...change }, handler), TypeError);
    assert.equal(await contentOf(pool), "1.1");
    assert.equal(provider.connections[0]?.requests.length, 1);
  });
});
