// gRPC through the gateway: calls both ways, ends that say what they are, and bounds on time and messages.
import assert from "node:assert/strict";
import { type ClientHttp2Session, connect } from "node:http2";
import { after, afterEach, before, describe, test } from "node:test";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import {
  begin,
  type CallEnd,
  endWith,
  type GrpcProvider,
  message,
  openCall,
  startGrpcProvider,
  unary,
} from "./testing/grpc-provider.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { RunningTime } from "./testing/running-time.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { call, TestCaller } from "./testing/test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const workloads = newTestCa("workloads");
const ca = workloads.certificatePem;
const { cert, key } = issueTestLeaf(workloads, { uri: ordersUri });
const get = "/billing.v1.Invoices/Get";
const watch = "/billing.v1.Invoices/Watch";
const brief = "/billing.v1.Invoices/Brief";
const secret = "/billing.v1.Invoices/Secret";

function estate(url: string): TestEstate {
  const operation = (name: string, path: string, timeoutMs = 60_000): TestOperation => ({
    name,
    method: "POST",
    path,
    body: { content: "opaque", contentType: "application/grpc" },
    changes: { grpc: { businessErrors: [5] }, bodyBytesMax: 1_000, timeoutMs },
  });
  const operations = [
    operation("invoice.get", get),
    operation("invoice.watch", watch, 60_000),
    operation("invoice.brief", brief, 1_500),
    operation("secret.get", secret),
  ];
  return withCertificates(
    {
      systems: [
        { id: "billing", url, operations, changes: { public: { path: "/", strip: false } } },
        { id: "orders", clients: ["orders"] },
      ],
      integrations: [
        {
          ...{ id: "orders-to-billing", from: "orders", to: "billing" },
          operations: [{ name: "invoice.get" }, { name: "invoice.watch" }, { name: "invoice.brief" }],
        },
      ],
    },
    workloads,
  );
}

let provider: GrpcProvider;
let bed: TestGateway;
let session: ClientHttp2Session;
let origin: string;

before(async () => {
  provider = await startGrpcProvider();
  bed = await startTestGateway({
    estate: estate(provider.url),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
  origin = `https://localhost:${bed.addresses[0]?.port}`;
  session = connect(origin, { ca, cert, key });
  session.on("error", () => {});
});
afterEach(() => {
  provider.serve = null;
});
after(async () => {
  session?.destroy();
  await bed?.close();
  await provider?.close();
});

async function outcomeOf(id: string): Promise<string> {
  let leaf: Leaf | undefined;
  await until(async () => {
    leaf = (await bed.leaves(id)).at(-1);
    return leaf !== undefined && leaf.t !== "intent";
  }, `the end of ${id} on record`);
  if (leaf?.t !== "outcome" && leaf?.t !== "crossing") return String(leaf?.t);
  const code = "code" in leaf ? leaf.code : undefined;
  return code === undefined || code === null ? leaf.outcome : `${leaf.outcome} ${code}`;
}

describe("a call", () => {
  test("passes with its fields, its message and its trailers, and is recorded as an effect", async () => {
    const { headers, trailers, messages, status, id } = await unary(session, get, "hello", { "x-mine": "1" });
    assert.deepEqual([headers[":status"], messages, status, trailers["x-behind"]], [200, ["hello"], "0", "yes"]);
    const seen = provider.calls.at(-1)?.headers ?? {};
    assert.deepEqual([seen[":path"], seen["x-mine"], seen["te"]], [get, "1", "trailers"]);
    assert.equal(typeof seen["sallyport-identity"], "string");
    assert.equal(seen["authorization"], undefined);
    assert.deepEqual(
      (await bed.leaves(id)).map(({ t }) => t),
      ["intent", "outcome"],
    );
    assert.equal(await outcomeOf(id), "success");
  });

  test("streams both ways while it goes on", async () => {
    const { stream, ended, messages } = openCall(session, watch);
    for (const text of ["one", "two", "three"]) {
      stream.write(message(text));
      await until(() => messages().at(-1) === text, `${text} came back`);
    }
    stream.end();
    const end = await ended;
    assert.deepEqual([end.status, end.messages], ["0", ["one", "two", "three"]]);
  });

  test("that its caller gives up is given up with its provider", async () => {
    const before = provider.calls.length;
    const { stream } = openCall(session, watch);
    stream.write(message("one"));
    await until(() => provider.calls.length > before, "the call has come");
    stream.close(8);
    await until(() => provider.calls.at(-1)?.stream.destroyed === true, "its provider is told");
    await until(() => bed.gateway.status().inFlight === 0, "nothing is held for it");
  });

  test("a caller that reads nothing holds its provider up, not the gateway's memory", async () => {
    let written = 0;
    provider.serve = ({ stream }) => {
      begin(stream);
      const more = (): void => {
        while (written < 50_000_000 && stream.write(message("x".repeat(10_000)))) written += 10_000;
      };
      stream.on("drain", more);
      more();
    };
    const { stream } = openCall(session, watch);
    stream.pause();
    stream.end(message("go"));
    await until(() => written > 0, "it has begun");
    let last = -1;
    while (last !== written) {
      last = written;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(written < 2_000_000, `${written} octets were taken`);
    stream.close(8);
  });
});

describe("the end of a call says what it is", () => {
  test("a status of the provider, in trailers or alone, goes to the caller and into the outcome", async () => {
    for (const [status, outcome] of [
      ["5", "business-error"],
      ["13", "system-error"],
    ] as const) {
      provider.serve = ({ stream }) => {
        begin(stream);
        endWith(stream, { "grpc-status": status, "grpc-message": "no%20such" });
      };
      const behind = await unary(session, get, "x");
      assert.deepEqual([behind.status, behind.trailers["grpc-message"]], [status, "no%20such"]);
      assert.equal(await outcomeOf(behind.id), outcome);
      provider.serve = ({ stream }) =>
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": status },
          { endStream: true },
        );
      const alone = await unary(session, get, "x");
      assert.deepEqual([alone.status, alone.headers["grpc-status"]], [status, status]);
      assert.equal(await outcomeOf(alone.id), outcome);
    }
  });

  test("an answer without a status, or cut short, is never a success", async () => {
    provider.serve = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.end(message("half"));
    };
    const without = await unary(session, get, "x");
    assert.deepEqual([without.status, await outcomeOf(without.id)], ["2", "system-error"]);
    provider.serve = ({ stream }) => {
      begin(stream);
      stream.write(message("half"), () => stream.close(2));
    };
    const cut = await unary(session, get, "x");
    assert.deepEqual([cut.status, await outcomeOf(cut.id)], ["14", "system-error"]);
  });

  test("an answer that is no gRPC is a fault of the provider", async () => {
    provider.serve = ({ stream }) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end("<html>");
    };
    const { status, headers, id } = await unary(session, get, "x");
    assert.deepEqual([status, headers["sallyport-code"]], ["14", "upstream-protocol"]);
    assert.equal(await outcomeOf(id), "system-error upstream-protocol");
  });

  test("fields that only we may say do not become true behind the content", async () => {
    provider.serve = ({ stream }) => {
      begin(stream, { "sallyport-verdict": "allow" });
      endWith(stream, { "grpc-status": "0", "sallyport-code": "x", "dpop-nonce": "y" });
    };
    const { headers, trailers } = await unary(session, get, "x");
    assert.equal(headers["sallyport-verdict"], undefined);
    assert.deepEqual([trailers["sallyport-code"], trailers["dpop-nonce"]], [undefined, undefined]);
  });
});

describe("a denial is told in terms of gRPC, with our code beside it, and its provider is not asked", () => {
  async function denied(act: () => Promise<{ status: string; headers: Record<string, unknown>; id: string }>) {
    const before = provider.calls.length;
    const { status, headers, id } = await act();
    assert.equal(provider.calls.length, before, "the provider was asked");
    assert.equal(headers[":status"], 200);
    return [status, headers["sallyport-code"], await outcomeOf(id)];
  }

  test("not granted: PERMISSION_DENIED with the fix", async () => {
    assert.deepEqual(await denied(() => unary(session, secret, "x")), ["7", "not-granted", "denied not-granted"]);
    const { headers } = await unary(session, secret, "x");
    assert.match(String(headers["grpc-message"]), /secret\.get/);
  });

  test("no such method: UNIMPLEMENTED", async () => {
    assert.deepEqual(await denied(() => unary(session, "/billing.v1.Invoices/Nothing", "x")), [
      "12",
      "no-route",
      "denied no-route",
    ]);
  });

  test("nobody: UNAUTHENTICATED, with a nonce to come back with, and then the call passes", async () => {
    const stranger = connect(origin, { ca });
    stranger.on("error", () => {});
    try {
      const first = await unary(stranger, get, "x");
      assert.deepEqual([first.status, first.headers["sallyport-code"]], ["16", "unauthenticated"]);
      const orders = new TestCaller(bed.feed, "orders");
      orders.nonce = String(first.headers["dpop-nonce"]);
      const token = orders.token("billing");
      const proof = orders.proof("POST", `https://localhost${get}`, token);
      const second = await unary(stranger, get, "x", { authorization: `DPoP ${token}`, dpop: proof });
      assert.equal(second.status, "0");
    } finally {
      stranger.destroy();
    }
  });

  test("another content type, and HTTP/1.1", async () => {
    const before = provider.calls.length;
    const { headers } = await unary(session, get, "x", { "content-type": "application/json" });
    assert.equal(headers[":status"], 415);
    const answer = await call(origin.replace("localhost", "127.0.0.1") + get, {
      method: "POST",
      headers: { "content-type": "application/grpc" },
      body: message("x"),
      tls: { ca, cert, key },
    });
    assert.deepEqual([answer.status, answer.code], [505, "bad-version"]);
    assert.equal(provider.calls.length, before);
  });

  test("a provider that is away: UNAVAILABLE", async () => {
    const gone = await startGrpcProvider();
    await gone.close();
    await bed.publish(estate(gone.url));
    const { status, headers } = await unary(session, get, "x");
    await bed.publish(estate(provider.url));
    assert.deepEqual([status, headers["sallyport-code"]], ["14", "upstream-unreachable"]);
  });
});

describe("bounds", () => {
  test("a message is measured by the length it declares, before its octets come", async () => {
    const { stream, ended } = openCall(session, watch);
    stream.write(message("fits"));
    // Says 1,001 octets, and sends none of them.
    stream.write(Buffer.from([0, 0, 0, 0x03, 0xe9]));
    const { status, headers, trailers } = await ended;
    assert.equal(status, "8");
    assert.equal(trailers["sallyport-code"] ?? headers["sallyport-code"], "body-too-large");
    const whole = await unary(session, get, "y".repeat(1_000));
    assert.equal(whole.status, "0");
  });

  test("content that is no messages, or ends inside one, never looks whole to the provider", async () => {
    for (const octets of [Buffer.from([7, 0, 0, 0, 0]), Buffer.from([0, 0, 0, 0, 9, 1, 2])]) {
      const { stream, ended } = openCall(session, watch);
      stream.end(octets);
      const { status } = await ended;
      assert.notEqual(status, "0");
    }
  });

  test("the time of a call is its caller's, and never more than its operation's", async () => {
    let said = "";
    provider.serve = ({ stream, headers }) => {
      said = String(headers["grpc-timeout"]);
      begin(stream);
      stream.write(message("and then nothing"));
    };
    // Long enough that the provider has begun its answer by then, far shorter than the minute and the hour that they are judged against.
    const running = new RunningTime();
    const short = await unary(session, watch, "x", { "grpc-timeout": "2000m" });
    assert.deepEqual([short.status, short.trailers["sallyport-code"], said], ["4", "upstream-timeout", "2000m"]);
    const long = await unary(session, brief, "x", { "grpc-timeout": "1H" });
    assert.deepEqual([long.status, said], ["4", "1500m"]);
    assert.ok(running.end() < 30_000);
    const none = await unary(session, get, "x", { "grpc-timeout": "soon" });
    assert.equal(none.headers["sallyport-code"], "bad-header");
  });
});

describe("a call that its provider says it never began", () => {
  const refusedStream = 7;
  const internalError = 2;
  /** Refuses the first streams that come, and echoes the others. */
  const refuseFirst = (count: number, code = refusedStream): void => {
    const from = provider.calls.length;
    provider.serve = ({ stream }) => {
      if (provider.calls.length - from <= count) {
        stream.close(code);
        return;
      }
      begin(stream);
      stream.on("data", (piece: Buffer) => stream.write(piece));
      stream.on("end", () => endWith(stream, { "grpc-status": "0" }));
    };
  };
  async function during(act: () => Promise<CallEnd>): Promise<CallEnd & { readonly reached: number }> {
    const before = provider.calls.length;
    const end = await act();
    return { ...end, reached: provider.calls.length - before };
  }

  test("is sent again, whole, and is one crossing", async () => {
    for (const count of [1, 2]) {
      refuseFirst(count);
      const { status, messages, reached, id } = await during(() => unary(session, get, "hello"));
      assert.deepEqual([status, messages, reached], ["0", ["hello"], count + 1]);
      assert.deepEqual(
        (await bed.leaves(id)).map(({ t }) => t),
        ["intent", "outcome"],
      );
    }
  });

  test("goes on where it was while messages still come", async () => {
    refuseFirst(1);
    const before = provider.calls.length;
    const { stream, ended, messages } = openCall(session, watch);
    stream.write(message("one"));
    await until(() => provider.calls.length === before + 2, "it is sent again");
    stream.write(message("two"));
    await until(() => messages().length === 2, "both came back");
    stream.end(message("three"));
    const { status, messages: all } = await ended;
    assert.deepEqual([status, all], ["0", ["one", "two", "three"]]);
  });

  test("is not sent for ever", async () => {
    refuseFirst(10);
    const { status, reached, id } = await during(() => unary(session, get, "hello"));
    assert.deepEqual([status, reached], ["14", 3]);
    assert.equal(await outcomeOf(id), "system-error upstream-unreachable");
  });

  test("attack: ended in any other way it is not sent again: it may have been done", async () => {
    refuseFirst(1, internalError);
    const { status, reached } = await during(() => unary(session, get, "hello"));
    assert.deepEqual([status, reached], ["14", 1]);
  });

  test("attack: refused once its answer has begun it is not sent again", async () => {
    provider.serve = ({ stream }) => {
      begin(stream);
      stream.write(message("half"), () => stream.close(refusedStream));
    };
    const { status, reached } = await during(() => unary(session, get, "hello"));
    assert.deepEqual([status, reached], ["14", 1]);
  });

  test("with more messages than are held for it, it is not sent again", async () => {
    let bytes = 0;
    provider.serve = ({ stream }) => {
      stream.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > 20_000) stream.close(refusedStream);
      });
    };
    const { status, reached } = await during(() => {
      const { stream, ended } = openCall(session, watch);
      for (let i = 0; i < 25; i++) stream.write(message("x".repeat(900)));
      return ended;
    });
    assert.deepEqual([status, reached], ["14", 1]);
  });
});

describe("a stream that goes on", () => {
  test("is ended when its grant goes, long before its time, in terms of gRPC, and that is recorded", async () => {
    const { stream, ended, messages } = openCall(session, watch);
    stream.write(message("one"));
    await until(() => messages().length === 1, "it goes on");
    const all = estate(provider.url);
    await bed.publish({ ...all, integrations: [] });
    const running = new RunningTime();
    const end = await ended;
    // A second is the promise and milliseconds the rule. The call itself had a minute.
    const tookMs = running.end();
    await bed.publish(all);
    assert.ok(tookMs < 1_000, `it took ${tookMs} ms`);
    assert.deepEqual([end.status, end.trailers["sallyport-code"]], ["7", "not-granted"]);
    assert.equal(await outcomeOf(end.id), "denied not-granted");
  });
});
