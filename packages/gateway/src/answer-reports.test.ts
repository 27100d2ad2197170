// Answers that may pass all the same: a mismatch that is reported, and one too long to be held, each over real sockets and never with what others do not
// get (docs/inspection.md "Where an answer may pass all the same").
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { referenceOf } from "./record/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import type { TestEstate, TestOperation } from "./testing/test-estate.ts";

const bytesMax = 128 * 1024;
const schemas = {
  "2XX": { type: "object", required: ["name"], properties: { name: { type: "string" }, taxId: { type: "string" } } },
};
const labels = [{ members: { name: 1, taxid: 2 }, scalar: false }, {}, { classes: ["pii"] }] as const;
const read = (name: string, response: TestOperation["response"]): TestOperation => ({
  name,
  method: "GET",
  path: `/${name}`,
  ...(response === undefined ? {} : { response }),
});

function estate(url: string): TestEstate {
  const operations = [
    read("reported", { schemas, mismatch: "report", bytesMax }),
    read("labelled", { schemas, labels, mismatch: "report", long: "pass", bytesMax }),
    read("long", { schemas, long: "pass", bytesMax }),
    read("strict", { schemas, bytesMax }),
    read("decided", { long: "pass", bytesMax }),
  ].map((one) =>
    one.name === "decided"
      ? { ...one, attributes: { owner: { from: "response", name: "$.owner", type: "string" } as const } }
      : one,
  );
  return {
    systems: [
      { id: "crm", url, operations },
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
    ],
    integrations: [
      {
        id: "orders-to-crm",
        from: "orders",
        to: "crm",
        data: [],
        operations: operations.map(({ name }) => ({ name })),
      },
      {
        id: "portal-to-crm",
        from: "portal",
        to: "crm",
        data: ["pii"],
        operations: [{ name: "labelled" }, { name: "long", redact: ["$.taxId"] }],
      },
    ],
  };
}

let upstream: CountingUpstream;
let bed: TestGateway;
let orders: TestCaller;
let portal: TestCaller;
let url = "";
const references: object[] = [];
before(async () => {
  upstream = await startCountingUpstream();
  bed = await startTestGateway({
    estate: estate(upstream.url),
    openLog: openTestLog,
    changes: { observers: [{ crossing: (exchange, { deny }) => void references.push(referenceOf(exchange, deny)) }] },
  });
  url = `${bed.addresses[0]?.url}/crm`;
  orders = new TestCaller(bed.feed, "orders");
  portal = new TestCaller(bed.feed, "portal");
  await orders.learnNonce(url);
  portal.nonce = orders.nonce;
});
after(async () => {
  await bed?.close();
  await upstream?.close();
});

function says(body: string, type = "application/json"): void {
  upstream.answer = (_request, response) => void response.writeHead(200, { "content-type": type }).end(body);
}
const long = JSON.stringify({ name: "n", taxId: "canary-1", filler: "x".repeat(2 * bytesMax) });

test("a mismatch that is reported passes, is on record by its place and without a value, and is counted", async () => {
  says('{"name":7}');
  const answer = await orders.send(`${url}/reported`);
  assert.deepEqual([answer.status, answer.text], [200, '{"name":7}']);
  const { answer: told } = references.at(-1) as { readonly answer?: object }; // made a line above
  assert.deepEqual(told, { mismatch: "#/properties/name/type: type" });
  const [leaf] = await bed.leaves(answer.id);
  assert.ok(leaf?.t === "crossing" && leaf.verdict === "allow");
  assert.match(
    await bed.gateway.metricsText(),
    /sallyport_response_mismatches_total\{operation="crm:reported",status="200"\} 1/,
  );
  says('{"name":"n"}');
  assert.equal((await orders.send(`${url}/reported`)).status, 200);
  assert.equal((references.at(-1) as { readonly answer?: object }).answer, undefined);
  says('{"name":7}');
  assert.equal((await orders.send(`${url}/strict`)).code, "response-schema");
});

test("attack: what is reported still loses what is taken out, and has to be content that can be looked into", async () => {
  says('{"taxId":"canary-1"}');
  const answer = await orders.send(`${url}/labelled`);
  assert.deepEqual([answer.status, answer.text], [200, "{}"]);
  says('"canary-1"');
  assert.ok(!(await orders.send(`${url}/labelled`)).text.includes("canary"));
  for (const [body, type] of [
    ["{", "application/json"],
    ['{"a":1,"a":2}', "application/json"],
    ["<p>", "text/html"],
  ] as const) {
    says(body, type);
    assert.equal((await orders.send(`${url}/reported`)).code, "response-content");
  }
});

test("an answer too long to be held passes as it came, where nothing is taken out of it", async () => {
  says(long);
  const answer = await orders.send(`${url}/long`);
  assert.deepEqual([answer.status, answer.text.length], [200, long.length]);
  assert.equal(answer.text, long);
  says('{"name":7}');
  assert.equal((await orders.send(`${url}/long`)).code, "response-schema", "one that can be held is looked into");
});

test("attack: a long answer with what is labelled, what a grant redacts, or what decides", async () => {
  says(long);
  for (const asked of [
    orders.send(`${url}/labelled`),
    portal.send(`${url}/long`),
    orders.send(`${url}/decided`),
    orders.send(`${url}/strict`),
  ]) {
    const answer = await asked;
    assert.equal(answer.code, "response-too-large");
    assert.ok(!answer.text.includes("canary"));
  }
  says(long, "text/html");
  const answer = await orders.send(`${url}/long`);
  assert.deepEqual([answer.code, answer.text.includes("canary")], ["response-content", false]);
});
