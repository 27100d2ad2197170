// Classes of mistakes that gateways were told of by advisories, one test for each that no other file has: docs/gateway-attacks.md has them all.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { DownMessage } from "@sallyport/protocol/channel/messages.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { observe, observedEstate } from "./testing/observed-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { problemsOf, sendRaw } from "./testing/raw-socket.ts";
import { startTestGateway, until } from "./testing/start-test-gateway.ts";
import { type Answer, call, TestCaller } from "./testing/test-caller.ts";
import { TestFeed } from "./testing/test-estate.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
before(async () => {
  bench = await openBench();
});
after(() => bench?.close());

/** The public code and that of the record; the provider must not have been asked. */
async function refused(send: () => Promise<Answer>, upstream: CountingUpstream = bench.upstream): Promise<string> {
  const reached = upstream.seen.length;
  const { status, code } = await send();
  assert.equal(upstream.seen.length, reached, "the provider was reached");
  return `${status} ${code}`;
}

/** Sends the rest once it is known, and reads until the end. */
async function sendInTwo(port: number, begin: string, rest: Promise<string>): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (octets) => {
    text += octets.toString("latin1");
  });
  socket.write(begin);
  socket.write(await rest);
  await once(socket, "close");
  return text;
}

describe("attack: a field that says which request this is (CVE-2023-27487, CVE-2021-43557)", () => {
  const fields = [
    ...["x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-forwarded-uri", "x-forwarded-path"],
    ...["x-forwarded-prefix", "x-http-method-override", "x-http-method", "x-method-override", "x-original-method"],
    ...["x-original-uri", "x-accel-redirect", "x-envoy-decorator-operation", "x-forwarded-host", "x-host"],
  ];
  for (const name of fields)
    test(`${name} chooses neither the operation nor what the provider is asked`, async () => {
      const value = name.includes("method") ? "DELETE" : "/billing/v1/secrets/1";
      const answer = await bench.orders.send(bench.invoice, { headers: { [name]: value } });
      assert.equal(answer.status, 200, answer.text);
      const seen = bench.upstream.seen.at(-1);
      assert.deepEqual([seen?.method, seen?.url], ["GET", "/v1/invoices/1"]);
      const [leaf] = await bench.bed.leaves(answer.id);
      assert.ok(leaf?.t === "crossing");
      assert.equal(leaf.operation, "billing:invoice.read");
      // Nobody behind us may believe it either.
      if (name !== "x-host" && name !== "x-accel-redirect") assert.equal(seen?.headers[name], undefined);
    });

  test("nor does it give what was not granted", async () => {
    const send = () =>
      bench.orders.send(bench.invoice, { method: "DELETE", headers: { "x-http-method-override": "GET" } });
    assert.equal(await refused(send), "403 not-granted");
  });
});

test("a host in capitals is the same host", async () => {
  const upstream = await startCountingUpstream();
  const { systems, ...rest } = marketplace(upstream.url);
  const named = systems.map((one) =>
    one.id === "billing" ? { ...one, changes: { public: { host: "api.acme.example", path: "/", strip: true } } } : one,
  );
  const bed = await startTestGateway({ estate: { ...rest, systems: named }, openLog: openTestLog });
  try {
    const orders = new TestCaller(bed.feed, "orders");
    const own = bed.addresses[0]?.url ?? "";
    await orders.learnNonce(`${own}/`);
    const asked = async (path: string, host: string) => {
      const token = orders.token("billing");
      const headers = { host, authorization: `DPoP ${token}`, dpop: orders.proof("GET", `${own}${path}`, token) };
      const { status, code } = await call(`${own}${path}`, { headers });
      return [status, code];
    };
    const secret = "/v1/regions/us";
    for (const host of ["api.acme.example", "API.Acme.EXAMPLE", "api.acme.example:80"]) {
      assert.deepEqual(await asked("/v1/invoices/1", host), [200, undefined], host);
      // The policy that forbids it is that of the same operation.
      assert.deepEqual(await asked(secret, host), [403, "policy-denied"], host);
    }
    for (const host of ["api.acme.example.", "api.acme.example#", "api.acme.example@x", "api.acme.example/x"])
      assert.deepEqual(await asked("/v1/invoices/1", host), [400, "bad-host"], host);
  } finally {
    await bed.close();
    await upstream.close();
  }
});

describe("attack: a line end on its way into what the provider is asked (APISIX #13787)", () => {
  const hidden = "%20HTTP/1.1%0d%0ahost:%20x%0d%0a%0d%0aGET%20/v1/secrets/1";
  const at = (target: string) => async (): Promise<Answer> => {
    const token = bench.orders.token("billing");
    const proof = bench.orders.proof("GET", `${bench.url}${target.split("?")[0]}`, token);
    return call(`${bench.url}${target}`, { headers: { authorization: `DPoP ${token}`, dpop: proof } });
  };

  for (const escaped of [hidden, "%0a", "%0D", "%09", "%00", "%250d%250a", "%c4%8a%c4%8d%0a", "%e5%98%8a%0d"])
    test(`in a path, escaped: ${escaped}`, async () => {
      const code = await refused(at(`/billing/v1/invoices/1${escaped}`));
      assert.equal(code, "400 ambiguous-path");
    });

  test("letters whose last octet is a line end are letters, and go on as they came", async () => {
    await bench.orders.learnNonce(`${bench.url}/`);
    const answer = await at("/billing/v1/invoices/%c4%8a%c4%8d")();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(bench.upstream.seen.at(-1)?.url, "/v1/invoices/%C4%8A%C4%8D");
  });

  test("in a query it stays escaped: the provider is asked once, on one line", async () => {
    const answer = await at(`/billing/v1/invoices/1?next=${hidden}`)();
    assert.equal(answer.status, 200, answer.text);
    const seen = bench.upstream.seen.at(-1);
    assert.equal(seen?.url, `/v1/invoices/1?next=${hidden}`);
    assert.equal(seen?.headers["sallyport-crossing"], answer.id);
  });

  test("raw, in the target and in fields", async () => {
    const host = `Host: ${new URL(bench.url).host}`;
    const reached = bench.upstream.seen.length;
    for (const text of [
      `GET /billing/v1/invoices/1?a=\nb HTTP/1.1\r\n${host}\r\n\r\n`,
      `GET /billing/v1/invoices/1\r HTTP/1.1\r\n${host}\r\n\r\n`,
      `GET /billing/v1/invoices/1 HTTP/1.1\r\n${host}\r\nX-A: b\nX-C: d\r\n\r\n`,
      `GET /billing/v1/invoices/1 HTTP/1.1\r\n${host}\nX-A: b\r\n\r\n`,
    ]) {
      const answer = await sendRaw(bench.url, text);
      assert.match(problemsOf(answer).join(), /^400 bad-(?:request-line|header|host)$/, JSON.stringify(text));
    }
    assert.equal(bench.upstream.seen.length, reached);
  });
});

describe("attack: what a gateway says about itself, where callers are (CVE-2025-24030, CVE-2022-24797)", () => {
  const paths = [
    ..."/metrics /stats /status /health /healthz /readyz /livez /admin /api /console /config_dump /server_info".split(
      " ",
    ),
    ..."/debug/pprof /debug/vars /.env /.well-known/openid-configuration /.well-known/jwks.json /apisix/admin".split(
      " ",
    ),
    ..."/nginx_status /server-status /actuator/env /quitquitquit /authz /decide /channel/v1/stream".split(" "),
  ];
  for (const path of paths)
    test(`${path} is a path as any other`, async () => {
      const plain = await call(`${bench.url}/nowhere`);
      const face = ({ status, text, id }: Answer) => [status, text.replaceAll(id, "ID")];
      assert.deepEqual(face(await call(`${bench.url}${path}`)), face(plain));
      assert.deepEqual(face(await call(`${bench.url}${path}`, { method: "POST" })), face(plain));
      const known = () => bench.orders.send(`${bench.url}${path}`, { token: bench.orders.token("billing") });
      assert.equal(await refused(known), "404 no-route");
    });
});

test("attack: a provider that is the gateway itself: the crossing comes back as a stranger's, and goes no further", async () => {
  const upstream = await startCountingUpstream();
  const bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog });
  try {
    const own = bed.addresses[0]?.url ?? "";
    const base = marketplace(upstream.url);
    await bed.publish({
      ...base,
      systems: [
        ...base.systems,
        {
          id: "mirror",
          url: `${own}/billing`,
          operations: [{ name: "any", method: "GET", path: "/v1/invoices/{id}" }],
        },
      ],
      integrations: [
        ...base.integrations,
        { id: "orders-to-mirror", from: "orders", to: "mirror", operations: [{ name: "any" }] },
      ],
    });
    const orders = new TestCaller(bed.feed, "orders");
    const answer = await orders.send(`${own}/mirror/v1/invoices/1`);
    assert.equal(answer.status, 401, answer.text);
    assert.equal(upstream.seen.length, 0);
  } finally {
    await bed.close();
    await upstream.close();
  }
});

test("attack: the route is what it was when policies were asked: a snapshot that comes meanwhile leads nobody elsewhere (Envoy, route cache cleared behind ext_authz)", async () => {
  const [first, second] = await Promise.all([startCountingUpstream(), startCountingUpstream()]);
  const bed = await startTestGateway({ estate: marketplace(first.url), openLog: openTestLog });
  try {
    const url = `${bed.addresses[0]?.url}/billing/v1/invoices/1/scan`;
    const orders = new TestCaller(bed.feed, "orders");
    await orders.learnNonce(`${bed.addresses[0]?.url}/`);
    const token = orders.token("billing");
    const content = "p".repeat(64);
    const head = [
      `PUT ${new URL(url).pathname} HTTP/1.1`,
      `Host: ${new URL(url).host}`,
      `Authorization: DPoP ${token}`,
      `DPoP: ${orders.proof("PUT", url, token)}`,
      "Content-Type: application/pdf",
      `Content-Length: ${content.length * 2}`,
      "Connection: close",
    ];
    let send: (text: string) => void = () => {};
    const rest = new Promise<string>((resolve) => {
      send = resolve;
    });
    const answered = sendInTwo(bed.addresses[0]?.port ?? 0, `${head.join("\r\n")}\r\n\r\n${content}`, rest);
    await until(() => first.seen.length === 1, "the first provider has the head");
    await bed.publish(marketplace(second.url));
    send(content);
    assert.match(await answered, /^HTTP\/1\.1 200 /);
    assert.deepEqual([first.seen.map(({ body }) => body), second.seen.length], [[content + content], 0]);
    // The next one goes where it should now.
    assert.equal((await orders.send(url.replace("/scan", ""))).status, 200);
    assert.deepEqual([first.seen.length, second.seen.length], [1, 1]);
  } finally {
    await bed.close();
    await first.close();
    await second.close();
  }
});

test("attack: a hundred at once get what a rate has left, and no more (APISIX #13574)", async () => {
  const { portal } = bench;
  await portal.learnNonce(bench.invoice);
  const reached = bench.upstream.seen.length;
  const answers = await Promise.all(Array.from({ length: 100 }, () => portal.send(bench.invoice)));
  const passed = answers.filter(({ status }) => status === 200).length;
  assert.deepEqual([passed, bench.upstream.seen.length - reached], [3, 3]);
  assert.equal(answers.filter(({ status }) => status === 429).length, 97);
});

test("attack: words of a token that nobody verified are told to no provider, also where nothing is enforced (Envoy #43630)", async () => {
  const upstream = await startCountingUpstream();
  const estate = observedEstate(upstream.url, { billing: observe(Date.now() + 3_600_000) });
  const bed = await startTestGateway({ estate, openLog: openTestLog });
  try {
    const forged = new TestCaller(bed.feed, "orders").token("billing", {
      sub: "canary-subject",
      signer: generateSigner("ES256").signer,
    });
    const answer = await call(`${bed.addresses[0]?.url}/billing/v1/invoices/1`, {
      headers: { authorization: `Bearer ${forged}`, "x-jwt-payload": "canary-subject" },
    });
    assert.equal(answer.status, 200, answer.text);
    const seen = upstream.seen.at(-1);
    assert.equal(seen?.headers["sallyport-identity"], undefined);
    const told = JSON.stringify((seen?.rawHeaders ?? []).filter((text) => !text.includes(forged)));
    assert.ok(!told.includes("canary-subject"), told);
    const [leaf] = await bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    assert.deepEqual([leaf.caller, leaf.subject], [null, null]);
  } finally {
    await bed.close();
    await upstream.close();
  }
});

/** Control, which gives everything but keys. */
class KeylessFeed extends TestFeed {
  override push(message: DownMessage): void {
    if (message.t !== "keys") super.push(message);
  }
}

test("attack: without a key of the issuer no token is good, and there is no key to begin with (CVE-2026-31837)", async () => {
  const upstream = await startCountingUpstream();
  const feed = new KeylessFeed(Date.now);
  const bed = await startTestGateway({
    estate: marketplace(upstream.url),
    openLog: openTestLog,
    feed,
    unpublished: true,
  });
  try {
    await bed.publish(marketplace(upstream.url));
    const orders = new TestCaller(feed, "orders");
    assert.match(
      await refused(() => orders.send(`${bed.addresses[0]?.url}/billing/v1/invoices/1`), upstream),
      /^(?:401|503) /,
    );
    assert.equal(bed.gateway.readiness().ready, false);
    assert.match(JSON.stringify(bed.gateway.readiness()), /keys/);
  } finally {
    await bed.close();
    await upstream.close();
  }
});
