// gRPC through the gateway between a client and a provider of somebody else's make (grpc-js), in clear and over TLS to the provider: what one library sends
// is what the other gets, and ends mean what they say.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Client,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerOptions,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { issueTestLeaf, newTestCa, ordersUri, tlsListener, withCertificates } from "./testing/test-certificates.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const workloads = newTestCa("workloads");
const providers = newTestCa("providers");
const caller = issueTestLeaf(workloads, { uri: ordersUri });
const asOctets = (octets: Buffer): Buffer => octets;
const methodOf = (name: string, requestStream: boolean, responseStream: boolean) => ({
  ...{ path: `/peers.v1.Peers/${name}`, requestStream, responseStream },
  ...{
    requestSerialize: asOctets,
    requestDeserialize: asOctets,
    responseSerialize: asOctets,
    responseDeserialize: asOctets,
  },
});
const methods = {
  Ask: methodOf("Ask", false, false),
  Watch: methodOf("Watch", false, true),
  Gather: methodOf("Gather", true, false),
  Talk: methodOf("Talk", true, true),
} satisfies ServiceDefinition;
const messageBytesMax = 4 * 1024 * 1024;

type Ask = ServerUnaryCall<Buffer, Buffer>;
type Watch = ServerWritableStream<Buffer, Buffer>;
type Gather = ServerReadableStream<Buffer, Buffer>;
type Talk = ServerDuplexStream<Buffer, Buffer>;

/** What the provider does with the next calls; a test says otherwise. */
const does = {
  ask: (_call: Ask, answer: sendUnaryData<Buffer>): void => answer(null, Buffer.from("answer")),
  watch: (call: Watch): void => {
    call.end();
  },
  gather: (_call: Gather, answer: sendUnaryData<Buffer>): void => answer(null, Buffer.from("answer")),
  talk: (call: Talk): void => {
    call.end();
  },
};

interface Provider {
  readonly server: Server;
  readonly port: number;
}

/** An address of its own: at the one that everybody dials from, a port that is free for a moment may be somebody's by the next. */
const address = "127.0.0.71";

async function startProvider(
  secured: ServerCredentials,
  port = 0,
  options: ServerOptions = {},
  host = address,
): Promise<Provider> {
  const server = new Server({ "grpc.max_receive_message_length": messageBytesMax, ...options });
  server.addService(methods, {
    Ask: (call: Ask, answer: sendUnaryData<Buffer>) => does.ask(call, answer),
    Watch: (call: Watch) => does.watch(call),
    Gather: (call: Gather, answer: sendUnaryData<Buffer>) => does.gather(call, answer),
    Talk: (call: Talk) => does.talk(call),
  });
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`${host}:${port}`, secured, (error, at) => (error === null ? resolve(at) : reject(error))),
  );
  return { server, port: bound };
}

function estateOf(urls: Readonly<Record<string, string>>): TestEstate {
  const operation = (name: string, timeoutMs = 30_000): TestOperation => ({
    ...{ name: name.toLowerCase(), method: "POST", path: `/peers.v1.Peers/${name}` },
    body: { content: "opaque", contentType: "application/grpc" },
    changes: { grpc: { businessErrors: [status.NOT_FOUND] }, bodyBytesMax: messageBytesMax, timeoutMs },
  });
  const operations = Object.keys(methods).map((name) => operation(name));
  const granted = operations.map(({ name }) => ({ name }));
  const ids = Object.keys(urls);
  return withCertificates(
    {
      systems: [
        { id: "orders", clients: ["orders"] },
        ...ids.map((id) => ({
          ...{ id, url: urls[id] ?? "", operations },
          changes: {
            public: { host: `${id}.example`, path: "/", strip: false },
            upstream: {
              ...{ url: urls[id] ?? "", allowPrivate: true },
              ...(id === "sealed" ? { ca: providers.certificatePem } : {}),
              ...(id === "foreign" ? { ca: workloads.certificatePem } : {}),
            },
          },
        })),
      ],
      integrations: ids.map((to) => ({ id: `orders-to-${to}`, from: "orders", to, operations: granted })),
    },
    workloads,
  );
}

const serverPair = issueTestLeaf(providers, { dns: ["localhost"] }, { usage: "server" });
const sealedBy = (roots: string | null): ServerCredentials =>
  ServerCredentials.createSsl(
    roots === null ? null : Buffer.from(roots),
    [{ private_key: Buffer.from(serverPair.key), cert_chain: Buffer.from(serverPair.cert) }],
    roots !== null,
  );

let plain: Provider;
let sealed: Provider;
let bed: TestGateway;
const clients: Client[] = [];

before(async () => {
  plain = await startProvider(ServerCredentials.createInsecure());
  sealed = await startProvider(sealedBy(null), 0, {}, "127.0.0.1");
  bed = await startTestGateway({
    estate: estateOf({
      plain: `http://${address}:${plain.port}`,
      sealed: `https://localhost:${sealed.port}`,
      foreign: `https://localhost:${sealed.port}`,
    }),
    openLog: openTestLog,
    listeners: [tlsListener(workloads)],
  });
});
after(async () => {
  for (const client of clients) client.close();
  await bed?.close();
  for (const one of [plain, sealed]) one?.server.forceShutdown();
});

function clientOf(to: string, options: ClientOptions = {}): Client {
  const secured = credentials.createSsl(
    Buffer.from(workloads.certificatePem),
    Buffer.from(caller.key),
    Buffer.from(caller.cert),
  );
  const client = new Client(`127.0.0.1:${bed.addresses[0]?.port}`, secured, {
    "grpc.ssl_target_name_override": "localhost",
    "grpc.default_authority": `${to}.example`,
    "grpc.max_receive_message_length": -1,
    ...options,
  });
  clients.push(client);
  return client;
}

interface Unary {
  readonly error: ServiceError | null;
  readonly answer: Buffer | undefined;
  readonly head: Metadata;
  readonly trailers: Metadata;
}

const soon = (): Date => new Date(Date.now() + 25_000);

function ask(client: Client, message: Buffer | string, fields = new Metadata(), deadline = soon()): Promise<Unary> {
  return new Promise((resolve) => {
    let head = new Metadata();
    let trailers = new Metadata();
    let done: Pick<Unary, "error" | "answer"> | null = null;
    const { path } = methods.Ask;
    const octets = Buffer.from(message);
    const call = client.makeUnaryRequest(path, asOctets, asOctets, octets, fields, { deadline }, (error, answer) => {
      done = { error, answer };
    });
    call.on("metadata", (got) => {
      head = got;
    });
    call.on("status", (got) => {
      trailers = got.metadata;
      // The callback comes before or behind it.
      setImmediate(() => resolve({ error: null, answer: undefined, ...done, head, trailers }));
    });
  });
}

const watch = (client: Client): ClientReadableStream<Buffer> =>
  client.makeServerStreamRequest(methods.Watch.path, asOctets, asOctets, Buffer.from("n"), new Metadata(), {
    deadline: soon(),
  });

/** What came of a stream of answers, and how it ended. */
function collect(
  call: NodeJS.ReadableStream,
): Promise<{ readonly messages: Buffer[]; readonly code: number; readonly details: string }> {
  const messages: Buffer[] = [];
  return new Promise((resolve) => {
    call.on("data", (message: Buffer) => messages.push(message));
    call.on("error", () => undefined);
    call.on("status", ({ code, details }: { code: number; details: string }) => resolve({ messages, code, details }));
  });
}

async function outcomeOf(metadata: Metadata): Promise<string> {
  const id = String(metadata.get("sallyport-crossing")[0]);
  let outcome = "";
  for (let i = 0; i < 1_000 && outcome === ""; i++) {
    const leaf = (await bed.leaves(id)).find(({ t }) => t === "outcome" || t === "crossing");
    if (leaf?.t === "outcome" || leaf?.t === "crossing") outcome = leaf.outcome;
    else await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return outcome;
}

for (const to of ["plain", "sealed"])
  describe(`a provider over ${to === "plain" ? "HTTP/2 in clear" : "TLS"}`, () => {
    test("unary: message, metadata of both ways, octets in them, and trailers", async () => {
      let seen = new Metadata();
      does.ask = (call, answer) => {
        seen = call.metadata;
        const head = new Metadata();
        head.set("x-head", "1");
        head.set("x-octets-bin", Buffer.from([0, 255, 7]));
        call.sendMetadata(head);
        const trailers = new Metadata();
        trailers.set("x-behind", "2");
        trailers.add("x-many", "a");
        trailers.add("x-many", "b");
        answer(null, Buffer.concat([Buffer.from("echo "), call.request]), trailers);
      };
      const fields = new Metadata();
      fields.set("x-mine", "hello");
      fields.set("x-mine-bin", Buffer.from([1, 0, 254]));
      fields.add("x-twice", "a");
      fields.add("x-twice", "b");
      const { error, answer, head, trailers } = await ask(clientOf(to), "hi", fields);
      assert.equal(error, null);
      assert.equal(answer?.toString(), "echo hi");
      assert.deepEqual(head.get("x-head"), ["1"]);
      assert.deepEqual(head.get("x-octets-bin"), [Buffer.from([0, 255, 7])]);
      assert.deepEqual(trailers.get("x-behind"), ["2"]);
      assert.deepEqual(
        trailers.get("x-many").flatMap((one) => String(one).split(", ")),
        ["a", "b"],
      );
      assert.deepEqual(seen.get("x-mine"), ["hello"]);
      assert.deepEqual(seen.get("x-mine-bin"), [Buffer.from([1, 0, 254])]);
      assert.deepEqual(
        seen.get("x-twice").flatMap((one) => String(one).split(", ")),
        ["a", "b"],
      );
      assert.equal(seen.get("sallyport-identity").length, 1);
      assert.equal(await outcomeOf(head), "success");
    });

    test("a status that is not OK arrives with its code, its words and its trailers", async () => {
      for (const [code, outcome] of [
        [status.NOT_FOUND, "business-error"],
        [status.INVALID_ARGUMENT, "system-error"],
        [status.ABORTED, "system-error"],
        [status.DATA_LOSS, "system-error"],
      ] as const) {
        does.ask = (call, answer) => {
          call.sendMetadata(new Metadata());
          const metadata = new Metadata();
          metadata.set("x-why", "because");
          answer({ code, details: "invoice 7 % ümlaut", metadata });
        };
        const { error, head, trailers } = await ask(clientOf(to), "hi");
        assert.equal(error?.code, code);
        assert.equal(error?.details, "invoice 7 % ümlaut");
        assert.deepEqual(trailers.get("x-why"), ["because"]);
        assert.equal(await outcomeOf(head), outcome);
      }
    });

    test("a stream of answers: each message, in order, whole", async () => {
      does.watch = (call) => {
        for (let i = 0; i < 500; i++) call.write(Buffer.from(`${call.request} ${i}`));
        call.end();
      };
      const call = watch(clientOf(to));
      const { messages, code } = await collect(call);
      assert.equal(code, status.OK);
      assert.deepEqual(
        messages.map(String),
        Array.from({ length: 500 }, (_, i) => `n ${i}`),
      );
    });

    test("a stream of questions, and one answer behind the last", async () => {
      does.gather = (call, answer) => {
        let bytes = 0;
        call.on("data", (message: Buffer) => {
          bytes += message.length;
        });
        call.on("end", () => answer(null, Buffer.from(String(bytes))));
      };
      const { path } = methods.Gather;
      const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
        const call = clientOf(to).makeClientStreamRequest(
          path,
          asOctets,
          asOctets,
          new Metadata(),
          { deadline: soon() },
          (error, got) => (error === null ? resolve(got) : reject(error)),
        );
        for (let i = 0; i < 200; i++) call.write(Buffer.alloc(1_000));
        call.end();
      });
      assert.equal(answer?.toString(), "200000");
    });

    test("both ways at once: each answer comes before the next question is sent", async () => {
      does.talk = (call) => {
        call.on("data", (message: Buffer) => call.write(Buffer.from(`re: ${message}`)));
        call.on("end", () => call.end());
      };
      const call = clientOf(to).makeBidiStreamRequest(methods.Talk.path, asOctets, asOctets, new Metadata(), {
        deadline: soon(),
      });
      const collected = collect(call);
      for (let i = 0; i < 30; i++) {
        const next = new Promise<Buffer>((resolve) => call.once("data", resolve));
        call.write(Buffer.from(`${i}`));
        assert.equal(String(await next), `re: ${i}`);
      }
      call.end();
      const { code, messages } = await collected;
      assert.deepEqual([code, messages.length], [status.OK, 30]);
    });

    test("messages as large as they may be pass both ways; larger ones are refused, whoever sends them", async () => {
      does.ask = (call, answer) => answer(null, Buffer.from(call.request));
      const { answer, error } = await ask(clientOf(to), Buffer.alloc(messageBytesMax, 7));
      assert.equal(error, null);
      assert.ok(answer?.equals(Buffer.alloc(messageBytesMax, 7)));
      const over = await ask(clientOf(to), Buffer.alloc(messageBytesMax + 1));
      assert.equal(over.error?.code, status.RESOURCE_EXHAUSTED);
      does.ask = (_call, reply) => reply(null, Buffer.alloc(messageBytesMax + 1));
      const back = await ask(clientOf(to), "hi");
      assert.equal(back.error?.code, status.UNAVAILABLE);
    });

    test("compressed messages pass as they are", async () => {
      does.ask = (call, answer) => answer(null, Buffer.from(call.request));
      const client = clientOf(to, { "grpc.default_compression_algorithm": 2 });
      const { answer, error } = await ask(client, "a".repeat(100_000));
      assert.equal(error, null);
      assert.equal(answer?.length, 100_000);
    });

    test("a deadline reaches the provider, and ends the call at both ends", async () => {
      // However busy the machine is, the call is with its provider before that.
      const giveMs = 4_000;
      let told = 0;
      let isCancelled = false;
      does.ask = (call) => {
        told = Number(call.getDeadline()) - Date.now();
        call.on("cancelled", () => {
          isCancelled = true;
        });
      };
      const { error } = await ask(clientOf(to), "hi", new Metadata(), new Date(Date.now() + giveMs));
      assert.equal(error?.code, status.DEADLINE_EXCEEDED);
      assert.ok(told > 0 && told <= giveMs, String(told));
      await until(() => isCancelled, "the provider is told");
      await until(() => bed.gateway.status().inFlight === 0, "nothing is held for it");
    });

    test("a call that its caller cancels is cancelled at the provider", async () => {
      let isCancelled = false;
      let isOpen = false;
      does.watch = (call) => {
        call.write(Buffer.from("one"));
        isOpen = true;
        call.on("cancelled", () => {
          isCancelled = true;
        });
      };
      const call = watch(clientOf(to));
      const ended = collect(call);
      await until(() => isOpen, "it goes on");
      call.cancel();
      assert.equal((await ended).code, status.CANCELLED);
      await until(() => isCancelled, "the provider is told");
      await until(() => bed.gateway.status().inFlight === 0, "nothing is held for it");
    });

    test("a call that the provider ends in its middle keeps its messages and gets its status", async () => {
      does.watch = (call) => {
        call.write(Buffer.from("one"));
        call.emit("error", { code: status.CANCELLED, details: "not now" });
      };
      const call = watch(clientOf(to));
      const { code, details, messages } = await collect(call);
      assert.deepEqual([code, details, messages.map(String)], [status.CANCELLED, "not now", ["one"]]);
    });

    test("a caller that reads late gets everything", async () => {
      // That a slow reader holds its provider up is seen in grpc.test.ts: grpc-js takes what comes, whether its reader is paused or not.
      const count = 300;
      let isSent = false;
      does.watch = (call) => {
        for (let i = 0; i < count; i++) call.write(Buffer.alloc(64 * 1024, i % 251));
        call.end();
        isSent = true;
      };
      const call = watch(clientOf(to));
      const ended = new Promise<number>((resolve) => call.on("status", ({ code }) => resolve(code)));
      call.pause();
      await until(() => isSent, "the provider has sent what it can");
      let bytes = 0;
      call.on("data", (message: Buffer) => {
        bytes += message.length;
      });
      call.resume();
      assert.equal(await ended, status.OK);
      assert.equal(bytes, count * 64 * 1024);
    });

    test("two hundred calls at once on one connection, each with its own answer", async () => {
      does.ask = (call, answer) => answer(null, Buffer.from(call.request));
      const client = clientOf(to);
      const texts = Array.from({ length: 200 }, (_, i) => `call ${i}`);
      const answers = await Promise.all(texts.map((text) => ask(client, text)));
      assert.deepEqual(
        answers.map(({ answer, error }) => error?.message ?? String(answer)),
        texts,
      );
    });
  });

test("a provider whose certificate another authority signed gets no call", async () => {
  let isAsked = false;
  does.ask = (_call, answer) => {
    isAsked = true;
    answer(null, Buffer.from("x"));
  };
  const { error } = await ask(clientOf("foreign"), "hi");
  assert.equal(error?.code, status.UNAVAILABLE);
  assert.equal(isAsked, false);
});

test("a provider that goes away and comes back at the same address is called again", async () => {
  does.ask = (call, answer) => answer(null, Buffer.from(call.request));
  assert.equal((await ask(clientOf("plain"), "one")).answer?.toString(), "one");
  const { port } = plain;
  // Says GOAWAY, and ends what is not under way.
  await new Promise<void>((resolve) => plain.server.tryShutdown(() => resolve()));
  const away = await ask(clientOf("plain"), "two");
  assert.equal(away.error?.code, status.UNAVAILABLE);
  plain = await startProvider(ServerCredentials.createInsecure(), port);
  assert.equal((await ask(clientOf("plain"), "three")).answer?.toString(), "three");
});

test("connections that the provider replaces every moment lose no call", async () => {
  const { port } = plain;
  plain.server.forceShutdown();
  plain = await startProvider(ServerCredentials.createInsecure(), port, {
    "grpc.max_connection_age_ms": 50,
    "grpc.max_connection_age_grace_ms": 20_000,
  });
  does.ask = (call, answer) => answer(null, Buffer.from(call.request));
  const client = clientOf("plain");
  for (let i = 0; i < 300; i++) {
    const { answer, error } = await ask(client, `${i}`);
    assert.equal(error, null, `${i}: ${error?.message}`);
    assert.equal(String(answer), `${i}`);
  }
});

test("a client that pings to keep its connection is served on", async () => {
  does.watch = (call) => {
    call.write(Buffer.from("one"));
    does.ask = (_call, answer) => {
      call.write(Buffer.from("two"));
      call.end();
      answer(null, Buffer.from("x"));
    };
  };
  const client = clientOf("sealed", { "grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 5_000 });
  const call = watch(client);
  const ended = collect(call);
  await new Promise((resolve) => call.once("data", resolve));
  // Some pings go by meanwhile.
  const from = performance.now();
  await until(() => performance.now() - from > 1_000, "a second of pings");
  assert.equal((await ask(client, "x")).error, null);
  const { code, messages } = await ended;
  assert.deepEqual([code, messages.length], [status.OK, 2]);
});
