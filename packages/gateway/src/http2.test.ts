// HTTP/2 at the listeners: the same crossings, the same refusals, and the same provider behind it.
import assert from "node:assert/strict";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { createServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";

const workloads = newTestCa("workloads");
const ca = workloads.certificatePem;
let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let origin: string;
/** What DPoP proofs must name. */
const named = "https://localhost";

before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: withCertificates(marketplace(upstream.url), workloads),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
  origin = `https://localhost:${bed.addresses[0]?.port}`;
  orders = new TestCaller(bed.feed, "orders");
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly id: string;
}

function ask(
  session: ClientHttp2Session,
  fields: Readonly<Record<string, string>>,
  body?: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":scheme": "https", ...fields }, { endStream: body === undefined });
    let headers: IncomingHttpHeaders & { ":status"?: number | undefined } = {};
    const pieces: Buffer[] = [];
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("error", reject);
    stream.on("end", () =>
      resolve({
        status: headers[":status"] ?? 0,
        headers,
        text: Buffer.concat(pieces).toString("utf8"),
        id: String(headers["sallyport-crossing"]),
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}

async function withSession<T>(act: (session: ClientHttp2Session) => Promise<T>, tls: object = {}): Promise<T> {
  const session = connect(origin, { ca, ...tls });
  session.on("error", () => {});
  try {
    return await act(session);
  } finally {
    session.destroy();
  }
}

function signed(method: string, path: string): Record<string, string> {
  const token = orders.token("billing");
  return {
    ":method": method,
    ":path": path,
    authorization: `DPoP ${token}`,
    dpop: orders.proof(method, `${named}${path}`, token),
  };
}

async function learnNonce(session: ClientHttp2Session): Promise<void> {
  const answer = await ask(session, { ":method": "GET", ":path": "/billing/v1/invoices/1" });
  assert.equal(answer.status, 401);
  orders.nonce = String(answer.headers["dpop-nonce"]);
}

describe("HTTP/2", () => {
  test("a read and an effect pass with token and proof, many at once, and each is recorded", () =>
    withSession(async (session) => {
      await learnNonce(session);
      const reads = await Promise.all(
        Array.from({ length: 20 }, (_, i) => ask(session, signed("GET", `/billing/v1/invoices/${i}`))),
      );
      for (const answer of reads) assert.equal(answer.status, 200, answer.text);
      const fields = { ...signed("POST", "/billing/v1/invoices"), "content-type": "application/json" };
      const created = await ask(session, fields, '{"amount":5,"customer":"c"}');
      assert.equal(created.status, 200, created.text);
      assert.deepEqual(
        (await bed.leaves(created.id)).map(({ t }) => t),
        ["intent", "outcome"],
      );
      assert.equal(upstream.seen.at(-1)?.headers.host, new URL(upstream.url).host);
    }));

  test("a proof is seen once, whichever version of HTTP brings it", () =>
    withSession(async (session) => {
      await learnNonce(session);
      const fields = signed("GET", "/billing/v1/invoices/1");
      assert.equal((await ask(session, fields)).status, 200);
      const replayed = await ask(session, fields);
      assert.equal(replayed.status, 401);
      const [leaf] = await bed.leaves(replayed.id);
      assert.equal(leaf?.t === "crossing" && leaf.code, "dpop-replayed");
    }));

  test("a client certificate of the connection is identity enough for each of its streams", async () => {
    const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
    const invoice = { ":method": "GET", ":path": "/billing/v1/invoices/1" };
    const answers = await withSession((session) => Promise.all([ask(session, invoice), ask(session, invoice)]), {
      cert,
      key,
    });
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    assert.equal((await withSession((session) => ask(session, invoice))).status, 401);
  });

  test("HEAD has no content, and a length", () =>
    withSession(async (session) => {
      await learnNonce(session);
      const answer = await ask(session, signed("HEAD", "/billing/v1/invoices/1"));
      assert.deepEqual([answer.status, answer.text], [200, ""]);
    }));

  test("many cookies are one, joined as RFC 9113 §8.2.3 has it", () =>
    withSession(async (session) => {
      await learnNonce(session);
      const answer = await new Promise<number>((resolve) => {
        const fields = Object.entries(signed("GET", "/billing/v1/invoices/1")).flat();
        const stream = session.request([...fields, ":scheme", "https", "cookie", "a=1", "cookie", "b=2"]);
        stream.on("response", (headers) => resolve(headers[":status"] ?? 0));
        stream.resume();
      });
      assert.equal(answer, 200);
      assert.equal(upstream.seen.at(-1)?.headers.cookie, "a=1; b=2");
    }));

  test("content is passed on with back-pressure both ways, and its length is kept", () =>
    withSession(async (session) => {
      await learnNonce(session);
      const scan = Buffer.alloc(900_000, "x");
      const fields = { ...signed("PUT", "/billing/v1/invoices/1/scan"), "content-type": "application/pdf" };
      let received = 0;
      upstream.answer = (_request, response, body) => {
        received = body.length;
        response.end(Buffer.alloc(3_000_000, "y"));
      };
      const answer = await ask(session, fields, scan).finally(() => {
        upstream.answer = null;
      });
      assert.deepEqual([answer.status, received, answer.text.length], [200, scan.length, 3_000_000]);
    }));

  test("a caller that resets its stream has gone away, and its provider is let go", () =>
    withSession(async (session) => {
      await learnNonce(session);
      let isLetGo = false;
      upstream.answer = (request) => void request.socket.once("close", () => (isLetGo = true));
      const reached = upstream.seen.length;
      const stream = session.request({ ":scheme": "https", ...signed("GET", "/billing/v1/invoices/1") });
      stream.on("error", () => {});
      await until(() => upstream.seen.length > reached, "the crossing is with its provider");
      stream.close(8);
      await until(() => isLetGo && bed.gateway.status().inFlight === 0, "both sides have ended");
      upstream.answer = null;
    }));

  test("no session is resumed, whichever protocol and version is chosen: every connection shows its own certificate (CVE-2025-23419)", async () => {
    const listener = tlsListener(workloads);
    const { tls } = listener;
    if (tls === undefined) throw new Error("a TLS listener has a certificate");
    const older = await startTestGateway({
      estate: withCertificates(marketplace(upstream.url), workloads),
      openLog: openTestLog,
      listeners: [{ ...listener, tls: { ...tls, minVersion: "TLSv1.2" } }],
    });
    const port = older.addresses[0]?.port ?? 0;
    /** Ends with the session it was given to come back with, once the other side has spoken. */
    const handshake = (
      options: object,
    ): Promise<{ readonly isResumed: boolean; readonly session: Buffer | undefined }> =>
      new Promise((resolve, reject) => {
        let session: Buffer | undefined;
        const socket: TLSSocket = connectTls({ port, host: "127.0.0.1", servername: "localhost", ca, ...options });
        socket.on("session", (given: Buffer) => {
          session = given;
        });
        socket.on("error", reject);
        socket.once("data", () => {
          resolve({ isResumed: socket.isSessionReused(), session: session ?? socket.getSession() });
          socket.destroy();
        });
        if (socket.alpnProtocol !== "h2") socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n");
      });
    try {
      for (const maxVersion of ["TLSv1.3", "TLSv1.2"])
        for (const protocol of ["h2", "http/1.1"]) {
          const options = { maxVersion, ALPNProtocols: [protocol] };
          const { session } = await handshake(options);
          assert.ok(session, "something to come back with");
          const again = await handshake({ ...options, session });
          assert.equal(again.isResumed, false, `${maxVersion} ${protocol}`);
        }
    } finally {
      await older.close();
    }
  });

  test("is offered beside HTTP/1.1, and nothing else is", async () => {
    const chosen = (protocols: string[]): Promise<string> =>
      new Promise((resolve) => {
        const { port } = new URL(origin);
        const socket = connectTls({
          port: Number(port),
          host: "127.0.0.1",
          servername: "localhost",
          ca,
          ALPNProtocols: protocols,
        });
        socket.on("secureConnect", () => {
          resolve(String(socket.alpnProtocol));
          socket.destroy();
        });
        socket.on("error", ({ message }) => resolve(message));
      });
    assert.equal(await chosen(["http/1.1", "h2"]), "h2");
    assert.equal(await chosen(["http/1.1"]), "http/1.1");
    assert.match(await chosen(["h2c", "spdy/3.1"]), /no application protocol/i);
    // A word of the estate takes it away, from the next connection on, and gives it back.
    const estate = withCertificates(marketplace(upstream.url), workloads);
    const listener = { url: named, trustedProxies: [] };
    await bed.publish({ ...estate, estate: { listeners: { public: { ...listener, http2: false } } } });
    assert.equal(await chosen(["http/1.1", "h2"]), "http/1.1");
    await bed.publish(estate);
    assert.equal(await chosen(["http/1.1", "h2"]), "h2");
  });
});

describe("what a request of HTTP/2 becomes for a provider of HTTP/1.1", () => {
  test("is written anew, to the octet: nothing of its framing, its connection or its pseudo-headers goes with it", async () => {
    let octets = "";
    const provider = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (piece) => {
        octets += piece.toString("latin1");
        if (/\r\n\r\n.*(?:}|\r\n0\r\n\r\n)$/s.test(octets)) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
      });
    });
    await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
    const address = provider.address();
    if (address === null || typeof address === "string") throw new Error("no address");
    const other = await startTestGateway({
      estate: withCertificates(marketplace(`http://127.0.0.1:${address.port}`), workloads),
      openLog: openTestLog,
      listeners: [tlsListener(workloads)],
    });
    const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
    const session = connect(`https://localhost:${other.addresses[0]?.port}`, { ca, cert, key });
    session.on("error", () => {});
    try {
      const content = '{"amount":5,"customer":"c"}';
      const said = [":method", "POST", ":path", "/billing/v1/invoices", "content-type", "application/json"];
      const answer = await new Promise<number>((resolve) => {
        const stream = session.request([":scheme", "https", ":authority", "localhost", ...said, "te", "trailers"]);
        stream.on("response", (headers) => resolve(headers[":status"] ?? 0));
        stream.end(content);
      });
      assert.equal(answer, 204);
      const [head = "", body] = octets.split("\r\n\r\n");
      const lines = head.split("\r\n");
      assert.equal(lines[0], "POST /v1/invoices HTTP/1.1");
      const names = lines.slice(1).map((line) => line.split(":")[0]);
      assert.deepEqual(names.toSorted(), [
        "content-length",
        "content-type",
        "host",
        "request-timeout-ms",
        "sallyport-crossing",
        "sallyport-identity",
        "traceparent",
      ]);
      assert.equal(body, content);
    } finally {
      session.destroy();
      await other.close();
      provider.close();
    }
  });
});

describe("the end of a gateway", () => {
  test("says GOAWAY while it still serves, and no request that was accepted fails", async () => {
    const other = await startTestGateway({
      estate: withCertificates(marketplace(upstream.url), workloads),
      openLog: openTestLog,
      listeners: [tlsListener(workloads)],
    });
    const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
    const session = connect(`https://localhost:${other.addresses[0]?.port}`, { ca, cert, key });
    session.on("error", () => {});
    const said: number[] = [];
    session.on("goaway", (code: number, last: number) => said.push(code, last));
    const invoice = { ":method": "GET", ":path": "/billing/v1/invoices/1" };
    try {
      let finish = (): void => {};
      upstream.answer = (_request, response) => {
        finish = () => response.end("late");
      };
      const reached = upstream.seen.length;
      const slow = ask(session, invoice);
      await until(() => upstream.seen.length > reached, "the slow crossing is with its provider");
      const drained = other.gateway.drain(300);
      await until(() => other.gateway.status().draining, "draining");
      upstream.answer = (_request, response) => {
        response.end("quick");
      };
      const during = await ask(session, invoice);
      assert.deepEqual([during.status, during.text], [200, "quick"]);
      finish();
      const answer = await slow;
      assert.deepEqual([answer.status, answer.text], [200, "late"]);
      await drained;
      // The first word names no stream.
      assert.deepEqual(said.slice(0, 2), [0, 2 ** 31 - 1]);
    } finally {
      upstream.answer = null;
      session.destroy();
      await other.close();
    }
  });
});
