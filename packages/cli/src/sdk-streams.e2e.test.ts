// What the SDK does over more than one request, at a real control plane and a real gateway in processes of their own: the examples of its page as they stand there.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { idempotentFetch, SallyportFault } from "@sallyport/sdk";
import { Installation, until } from "./installation.test-support.ts";

const bounded = { timeout: 120_000 };
const repository = fileURLToPath(new URL("../../..", import.meta.url));
const page = readFileSync(join(repository, "docs/sdk.md"), "utf8");
const post = { method: "POST", body: '{"amount":5}', headers: { "content-type": "application/json" } };

let installation: Installation;
let provider: Server;
/** What reached the provider. */
const seen: string[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const made = (_request: IncomingMessage, response: ServerResponse): void => {
  response.writeHead(201, { "content-type": "application/json" }).end(`{"made":${seen.length}}`);
};

before(async () => {
  provider = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    request.resume().once("end", () => answer(request, response));
  });
  await new Promise<void>((resolve) => provider.listen(0, "127.0.0.1", resolve));
  // A listening TCP server always has an AddressInfo.
  const { port } = provider.address() as AddressInfo;
  installation = await Installation.open();
  installation.writeEstate({
    "systems/billing.yaml": `system: billing
url: http://127.0.0.1:${port}
allowPrivate: true
operations:
  events.follow: { match: GET /v1/events, timeout: 1m }
  payment.make: { match: POST /v1/payments, idempotency: required }
`,
    "integrations/orders-to-billing.yaml": `integration: orders-to-billing
from: orders
to: billing
purpose: Charge a customer when an order ships
operations:
  events.follow: {}
  payment.make: {}
`,
  });
  await installation.startControl();
  await installation.startGateway();
  installation.trustRoots();
  symlinkSync(join(repository, "node_modules"), join(installation.root, "node_modules"));
  symlinkSync(installation.root, join(installation.root, ".sallyport"));
  writeFileSync(join(installation.root, "orders.pem"), installation.clientKey.pem, { mode: 0o600 });
  writeFileSync(join(installation.root, "package.json"), '{"type":"module"}');
}, bounded);
after(async () => {
  await installation?.close();
  provider?.closeAllConnections();
  provider?.close();
});

interface Running {
  readonly child: ChildProcess;
  output(): string;
  readonly ended: Promise<number | null>;
}

/** The block of the page that begins with its file's name, at these ports instead of the default ones. */
function run(name: string): Running {
  const block = page.split("```js\n").find((text) => text.startsWith(`// ${name}\n`)) ?? "";
  const { identity, gateway } = installation.ports;
  const text = block
    .slice(0, block.indexOf("```"))
    .replaceAll(":7440", `:${identity}`)
    .replaceAll(":8443", `:${gateway}`);
  writeFileSync(join(installation.root, name), text);
  const child = spawn(process.execPath, [name], { cwd: installation.root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => {
      output += piece;
    });
  return { child, output: () => output, ended: new Promise((resolve) => child.once("close", resolve)) };
}

test(
  "follow.js of the page: the stream is refreshed at once at the gateway, and its end ends the refreshing",
  bounded,
  async () => {
    const streams: ServerResponse[] = [];
    answer = (_request, response) => {
      streams.push(response);
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    };
    const follow = run("follow.js");
    await until("the stream and its first refresh", () => {
      assert.equal(follow.child.exitCode, null, follow.output());
      return /^data: 1$/m.test(follow.output()) && /^good for (2\d\d|300) s$/m.test(follow.output());
    });
    assert.deepEqual(seen.splice(0), ["GET /v1/events"], "the provider hears nothing of it");
    for (const stream of streams) stream.end();
    assert.equal(await follow.ended, 0, follow.output());
    assert.match(follow.output(), /^over$/m);
  },
);

test("pay.js of the page: one payment, by one request", bounded, async () => {
  answer = made;
  const pay = run("pay.js");
  assert.equal(await pay.ended, 0, pay.output());
  assert.deepEqual(JSON.parse(pay.output()), { status: 201, replayOf: null });
  assert.deepEqual(seen.splice(0), ["POST /v1/payments"]);
});

test(
  "an answer that was lost on its way is asked for again under the same key: one effect, and the answer of the first time",
  bounded,
  async () => {
    answer = made;
    const lost: string[] = [];
    const losing = (response: Response): void => {
      if (response.status !== 201 || lost.length > 0) return;
      lost.push(response.headers.get("sallyport-crossing") ?? "");
      throw new TypeError("the connection broke");
    };
    const { fetch } = installation.caller(installation.clientKey.signer, "production", losing);
    const paid = await idempotentFetch(fetch)("/billing/v1/payments", post);
    assert.equal(paid.status, 201);
    assert.equal(paid.headers.get("sallyport-replay-of"), lost[0]);
    assert.deepEqual(seen.splice(0), ["POST /v1/payments"]);
  },
);

test(
  "two at once under one key: the second waits as the gateway asks, and gets the answer of the first",
  bounded,
  async () => {
    const held: ServerResponse[] = [];
    answer = (_request, response) => void held.push(response);
    const { fetch } = installation.caller();
    const waits: number[] = [];
    const wait = async (ms: number) => {
      waits.push(ms);
      for (const response of held.splice(0))
        response.writeHead(201, { "content-type": "application/json" }).end('{"made":1}');
      await first;
    };
    const headers = { ...post.headers, "idempotency-key": '"of-my-own"' };
    const first = fetch("/billing/v1/payments", { ...post, headers });
    await until("the first at the provider", () => held.length === 1);
    const second = await idempotentFetch(fetch, { wait })("/billing/v1/payments", { ...post, headers });
    const [before, after] = [await (await first).text(), await second.text()];
    assert.deepEqual([second.status, after], [201, before]);
    assert.ok((waits[0] ?? 0) >= 1_000, `Retry-After: ${waits}`);
    assert.equal(second.headers.get("sallyport-replay-of"), (await first).headers.get("sallyport-crossing"));
    assert.deepEqual(seen.splice(0), ["POST /v1/payments"]);
  },
);

test(
  "a key that was used for something else is told as such, and an unknown outcome is the caller's to look at",
  bounded,
  async () => {
    answer = made;
    const call = idempotentFetch(installation.caller().fetch, { wait: async () => {} });
    const headers = { ...post.headers, "idempotency-key": '"used"' };
    assert.equal((await call("/billing/v1/payments", { ...post, headers })).status, 201);
    await assert.rejects(
      call("/billing/v1/payments", { ...post, headers, body: '{"amount":6}' }),
      (error) => error instanceof SallyportFault && error.code === "idempotency-key-reused",
    );
    answer = (_request, response) => response.destroy();
    const unknown = await call("/billing/v1/payments", post);
    assert.equal(unknown.status, 409);
    assert.match(await unknown.text(), /idempotency-outcome-unknown/);
  },
);
