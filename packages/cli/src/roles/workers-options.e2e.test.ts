// What is named on the command line holds at every worker thread: a file of places, a Redis for limits, a collector of traces. docs/workers.md.
import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TestRedis } from "@sallyport/gateway/testing/redis-server.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import { debianProgram } from "../../../../tools/debian-packages.ts";
import { type Caller, Installation, isReady, tinyGrant, until } from "../installation.test-support.ts";
import { readEndpoints } from "./endpoints.ts";

const bounded = { timeout: 240_000 };
/** As many connections at once: that all of them come to one of two workers happens once in two million times. */
const crowd = 22;
const burst = 1_200;
/** Crossings that passed so far, of all tests: the burst is used up by all of them together. */
let passed = 0;
const home = `@id("home") forbid (principal, action == Action::"billing:invoice.read", resource) unless { context has country && context.country == "DE" };\n`;

let installation: Installation;
let redis: TestRedis;
let collector: Server;
let spans = "";
let caller: Caller;
let statusUrl = "";
const file = () => join(installation.root, "countries.mmdb");

function placeAll(country: string): void {
  const bytes = geoFileBytes([{ network: "127.0.0.0/8", record: { country: { iso_code: country } } }]);
  writeFileSync(`${file()}.new`, bytes);
  renameSync(`${file()}.new`, file());
}

before(async () => {
  redis = await TestRedis.start({ program: debianProgram("redis-server") });
  collector = createServer((request, response) => {
    request.setEncoding("utf8").on("data", (chunk: string) => {
      spans += chunk;
    });
    request.once("end", () => response.writeHead(200, { "content-type": "application/json" }).end("{}"));
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  const address = collector.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  installation = await Installation.open();
  placeAll("DE");
  installation.writeEstate({
    "policies/home.cedar": home,
    "integrations/orders-to-billing.yaml": tinyGrant("10s").replace(
      /^ {2}- .*$/m,
      `  - { per: client, rate: 1/h, burst: ${burst}, across: gateways }`,
    ),
  });
  const data = installation.data("control");
  const all = installation.serve(
    "all",
    [
      ...installation.controlArguments(),
      ...["--data", data, "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--workers", "2"],
      ...["--grace", "0s", "--geo-file", file(), "--limits-store", "LIMITS"],
      ...["--traces", `http://127.0.0.1:${port}/v1/traces`, "--trace-ratio", "1"],
    ],
    { LIMITS: `${redis.url}?wait=1000ms` },
  );
  await all.line(isReady);
  installation.trustRoots(join(data, "control", "ca"));
  caller = installation.caller();
  statusUrl = readEndpoints(data)?.statusUrl ?? "";
}, bounded);
after(async () => {
  await installation?.close();
  await redis?.close();
  collector?.closeAllConnections();
  collector?.close();
});

const metrics = async (): Promise<string> => (await fetch(`${statusUrl}/metrics`)).text();
async function together(): Promise<Response[]> {
  const answers = await Promise.all(Array.from({ length: crowd }, () => caller.fetch("/billing/v1/invoices/1")));
  passed += answers.filter(({ status }) => status === 200).length;
  return answers;
}
const statuses = (all: readonly Response[]) => new Set(all.map(({ status }) => status));

test("the two are one gateway at Redis, and every crossing of both reaches the collector", bounded, async () => {
  await until("limits are shared by both", async () => /^sallyport_shared_limits_up 1$/m.test(await metrics()));
  const answers = await together();
  assert.deepEqual(statuses(answers), new Set([200]));
  assert.match(await metrics(), /^sallyport_shared_limits_gateways 1$/m);
  const ids = answers.map(({ headers }) => headers.get("sallyport-crossing") ?? "none");
  await until("the spans of all", () => ids.every((id) => spans.includes(id)));
  assert.match(await metrics(), /^sallyport_traces_lost 0$/m);
});

test("a new file of places holds at both workers, and one that is none at neither", bounded, async () => {
  placeAll("AT");
  await until("all are refused", async () => statuses(await together()).difference(new Set([403, 429])).size === 0);
  const refused = await together();
  assert.deepEqual(statuses(refused), new Set([403]), "by the policy, not by the limit");
  writeFileSync(`${file()}.new`, "<html>");
  renameSync(`${file()}.new`, file());
  placeAll("DE");
  await until("all pass again", async () => statuses(await together()).difference(new Set([200, 429])).size === 0);
});

test(
  "attack: one burst passes over both workers, however many connections ask; without Redis no more than that either",
  bounded,
  async () => {
    await until("the burst is used up", async () => (await together()).every(({ status }) => status === 429));
    assert.ok(passed > 0 && passed <= burst, `${passed} passed`);
    assert.equal(installation.upstreamRequests, passed, "the provider's own count");
    await redis.kill();
    await until("the node says that it counts alone", async () =>
      (await (await fetch(`${statusUrl}/readyz`)).text()).includes("limits across gateways cannot be shared at"),
    );
    assert.deepEqual(statuses(await together()), new Set([429]), "what passed before was counted here too");
  },
);
