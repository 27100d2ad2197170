// `call` and `proxy` against a whole installation: real processes, real tokens, an upstream that says what it saw.
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { verifyReceipt } from "@sallyport/sdk/receipt.ts";
import { Installation, isReady } from "../installation.test-support.ts";
import { type Ended, runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
const main = fileURLToPath(new URL("../main.ts", import.meta.url));
let installation: Installation;
let upstream: Server;
const seen: { method: string; url: string; headers: IncomingMessage["headers"]; bytes: number }[] = [];
const children: ChildProcess[] = [];
const data = () => installation.data("control");
const keyFile = () => join(data(), "clients", "orders.key.pem");

/** Answers with what it saw; `/v1/long` streams a megabyte, `/v1/absent` says no. */
function answer(request: IncomingMessage, respond: ServerResponse): void {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.once("end", () => {
    seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, bytes });
    if (request.url === "/v1/invoices/absent") respond.writeHead(404, { "content-type": "text/plain" }).end("no such");
    else if (request.url === "/v1/invoices/long") respond.writeHead(200).end(Buffer.alloc(1024 * 1024, "x"));
    else
      respond.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ url: request.url, bytes }));
  });
}

before(async () => {
  upstream = createServer(answer);
  await once(upstream.listen(0, "127.0.0.1"), "listening");
  installation = await Installation.open();
  const { port } = upstream.address() as AddressInfo;
  installation.writeEstate({
    "systems/billing.yaml": `system: billing\nurl: http://127.0.0.1:${port}\nallowPrivate: true\noperations:\n  invoice.create:\n    match: POST /v1/invoices\n    body: { size: 4MiB }\n  invoice.refund: POST /v1/refunds\n  invoice.read: GET /v1/invoices/{id}\n`,
    "systems/ledger.yaml": `system: ledger\nurl: http://127.0.0.1:${port}\nallowPrivate: true\noperations:\n  entry.read: GET /v1/entries/{id}\n`,
    "integrations/orders-to-billing.yaml":
      "integration: orders-to-billing\nfrom: orders\nto: billing\npurpose: Charge a customer when an order ships\noperations: [invoice.create, invoice.read]\n",
  });
  mkdirSync(join(data(), "clients"), { recursive: true, mode: 0o700 });
  writeFileSync(keyFile(), installation.clientKey.pem, { mode: 0o600 });
  const { gateway } = installation.ports;
  const listen = ["--data", data(), "--listen", `public=127.0.0.1:${gateway}`, "--grace", "0s", "--server-timing"];
  await installation.serve("all", [...installation.controlArguments(), ...listen]).line(isReady);
}, bounded);
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await installation.close();
  upstream.closeAllConnections();
  await new Promise((resolve) => upstream.close(resolve));
});

const call = (...words: string[]): Promise<Ended> => runBinary(["--json", "call", ...words, "--data", data()]);

test("call finds the operation, proves the only client that could, and shows every step timed", bounded, async () => {
  const { exit, out, err } = await call("billing:invoice.read", "id=a b", "page==2");
  assert.deepEqual([exit, err], [0, ""]);
  const report = JSON.parse(out);
  assert.deepEqual([report.as, report.status, report.denial], ["orders", 200, null]);
  assert.deepEqual(report.body, { url: "/v1/invoices/a%20b?page=2", bytes: 0 });
  const steps: string[] = report.steps.map(({ step }: { step: string }) => step);
  for (const step of ["issuer metadata", "token", "nonce of the gateway", "crossing: first byte", "crossing: body"])
    assert.ok(steps.includes(step), `${step} in ${steps.join(", ")}`);
  const stages = report.steps
    .filter(({ at }: { at: string }) => at === "gateway")
    .map(({ step }: { step: string }) => step);
  for (const stage of ["receive", "identify", "forward"])
    assert.ok(stages.includes(stage), `${stage} in ${stages.join(", ")}`);
  assert.ok(!JSON.stringify(report).includes("eyJ"), "no token is shown");
});

test("a body is made of arguments or read from standard input, and --repeat shows the spread", bounded, async () => {
  const made = await call("billing:invoice.create", "customer=c-7", "amount:=12", "--repeat", "3");
  const { body, repeated } = JSON.parse(made.out);
  assert.equal(body.bytes, '{"customer":"c-7","amount":12}'.length);
  assert.deepEqual([repeated.calls, repeated.statuses], [3, { "200": 3 }]);
  const piped = await new Promise<string>((resolve) => {
    const argv = [main, "--json", "call", "billing:invoice.create", "-", "--data", data()];
    execFile(process.execPath, argv, (_error, out) => resolve(out)).stdin?.end('{"a": [1]}');
  });
  assert.equal(JSON.parse(piped).body.bytes, 10);
});

test(
  "a denial is exit 1 with its code, the fix and the line that says why, and why says the rest",
  bounded,
  async () => {
    const before = seen.length;
    const { exit, out, err } = await call("billing:invoice.refund");
    assert.equal(exit, 1);
    const report = JSON.parse(out);
    assert.deepEqual([report.status, report.denial.code, seen.length], [403, "not-granted", before]);
    const end = JSON.parse(err);
    assert.match(end.error, /^denied by the gateway, not-granted: Integration orders-to-billing does not grant/);
    assert.equal(end.fix, `sallyport why ${report.crossing}`);
    const operator = ["--operator", join(data(), "control", "operator.key.json")];
    const why = await runBinary([...operator, "why", String(report.crossing)]);
    assert.equal(why.exit, 1);
    assert.match(why.out, /nearest +orders-to-billing/);
    assert.match(why.out, /integrations\/orders-to-billing.yaml:\d+/);
  },
);

test("why --from --op asks control what would be, with the states operators decided", bounded, async () => {
  const operator = ["--operator", join(data(), "control", "operator.key.json")];
  const ask = (...words: string[]) => runBinary([...operator, "why", "--from", "orders", "--op", ...words]);
  const allowed = await ask("billing:invoice.read");
  assert.deepEqual([allowed.exit, allowed.err], [0, ""]);
  const reason = ["--reason", "a test"];
  await runBinary([...operator, "integration", "suspend", "orders-to-billing", ...reason]);
  const suspended = await ask("billing:invoice.read");
  await runBinary([...operator, "integration", "activate", "orders-to-billing", ...reason]);
  assert.equal(suspended.exit, 1);
  assert.match(
    suspended.out,
    /denied at bind: not-active[\s\S]*fix: integrations\/orders-to-billing.yaml:1: sallyport integration activate/,
  );
  const wrong = await ask("billing:invoice.raed");
  assert.deepEqual([wrong.exit, wrong.out], [2, ""]);
  assert.match(wrong.err, /invoice.read/);
});

test(
  "call --receipt saves what the SDK and check-proof verify offline, of an effect and of a denial",
  bounded,
  async () => {
    const log = join(data(), "gateway", "log");
    const effect = join(data(), "effect.receipt");
    const denial = join(data(), "denial.receipt");
    const made = await call("billing:invoice.create", "amount:=12", "--receipt", effect);
    const denied = await call("billing:invoice.refund", "amount:=12", "--receipt", denial);
    assert.deepEqual([made.exit, denied.exit], [0, 1], made.err + denied.err);
    const verified = await runBinary(["--json", "audit", "verify", log, "--live"]);
    const { verifierKey } = JSON.parse(verified.out);
    for (const [file, { out }, verdict] of [
      [effect, made, "allow"],
      [denial, denied, "deny"],
    ] as const) {
      const { crossing } = JSON.parse(out);
      const found = verifyReceipt(readFileSync(file, "utf8"), { keys: [verifierKey], crossing });
      assert.ok(found.kind === "ok", JSON.stringify(found));
      assert.equal(found.decided.verdict, verdict);
      const checked = await runBinary(["audit", "check-proof", file, "--key", verifierKey, "--crossing", crossing]);
      assert.equal(checked.exit, 0, checked.err);
      // What an operator makes from the log is the same, or is so under a later checkpoint.
      const proven = await runBinary(["audit", "prove", crossing, "--log", log, "--out", `${file}.operator`]);
      assert.equal(proven.exit, 0, proven.err);
      const again = verifyReceipt(readFileSync(`${file}.operator`, "utf8"), { keys: [verifierKey] });
      assert.ok(again.kind === "ok");
      assert.deepEqual(
        again.proven.map(({ leaf }) => leaf),
        found.proven.map(({ leaf }) => leaf),
      );
    }
    const before = seen.length;
    const taken = await call("billing:invoice.create", "amount:=12", "--receipt", effect);
    const nowhere = await call("billing:invoice.create", "amount:=12", "--receipt", join(data(), "none", "a.receipt"));
    assert.deepEqual(
      [taken.exit, nowhere.exit, seen.length - before],
      [2, 2, 0],
      "nothing is called for a receipt that cannot be saved",
    );
  },
);

test("what the provider refuses is the provider's answer, and says so", bounded, async () => {
  const { exit, out, err } = await call("billing:invoice.read", "id=absent");
  assert.deepEqual([exit, JSON.parse(out).body], [1, "no such"]);
  assert.match(JSON.parse(err).error, /the provider answered 404/);
});

test("a slip of the hand is exit 2 with the nearest name; nothing running is exit 3", bounded, async () => {
  const lines: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["billing:invoice.raed", "id=1"], 2, /did you mean `billing:invoice.read`/],
    [["biling:invoice.read", "id=1"], 2, /did you mean billing:invoice.read/],
    [["billing:invoice.read"], 2, /add id=<value>/],
    [["billing:invoice.read", "id=1", "--environment", "staging"], 2, /production/],
    [["billing:invoice.read", "id=1", "--as", "ordres"], 2, /did you mean `orders`/],
    [["billing:invoice.read", "id=1", "--gateway", "http://127.0.0.1:1"], 2, /https/],
    [["billing:invoice.read", "id=1", "--gateway", "https://127.0.0.1:1", "--ca", rootFile()], 3, /--gateway/],
  ];
  const ended = await Promise.all(lines.map(([words]) => call(...words)));
  for (const [i, { exit, err, out }] of ended.entries()) {
    assert.deepEqual([exit, out], [lines[i]?.[1], ""], `${lines[i]?.[0].join(" ")} ${err}`);
    assert.match(err, lines[i]?.[2] ?? /-/);
  }
  const nothing = await runBinary(["call", "billing:invoice.read", "id=1", "--data", installation.data("nothing")]);
  assert.equal(nothing.exit, 3);
  assert.match(nothing.err, /nothing runs on .*\n.*sallyport serve/);
});

const rootFile = () => join(data(), "control", "ca", "production.pem");

test(
  "attack: a key file that others can read is refused, and a key that is not declared gets no token",
  bounded,
  async () => {
    chmodSync(keyFile(), 0o644);
    const open = await call("billing:invoice.read", "id=1");
    chmodSync(keyFile(), 0o600);
    assert.equal(open.exit, 2);
    assert.match(open.err, /chmod 600/);
    const other = join(installation.root, "other.pem");
    writeFileSync(other, generateClientKey().pem, { mode: 0o600 });
    const strange = await call("billing:invoice.read", "id=1", "--key", other);
    assert.deepEqual([strange.exit, strange.out], [1, ""]);
    assert.match(strange.err, /invalid_client.*identity\.keys/);
  },
);

test("a remote gateway is called with --gateway, --issuer, --ca, --config and --key alone", bounded, async () => {
  const { identity, gateway } = installation.ports;
  const roots = join(installation.root, "roots.pem");
  const { readFileSync } = await import("node:fs");
  const pems = ["control", "production"].map((name) =>
    readFileSync(join(data(), "control", "ca", `${name}.pem`), "utf8"),
  );
  writeFileSync(roots, pems.join(""));
  const { exit, out, err } = await runBinary([
    ...["--json", "call", "billing:invoice.read", "id=1", "--data", installation.data("nothing"), "--ca", roots],
    ...["--gateway", `https://127.0.0.1:${gateway}`, "--issuer", `https://127.0.0.1:${identity}/main/production`],
    ...["--config", installation.estate, "--key", keyFile(), "--as", "orders"],
  ]);
  assert.deepEqual([exit, err], [0, ""]);
  assert.equal(JSON.parse(out).status, 200);
});

interface Proxy {
  readonly url: string;
  readonly lines: Readonly<Record<string, unknown>>[];
  stop(): Promise<number | null>;
}

async function startProxy(...more: string[]): Promise<Proxy> {
  const argv = [main, "--json", "proxy", "--as", "orders", "--listen", "127.0.0.1:0", "--data", data(), ...more];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines: Readonly<Record<string, unknown>>[] = [];
  const reader = createInterface(child.stdout);
  reader.on("line", (line) => lines.push(JSON.parse(line)));
  await once(reader, "line");
  return {
    url: String(lines[0]?.["url"]),
    lines,
    stop: async () => {
      // Until the last line is read, which may be after its end.
      const gone = Promise.all([once(child, "close"), once(reader, "close")]);
      child.kill("SIGTERM");
      const [[code]] = await gone;
      return code;
    },
  };
}

interface Got {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingMessage["headers"];
}

function get(
  url: string | { socketPath: string; path: string },
  options: object = {},
  body?: Uint8Array,
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const done = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          text: Buffer.concat(chunks).toString(),
          headers: response.headers,
        }),
      );
    };
    const made = typeof url === "string" ? httpRequest(url, options, done) : httpRequest({ ...url, ...options }, done);
    made.once("error", reject).end(body);
  });
}

test(
  "the proxy carries plain HTTP: reads, effects and bodies of every length, proven as the client",
  bounded,
  async () => {
    const proxy = await startProxy();
    const read = await get(`${proxy.url}/billing/v1/invoices/1?x=1`, { headers: { "x-trace": "t", te: "trailers" } });
    assert.equal(read.status, 200, read.text);
    const last = seen.at(-1);
    assert.deepEqual(
      [last?.url, last?.headers["x-trace"], last?.headers["authorization"]],
      ["/v1/invoices/1?x=1", "t", undefined],
    );
    assert.ok(read.headers["sallyport-crossing"]);
    assert.equal(read.headers["dpop-nonce"], undefined);
    const json = { "content-type": "application/json" };
    for (const bytes of [2, 60_000, 100_000, 3_000_000]) {
      const body = Buffer.from(JSON.stringify("x".repeat(bytes - 2)));
      const declared = await get(`${proxy.url}/billing/v1/invoices`, { method: "POST", headers: json }, body);
      assert.deepEqual([declared.status, seen.at(-1)?.bytes], [200, bytes], declared.text);
      const chunked = { ...json, "transfer-encoding": "chunked" };
      const streamed = await get(`${proxy.url}/billing/v1/invoices`, { method: "POST", headers: chunked }, body);
      assert.deepEqual([streamed.status, seen.at(-1)?.bytes], [200, bytes], streamed.text);
    }
    assert.equal((await get(`${proxy.url}/billing/v1/invoices/long`)).text.length, 1024 * 1024);
    const many = await Promise.all(Array.from({ length: 40 }, (_, i) => get(`${proxy.url}/billing/v1/invoices/${i}`)));
    assert.deepEqual(new Set(many.map(({ status }) => status)), new Set([200]));
    assert.equal(await proxy.stop(), 0);
    const requests = proxy.lines.filter(({ event }) => event === "request");
    assert.equal(requests.length, 50);
    assert.ok(requests.every(({ crossing }) => typeof crossing === "string"));
    assert.ok(!JSON.stringify(proxy.lines).includes("x=1"), "no query is logged");
  },
);

test(
  "the proxy refuses pages, rebound names, foreign credentials and paths of nobody, before anything is sent",
  bounded,
  async () => {
    const proxy = await startProxy("--only", "billing");
    const before = seen.length;
    const invoice = `${proxy.url}/billing/v1/invoices/1`;
    const refused: readonly (readonly [number, Promise<Got>])[] = [
      [421, get(invoice, { headers: { host: "evil.example" } })],
      [403, get(invoice, { headers: { origin: "https://evil.example" } })],
      [403, get(invoice, { headers: { "sec-fetch-site": "cross-site" } })],
      [400, get(invoice, { headers: { authorization: "Bearer x" } })],
      [404, get(`${proxy.url}/ledger/v1/entries/1`)],
    ];
    for (const [status, asked] of refused) {
      const { status: got, text } = await asked;
      assert.equal(got, status, text);
      assert.ok(JSON.parse(text).fix.length > 0);
    }
    assert.equal(seen.length, before);
    assert.equal((await get(invoice)).status, 200);
    const denied = await get(`${proxy.url}/billing/v1/refunds`, { method: "POST" });
    assert.equal(denied.status, 403);
    assert.equal(JSON.parse(denied.text).code, "not-granted");
    assert.equal(await proxy.stop(), 0);
  },
);

test(
  "on a Unix socket only its owner reaches the proxy, and a shared secret is asked for where one is set",
  bounded,
  async () => {
    const socketPath = join(installation.root, "p.sock");
    const secret = join(installation.root, "secret");
    writeFileSync(secret, "0123456789abcdef0123\n", { mode: 0o600 });
    const proxy = await startProxy("--listen", `unix:${socketPath}`, "--token-file", secret);
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
    const place = { socketPath, path: "/billing/v1/invoices/1" };
    assert.equal((await get(place)).status, 403);
    const headers = { "sallyport-proxy-token": "0123456789abcdef0123" };
    assert.equal((await get(place, { headers })).status, 200);
    assert.equal(seen.at(-1)?.headers["sallyport-proxy-token"], undefined);
    assert.equal(await proxy.stop(), 0);
  },
);

test("attack: the proxy on an address that others reach is refused", bounded, async () => {
  const listens = ["0.0.0.0:9000", "[::]:9000", "192.0.2.1:9000", "example.com:9000", "unix:relative", ":70000"];
  const ended = await Promise.all(listens.map((listen) => runBinary(["proxy", "--listen", listen, "--data", data()])));
  for (const [i, { exit, err }] of ended.entries()) {
    assert.equal(exit, 2, `--listen ${listens[i]}`);
    assert.match(err, /this machine alone|path of a socket/);
  }
});
