import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { createDialer } from "./dialer.ts";
import { type OpenSocket, openSocket } from "./guarded-connector.ts";
import { ask, get, openPool, post, type RawProvider, startRawProvider } from "./testing/ask-upstream.ts";
import type { UpstreamPool } from "./upstream-port.ts";

const ok = (content: string, fields = "") =>
  `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${content.length}\r\n\r\n${content}`;
const poison = ok("poison");

async function using(
  provider: RawProvider,
  work: (pool: UpstreamPool) => Promise<void>,
  connectionsMax = 4,
): Promise<void> {
  // A clock that stands still: no connection ends here because it was idle for long.
  const pool = openPool(provider.origin, { connectionsMax, clock: { nowMs: 0 } });
  try {
    await work(pool);
  } finally {
    await pool.destroy();
    await provider.close();
  }
}

/** A turn of the event loop in which sockets are read. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a provider that says more than it was asked", () => {
  test("queue poisoning: an answer behind the answer is never given to the next request, and its connection ends", async () => {
    const provider = await startRawProvider(
      ({ socket }, { connection }) => void socket.write(connection === 1 ? ok("first") + poison : ok("second")),
    );
    await using(provider, async (pool) => {
      assert.equal((await ask(pool)).content, "first");
      assert.equal((await ask(pool)).content, "second");
      await provider.connections[0]?.closed;
      assert.equal(provider.connections[0]?.requests.length, 1);
    });
  });

  test("queue poisoning: an answer on an idle connection is never given to the next request, and that connection ends", async () => {
    const provider = await startRawProvider(({ socket }, { connection }) => void socket.write(ok(`${connection}`)));
    await using(provider, async (pool) => {
      assert.equal((await ask(pool)).content, "1");
      provider.connections[0]?.socket.write(poison);
      await provider.connections[0]?.closed;
      assert.deepEqual(pool.counts(), { open: 0, idle: 0, waiting: 0 });
      assert.equal((await ask(pool)).content, "2");
    });
  });

  test("one byte on an idle connection is enough to end it", async () => {
    const provider = await startRawProvider(({ socket }) => void socket.write(ok("x")));
    await using(provider, async (pool) => {
      await ask(pool);
      provider.connections[0]?.socket.write("\r");
      await provider.connections[0]?.closed;
      assert.equal(pool.counts().idle, 0);
    });
  });

  for (const where of ["handed over as it is read", "in the socket's own buffer"])
    test(`an answer before any request, ${where}, is no answer to the first one: nothing is sent on that connection`, async () => {
      const provider = await startRawProvider(
        () => undefined,
        (socket) => void socket.write(poison),
      );
      // A dial that ends when the poison is there: that is what a slow name, a handshake or a busy process comes to.
      const open: OpenSocket = async ({ received, ...request }) => {
        const come = Promise.withResolvers<void>();
        const handed = where.startsWith("handed");
        const handOver = (bytes: Buffer): void => {
          received?.(bytes);
          come.resolve();
        };
        const socket = await openSocket(handed ? { ...request, received: handOver } : request);
        if (!handed) socket.once("readable", () => come.resolve());
        await come.promise;
        return socket;
      };
      const pool = createDialer({ openSocket: open }).upstream(provider.origin, {
        rules: { allowPrivateHosts: new Set(["127.0.0.1"]), ownAddresses: new Set() },
        connectionsMax: 1,
        connectTimeoutMs: 20_000,
      });
      const { content, fault } = await ask(pool);
      assert.deepEqual([content, fault?.split(":")[0]], ["", "protocol"]);
      await provider.connections[0]?.closed;
      assert.equal(provider.connections[0]?.received, "");
      await pool.destroy();
      await provider.close();
    });

  test("content of an answer to HEAD is never the next answer", async () => {
    const provider = await startRawProvider(
      ({ socket, requests }, { connection }) =>
        void socket.write(requests.at(-1)?.startsWith("HEAD") ? poison + poison : ok(`${connection}`)),
    );
    await using(provider, async (pool) => {
      const head = await ask(pool, { ...get, method: "HEAD" });
      assert.deepEqual([head.status, head.content, head.fields], [200, "", ["Content-Length", "6"]]);
      assert.equal((await ask(pool)).content, "2");
    });
  });

  test("an answer is given to the request of its own connection, whatever order a provider answers in", async () => {
    const held: { readonly socket: Socket; readonly path: string }[] = [];
    const provider = await startRawProvider(
      ({ socket, requests }) => void held.push({ socket, path: requests.at(-1)?.split(" ")[1] ?? "" }),
    );
    await using(provider, async (pool) => {
      const asked = ["/a", "/b", "/c"].map((path) => ask(pool, { ...get, path }));
      while (held.length < 3) await turn();
      for (const { socket, path } of held.reverse()) socket.write(ok(path));
      assert.deepEqual(
        (await Promise.all(asked)).map(({ content }) => content),
        ["/a", "/b", "/c"],
      );
    });
  });
});

describe("a provider that goes away", () => {
  /** Answers the first request of its first connection and then does this to the second, with no byte of an answer. */
  const leaving = (leave: (socket: Socket) => void) =>
    startRawProvider(({ socket }, { connection, request }) => {
      if (connection === 1 && request === 2) leave(socket);
      else socket.write(ok(`${connection}.${request}`));
    });
  const ways: readonly [string, (socket: Socket) => void][] = [
    ["closes", (socket) => void socket.end()],
    ["resets", (socket) => void socket.resetAndDestroy()],
  ];
  for (const [name, leave] of ways) {
    test(`a read whose idle connection it ${name} is sent again once, on a new connection`, async () => {
      for (const method of ["GET", "HEAD", "OPTIONS"]) {
        const provider = await leaving(leave);
        await using(provider, async (pool) => {
          await ask(pool);
          const { status, fault } = await ask(pool, { ...get, method });
          assert.deepEqual([status, fault], [200, null], method);
          assert.deepEqual(
            provider.connections.map(({ requests }) => requests.length),
            [2, 1],
          );
        });
      }
    });

    test(`an effect whose idle connection it ${name} is never sent again: the provider counts it once`, async () => {
      for (const request of [
        post(),
        post(null),
        { ...get, method: "DELETE" },
        { ...get, method: "PUT" },
        { ...get, content: Buffer.from("q") },
      ]) {
        const provider = await leaving(leave);
        await using(provider, async (pool) => {
          await ask(pool);
          const { fault } = await ask(pool, request);
          assert.match(
            fault ?? "",
            /^connect-failed: the connection ended without a byte of an answer \(\w+\), on a connection that had been idle/,
          );
          assert.deepEqual(
            provider.connections.map(({ requests }) => requests.length),
            [2],
          );
        });
      }
    });
  }

  test("a read is not sent a third time", async () => {
    const provider = await startRawProvider(({ socket }, { connection, request }) => {
      if (connection === 1 && request === 1) socket.write(ok("x"));
      else socket.end();
    });
    await using(provider, async (pool) => {
      await ask(pool);
      assert.match((await ask(pool)).fault ?? "", /^connect-failed: /);
      assert.deepEqual(
        provider.connections.map(({ requests }) => requests.length),
        [2, 1],
      );
    });
  });

  test("a read that is given up before it could be sent again is not", async () => {
    const provider = await leaving((socket) => void socket.end());
    const second = Promise.withResolvers<void>();
    let dials = 0;
    const open: OpenSocket = async (request) => {
      if (++dials === 2) await second.promise;
      return openSocket(request);
    };
    const pool = createDialer({ openSocket: open }).upstream(provider.origin, {
      rules: { allowPrivateHosts: new Set(["127.0.0.1"]), ownAddresses: new Set() },
      connectionsMax: 1,
      connectTimeoutMs: 20_000,
    });
    await ask(pool);
    const told = () => assert.fail("told after it was given up");
    const handler = { onContentSent: told, onHead: told, onContent: told, onEnd: told, onFault: told };
    const call = pool.send({ ...get, path: "/given-up" }, handler);
    while (dials < 2) await turn();
    call.abort();
    second.resolve();
    assert.equal((await ask(pool)).content, "2.1");
    assert.ok(!provider.connections[1]?.received.includes("/given-up"));
    await pool.destroy();
    await provider.close();
  });

  test("a read whose connection was new is not sent again: nothing says that its end was a coincidence", async () => {
    const provider = await startRawProvider(({ socket }) => void socket.end());
    await using(provider, async (pool) => {
      assert.equal(
        (await ask(pool)).fault,
        "connect-failed: the connection ended without a byte of an answer (closed)",
      );
      assert.deepEqual(
        provider.connections.map(({ requests }) => requests.length),
        [1],
      );
    });
  });

  test("a read of whose answer one byte came is not sent again", async () => {
    const provider = await leaving((socket) => void socket.end("H"));
    await using(provider, async (pool) => {
      await ask(pool);
      assert.match((await ask(pool)).fault ?? "", /^protocol: the connection was closed in the middle of the head/);
      assert.equal(provider.connections.length, 1);
    });
  });

  test("a request that waits when its connection breaks goes to another one: it was never written", async () => {
    const provider = await startRawProvider(({ socket }, { connection }) => {
      if (connection === 1) socket.end();
      else socket.write(ok("served"));
    });
    await using(
      provider,
      async (pool) => {
        const [first, second] = await Promise.all([ask(pool, post()), ask(pool, post())]);
        assert.match(first.fault ?? "", /^connect-failed: /);
        assert.deepEqual([second.content, second.fault], ["served", null]);
        assert.deepEqual(
          provider.connections.map(({ requests }) => requests.length),
          [1, 1],
        );
      },
      1,
    );
  });

  const cut: readonly [string, string, (socket: Socket) => void, RegExp][] = [
    [
      "before its content is whole",
      "Content-Length: 10\r\n\r\nabc",
      (s) => void s.end(),
      /^protocol: the answer is cut short: 7 bytes/,
    ],
    [
      "before its last chunk",
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
      (s) => void s.end(),
      /^protocol: the answer is cut short: its last chunk/,
    ],
    [
      "by a reset while only the end of the connection ends it",
      "\r\nabc",
      (s) => void s.resetAndDestroy(),
      /^protocol: the connection broke in the middle of the answer/,
    ],
  ];
  for (const [name, rest, end, fault] of cut)
    test(`an answer cut ${name} never looks complete`, async () => {
      let leave = (): void => undefined;
      const provider = await startRawProvider(({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\n${rest}`);
        leave = () => end(socket);
      });
      await using(provider, async (pool) => {
        const { content, fault: told } = await ask(pool, get, (step) => {
          if (step === "onContent") leave();
        });
        assert.equal(content, "abc");
        assert.match(told ?? "", fault);
      });
    });
});

describe("a provider that keeps us busy", () => {
  test("an answer that comes byte by byte is the same answer", async () => {
    const provider = await startRawProvider(({ socket }) => {
      void (async () => {
        for (const byte of Buffer.from(`HTTP/1.1 103 x\r\n\r\n${ok("hello", "X-A: b\r\n")}`)) {
          socket.write(Buffer.from([byte]));
          await turn();
        }
      })();
    });
    await using(provider, async (pool) => {
      const { status, content, fields } = await ask(pool);
      assert.deepEqual([status, content, fields], [200, "hello", ["X-A", "b", "Content-Length", "5"]]);
      assert.equal(pool.counts().idle, 1);
    });
  });

  test("content comes no faster than it is wanted, and all of it", async () => {
    const length = 32 * 1024 * 1024;
    let provided: Socket | null = null;
    const provider = await startRawProvider(({ socket }) => {
      provided = socket;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      socket.write(Buffer.alloc(length, "x"));
    });
    await using(provider, async (pool) => {
      let bytes = 0;
      let paused = 0;
      const answer = ask(pool, get, (step, call, some) => {
        bytes += some;
        if (step !== "onContent" || bytes < 1_000_000 * (paused + 1)) return;
        const before = bytes;
        paused++;
        call.pause();
        void turn()
          .then(turn)
          .then(() => {
            assert.ok(bytes - before <= 64 * 1024, "what one read brought, and no more");
            call.resume();
          });
      });
      const { content } = await answer;
      assert.deepEqual([content.length, bytes, paused > 5], [length, length, true]);
      assert.ok(provided !== null);
    });
  });

  test("whoever gives up in the middle of an answer is told nothing more, and the connection ends", async () => {
    const steps: string[] = [];
    for (const at of ["onHead", "onContent"] as const) {
      const provider = await startRawProvider(
        ({ socket }, { connection }) => void socket.write(connection === 1 ? `${ok("x".repeat(10))}` : ok("2")),
      );
      await using(provider, async (pool) => {
        steps.length = 0;
        void ask(pool, get, (step, call) => {
          steps.push(step);
          if (step === at) call.abort();
        });
        while (provider.connections.length === 0) await turn();
        await provider.connections[0]?.closed;
        assert.equal(steps.at(-1), at);
        assert.equal((await ask(pool)).content, "2");
      });
    }
  });

  test("a handler that asks again from within the end of an answer gets the connection, and its own answer", async () => {
    const provider = await startRawProvider(({ socket }, { request }) => void socket.write(ok(`${request}`)));
    await using(provider, async (pool) => {
      const second = Promise.withResolvers<Awaited<ReturnType<typeof ask>>>();
      const first = ask(pool, get, (step) => {
        if (step === "onEnd") void ask(pool).then(second.resolve);
      });
      assert.deepEqual([(await first).content, (await second.promise).content], ["1", "2"]);
    });
  });
});
