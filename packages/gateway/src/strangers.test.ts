// Rule 13: a stranger learns nothing. Byte for byte the same answer whether or not a route, a system or a grant exists, whichever check failed.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { sendRaw } from "./testing/raw-socket.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

let bench: Bench;
before(async () => {
  bench = await openBench();
});
after(() => bench?.close());

/** Every byte of the answer, but for the crossing's id and the time. */
async function bytesOf(path: string, lines: readonly string[]): Promise<string> {
  const head = [`GET ${path} HTTP/1.1`, `Host: ${new URL(bench.url).host}`, "Connection: close", ...lines];
  const { text, statuses } = await sendRaw(bench.url, `${head.join("\r\n")}\r\n\r\n`);
  assert.deepEqual(statuses, [401], text);
  return text.replaceAll(/gw-test-[0-9A-Z]{26}/g, "ID").replace(/Date: [^\r]+/i, "Date");
}

const routes = [
  "/billing/v1/invoices/1", // granted to somebody
  "/billing/v1/regions/eu", // decided by a policy
  "/billing/v9/nothing", // a system, no operation
  "/ledger/v1/x", // a broken system
  "/nothing/at/all", // no system
  "/",
];

const forged = (): string => bench.orders.token("billing", { signer: generateSigner("ES256").signer });
const credentials: readonly [string, () => readonly string[]][] = [
  ["no credentials", () => []],
  ["Basic", () => ["Authorization: Basic b3JkZXJz"]],
  ["a token that is none", () => ["Authorization: Bearer a.b"]],
  ["a forged token", () => [`Authorization: Bearer ${forged()}`]],
  ["a forged token with a proof", () => [`Authorization: DPoP ${forged()}`, "DPoP: x.y.z"]],
  ["a stolen token without its key", () => [`Authorization: DPoP ${bench.orders.token("billing")}`, "DPoP: x.y.z"]],
];

for (const [name, lines] of credentials) {
  test(`with ${name} every route answers with the same bytes but for the id`, async () => {
    const answers = new Set<string>();
    for (const path of routes) answers.add(await bytesOf(path, lines()));
    assert.equal(answers.size, 1, [...answers].join("\n---\n"));
  });
}

test("a stranger's ninth denial of a window, which is only counted, keeps the connection like the first eight", async () => {
  const head = ["GET /billing/v1/x HTTP/1.1", `Host: ${new URL(bench.url).host}`, "Authorization: Bearer a.b"];
  const request = `${head.join("\r\n")}\r\n\r\n`;
  const { statuses, closed } = await sendRaw(
    bench.url,
    Array.from({ length: 12 }, () => request),
    { until: 12 },
  );
  assert.deepEqual(
    statuses,
    Array.from({ length: 12 }, () => 401),
  );
  assert.equal(closed, false);
});

test("whichever check of a presented token failed, the bytes are the same", async () => {
  const answers = new Set<string>();
  for (const [, lines] of credentials.slice(1)) answers.add(await bytesOf(routes[0] ?? "/", lines()));
  assert.equal(answers.size, 1, [...answers].join("\n---\n"));
});
