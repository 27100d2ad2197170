// kill -9 of a provider under load, with a real process: every row of docs/resilience.md "A provider that is killed".
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, test } from "node:test";
import { KillableProvider, longBytes } from "./testing/killable-provider.ts";
import { billing, marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { outcomeOf, startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { type Answer, TestCaller } from "./testing/test-caller.ts";

/** What control writes where an estate says nothing. */
const resilience = {
  retries: { attempts: 2, budget: 0.2, least: 10 },
  breaker: { failures: 5, requests: 20, openMs: 5_000, openMsMax: 60_000 },
};
const bounded = { timeout: 600_000 };
const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

async function provider(): Promise<KillableProvider> {
  const one = await KillableProvider.start();
  ending.push(() => one.kill());
  return one;
}

interface Bed {
  readonly bed: TestGateway;
  readonly orders: TestCaller;
  readonly at: (path: string) => string;
}

/** A gateway with the defaults before these. */
async function gatewayBefore(...providers: readonly KillableProvider[]): Promise<Bed> {
  const [first] = providers;
  const url = first?.url ?? "";
  const base = marketplace(url);
  const endpoints = providers.map((one) => ({ url: one.url, weight: 1 }));
  const upstream = { url, allowPrivate: true, endpoints, resilience };
  const served = billing(url);
  // Longer than anybody waits here: what ends was ended.
  const operations =
    served.operations?.map((one) => ({ ...one, changes: { ...one.changes, timeoutMs: 180_000 } })) ?? [];
  const changed = { ...served, operations, changes: { upstream } };
  const systems = base.systems.map((one) => (one.id === "billing" ? changed : one));
  const bed = await startTestGateway({ estate: { ...base, systems }, openLog: openTestLog });
  ending.push(() => bed.close());
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const origin = bed.addresses[0]?.url ?? "";
  await orders.learnNonce(`${origin}/`);
  return { bed, orders, at: (path) => `${origin}/billing/v1/invoices/${path}` };
}

const faceOf = ({ status, code }: Answer): string => `${status} ${code}`;
const upload = ({ orders, at }: Bed, id: string): Promise<Answer> =>
  orders.send(at(`${id}/scan`), { method: "PUT", headers: { "content-type": "application/pdf" }, body: "scan" });

const read = ({ orders, at }: Bed, id: string): Promise<Answer> => orders.send(at(id));

describe("kill -9 of a provider under load, one endpoint", bounded, () => {
  test("reads under way: one more attempt each, and 502 upstream-unreachable while nobody listens", async () => {
    const one = await provider();
    const bed = await gatewayBefore(one);
    // Two and their repeats: one failure less than would leave the endpoint alone.
    const under = [read(bed, "hold"), read(bed, "hold")];
    await one.has("hold", 2);
    await one.kill();
    const answers = await Promise.all(under);
    for (const answer of answers) assert.equal(faceOf(answer), "502 upstream-unreachable", answer.text);
    assert.equal(one.seen.length, 2);
  });

  test("effects under way: 502, sent once and never again, and the record says that nobody knows what became of them", async () => {
    const one = await provider();
    const bed = await gatewayBefore(one);
    const under = Array.from({ length: 3 }, () => upload(bed, "hold"));
    await one.has("hold", 3);
    await one.kill();
    await one.startAgain();
    for (const answer of await Promise.all(under)) {
      assert.equal(faceOf(answer), "502 upstream-unreachable", answer.text);
      const [intent] = await bed.bed.leaves(answer.id);
      assert.ok(intent?.t === "intent" && intent.verdict === "allow");
      assert.equal((await outcomeOf(bed.bed, answer.id)).outcome, "system-error");
    }
    // Whatever reached it since its return, none of them did.
    assert.equal((await read(bed, "1")).status, 200);
    assert.deepEqual(one.seen.filter((line) => line.startsWith("PUT")).length, 3);
  });

  test("an effect that finds nobody listening: 502 at once", async () => {
    const one = await provider();
    const bed = await gatewayBefore(one);
    await one.kill();
    assert.equal(faceOf(await upload(bed, "1")), "502 upstream-unreachable");
    assert.deepEqual(one.seen, []);
  });

  test("a long answer on its way ends before the length it promised", async () => {
    const one = await provider();
    const bed = await gatewayBefore(one);
    const cut = readRaw(bed, "long", longBytes.sent);
    await cut.begun;
    await one.kill();
    const text = await cut.ended;
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.match(text, new RegExp(`content-length: ${longBytes.promised}`, "i"));
    assert.ok(text.length < longBytes.promised, `${text.length} octets`);
    const id = /sallyport-crossing: (\S+)/i.exec(text)?.[1] ?? "";
    assert.equal((await outcomeOf(bed.bed, id)).outcome, "system-error");
  });

  test("after failures in a row 503 upstream-open at once, with Retry-After, until one request finds it back", async () => {
    const one = await provider();
    const bed = await gatewayBefore(one);
    await one.kill();
    const faces: string[] = [];
    let open: Answer | null = null;
    while (open === null && faces.length < 40) {
      const answer = await read(bed, "1");
      faces.push(faceOf(answer));
      if (answer.status === 503) open = answer;
    }
    assert.ok(open !== null, faces.join());
    assert.equal(faceOf(open), "503 upstream-open");
    assert.ok(Number(open.headers["retry-after"]) >= 1);
    assert.ok(
      faces.slice(0, -1).every((face) => face === "502 upstream-unreachable"),
      faces.join(),
    );
    await one.startAgain();
    bed.bed.clock.shiftMs += 60_000;
    bed.bed.feed.heartbeat();
    await bed.orders.learnNonce(bed.at("1"));
    assert.equal((await read(bed, "1")).status, 200);
  });
});

describe("kill -9 of one provider of two under load", bounded, () => {
  test("every read is answered by the other, also those under way; effects under way are not repeated there", async () => {
    const [one, two] = [await provider(), await provider()];
    const bed = await gatewayBefore(one, two);
    const underWay = [read(bed, "hold"), upload(bed, "hold"), read(bed, "hold"), upload(bed, "hold")];
    // Four at a time: what is under way when it dies, and what still finds it gone before it is left alone, is within the budget of repeats.
    const answers: Answer[] = [];
    const ten = Promise.withResolvers<void>();
    const worker = async (): Promise<void> => {
      for (let n = 0; n < 10; n++) {
        answers.push(await read(bed, String(n)));
        if (answers.length === 10) ten.resolve();
      }
    };
    const load = Promise.all([worker(), worker(), worker(), worker()]);
    await ten.promise;
    await one.kill();
    await load;
    assert.equal(answers.length, 40);
    for (const answer of answers) assert.equal(answer.status, 200, answer.text);
    assert.equal((await upload(bed, "after")).status, 200, "an effect that finds nobody goes to the other");
    await two.kill();
    // Held requests of either end now: reads that were repeated at the other were held there, too.
    for (const answer of await Promise.all(underWay))
      assert.match(faceOf(answer), /^50[23] upstream-(?:unreachable|open)$/);
    const puts = [...one.seen, ...two.seen].filter((line) => line === "PUT /v1/invoices/hold/scan");
    assert.equal(puts.length, 2);
  });
});

/** Reads as octets, so that what is missing shows. */
function readRaw({ bed, orders, at }: Bed, id: string, begunBytes: number) {
  const url = new URL(at(id));
  const token = orders.token("billing");
  const head = [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    `Authorization: DPoP ${token}`,
    `DPoP: ${orders.proof("GET", at(id), token)}`,
  ];
  const socket = connect(bed.addresses[0]?.port ?? 0, "127.0.0.1");
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  let text = "";
  const begun = new Promise<void>((resolve) =>
    socket
      .on("data", (octets) => {
        text += octets.toString("latin1");
        if (text.length >= begunBytes) resolve();
      })
      // An answer that is another one is shown, not waited for.
      .once("close", resolve),
  );
  return { begun, ended: once(socket, "close").then(() => text) };
}
