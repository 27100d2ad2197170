// What a running installation says of itself: its start line, endpoints.json, `status` and `doctor`, over one started role all.
import assert from "node:assert/strict";
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import type { CheckResult } from "../doctor/check-result.ts";
import { Installation, isReady, type Served, tinyGrant, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";
import { readEndpoints } from "./endpoints.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
let all: Served;
/** Connections to the collector that the environment names, and no option. */
let collected = 0;
const collector = createServer((socket) => {
  collected += 1;
  socket.destroy();
});
let askedToStartAt = 0;
const data = () => installation.data("control");
const start = () => {
  const listen = `public=127.0.0.1:${installation.ports.gateway}`;
  const arguments_ = [...installation.controlArguments(), "--data", data(), "--listen", listen, "--grace", "0s"];
  const address = collector.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return installation.serve("all", arguments_, {
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
  });
};

before(async () => {
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  installation = await Installation.open();
  installation.writeEstate({
    "integrations/orders-to-billing.yaml": `${tinyGrant("10s")}review: 2026-01-31\n`,
    "systems/stock.yaml": "system: stock\nurl: http://10.0.0.9:8080\noperations:\n  item.read: GET /items/{id}\n",
  });
  askedToStartAt = Date.now();
  all = start();
  await all.line(isReady);
}, bounded);
after(async () => {
  await installation.close();
  collector.close();
});

function statusOf(url: string, root: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { ca: readFileSync(root) }, (answer) => resolve(answer.resume().statusCode ?? 0))
      .once("error", reject)
      .end();
  });
}

test(
  "endpoints.json names every address with the root that proves it, for its owner alone, and holds no secret",
  bounded,
  async () => {
    const path = join(data(), "endpoints.json");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const found = readEndpoints(data());
    assert.ok(found?.isAlive);
    const { identity, admin, channel, gateway } = installation.ports;
    const operatorKey = join(data(), "control", "operator.key.json");
    const root = (name: string) => join(data(), "control", "ca", `${name}.pem`);
    const { isAlive: _, startedAt, statusUrl, ...rest } = found;
    assert.ok(startedAt >= askedToStartAt && startedAt <= Date.now());
    assert.match(statusUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.deepEqual(rest, {
      v: 1,
      role: "all",
      pid: all.pid,
      config: installation.estate,
      identityUrl: `https://127.0.0.1:${identity}`,
      adminUrl: `https://127.0.0.1:${admin}`,
      channelUrl: `https://127.0.0.1:${channel}`,
      issuers: { production: `https://127.0.0.1:${identity}/main/production` },
      gateway: [{ listener: "public", url: `https://127.0.0.1:${gateway}`, address: `127.0.0.1:${gateway}` }],
      roots: { identity: root("control"), gateway: { production: root("production") } },
      operatorKey,
    });
    const { jwk } = JSON.parse(readFileSync(operatorKey, "utf8")) as { readonly jwk: { readonly d: string } };
    assert.ok(!readFileSync(path, "utf8").includes(jwk.d));
    const metadata = `${found.issuers["production"]}/.well-known/openid-configuration`;
    assert.equal(await statusOf(metadata, found.roots.identity ?? ""), 200);
    assert.equal(await statusOf(`${found.gateway[0]?.url}/nothing`, found.roots.gateway["production"] ?? ""), 401);
  },
);

test(
  "the start line says what is served and what is not with file, line and fix, how the disk does and what is due",
  bounded,
  async () => {
    const ready = await all.line(isReady);
    assert.deepEqual(ready["served"], [
      { environment: "production", approval: "none", systems: 2, operations: 2, integrations: { active: 1 } },
    ]);
    const [lost] = ready["notServed"] as readonly Record<string, string>[];
    assert.deepEqual([lost?.["object"], lost?.["place"]], ["system/stock", "systems/stock.yaml:2"]);
    assert.match(lost?.["why"] ?? "", /private or loopback address\. Fix: add `allowPrivate: true`/);
    const disk = ready["disk"] as { readonly syncMedianMs: number; readonly freeBytes: number };
    assert.ok(disk.syncMedianMs > 0 && disk.freeBytes > 0);
    const notices = ready["notices"] as ControlStatus["notices"];
    const { urgency, object, file } = notices[0] ?? {};
    assert.deepEqual(
      [urgency, object, file],
      ["over", "integration/orders-to-billing", "integrations/orders-to-billing.yaml"],
    );
    assert.equal(notices.filter((one) => one.urgency === "standing").length, 2);
  },
);

test(
  "status tells how a gateway is, that its checkpoints are kept, and is exit 1 while something is not served",
  bounded,
  async () => {
    const operator = ["--operator", join(data(), "control", "operator.key.json")];
    const client = installation.operator(operator[1]);
    await until("the gateway to report and its checkpoint to be kept", async () => {
      const { gateways, log } = await client.call<ControlStatus>("GET", "/v1/status");
      return gateways[0]?.report !== null && gateways[0]?.connectedSince !== null && log.kept.length === 1;
    });
    const { exit, out } = await runBinary(["status", ...operator]);
    assert.equal(exit, 1);
    assert.match(
      out,
      /NOT SERVED {3}system\/stock \(production\) {2}systems\/stock\.yaml:2[\s\S]*fix: add `allowPrivate/,
    );
    assert.match(out, /gw-[0-9a-f]+ +production-default +connected .*0\.1\.0 .* s .* leaves/);
    assert.match(out, /OVER: integration\/orders-to-billing: .*\(integrations\/orders-to-billing\.yaml:1\)/);
    assert.match(out, /gateway\/\d{4}: checkpoint at \d+ leaves kept here/);
  },
);

test("doctor finds a running installation sound, tries its providers, and names what is due", bounded, async () => {
  const { exit, out, err } = await runBinary(["doctor", "--json", "--data", data()]);
  const { ok, results } = JSON.parse(out) as { readonly ok: boolean; readonly results: readonly CheckResult[] };
  const verdict = (check: string) => results.find((one) => one.check === check)?.verdict;
  const failed = results.filter((one) => one.verdict === "fail");
  assert.deepEqual([exit, ok, failed], [0, true, []], err);
  const sound = ["files.mode", "issuer.production", "clock.control", "upstream.production.billing"];
  for (const check of [...sound, "store.sqlite", "log.control", "log.gateway"])
    assert.equal(verdict(check), "ok", check);
  assert.deepEqual([verdict("guard"), verdict("due")], ["warn", "warn"]);
  for (const { verdict: said, fix } of results) assert.equal(fix === null, said === "ok");
});

test(
  "doctor --fleet says what nodes share, that rates are counted by each alone, and what differs",
  bounded,
  async () => {
    const operator = ["--operator", join(data(), "control", "operator.key.json")];
    const { exit, out } = await runBinary(["doctor", "--fleet", ...operator]);
    assert.equal(exit, 0, out);
    assert.match(out, /ok +fleet\.gw-[0-9a-f]+\.channel +connected/);
    assert.match(out, /fleet\.checkpoints +control keeps a checkpoint of every node/);
    assert.match(out, /rate limits +one node/);
  },
);

test(
  "attack: a data directory that others can enter, and a checkpoint that was edited, make doctor fail with the fix",
  bounded,
  async () => {
    const copy = join(installation.root, "copy");
    // Stopped meanwhile: a running one replaces its files, and one that is gone cannot be copied.
    assert.equal((await all.signal("SIGTERM")).exit, 0);
    cpSync(data(), copy, { recursive: true });
    all = start();
    await all.line(isReady);
    chmodSync(copy, 0o755);
    const year = readdirSync(join(copy, "gateway/log")).find((name) => /^\d{4}$/.test(name)) ?? "";
    const checkpoint = join(copy, "gateway/log", year, "checkpoint");
    writeFileSync(checkpoint, readFileSync(checkpoint, "utf8").replace(/\n\d+\n/, "\n7777\n"));
    const { exit, out } = await runBinary(["doctor", "--data", copy]);
    assert.equal(exit, 1);
    assert.match(out, /fail +files\.mode +\. has mode 0755\n +fix: chmod -R u=rwX,go= /);
    assert.match(out, /fail +log\.gateway .*checkpoint[\s\S]*fix: sallyport audit verify/);
  },
);

test(
  "attack: an endpoints.json that others could write is refused, for it would lead commands to a stranger",
  bounded,
  () => {
    const path = join(data(), "endpoints.json");
    chmodSync(path, 0o622);
    assert.throws(() => readEndpoints(data()), { code: "key-file-permissions" });
    chmodSync(path, 0o600);
  },
);

test(
  "a reader of standard output that goes away (`serve | head`) ends nothing: it serves on, says so once, and drains at its end",
  bounded,
  async () => {
    await all.signal("SIGTERM");
    all = start();
    all.stopReading();
    await until("it serves", () => readEndpoints(data())?.isAlive === true);
    const { statusUrl = "" } = readEndpoints(data()) ?? {};
    await until("it is ready", async () => (await fetch(`${statusUrl}/readyz`)).ok);
    const { exit, output } = await all.signal("SIGTERM");
    assert.equal(exit, 0, output);
    assert.equal(output.match(/nobody reads standard output/g)?.length, 1, output);
    assert.equal(existsSync(join(data(), "endpoints.json")), false, "a clean end");
    all = start();
    await all.line(isReady);
  },
);

test(
  "until it is asked for, nothing is traced and nobody is told what stages took, whatever the environment says",
  bounded,
  async () => {
    installation.trustRoots(join(data(), "control", "ca"));
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const answer = await installation.caller().fetch("/billing/v1/invoices/in-1", { headers: { traceparent } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("server-timing"), null);
    // A clean end sends what waits.
    assert.equal((await all.signal("SIGTERM")).exit, 0);
    assert.equal(collected, 0);
    all = start();
    await all.line(isReady);
  },
);

test("a crash leaves the file, and its reader is told that nobody runs; a clean end removes it", bounded, async () => {
  await all.signal("SIGKILL");
  assert.equal(readEndpoints(data())?.isAlive, false);
  all = start();
  await all.line(isReady);
  assert.equal(readEndpoints(data())?.pid, all.pid);
  assert.equal((await all.signal("SIGTERM")).exit, 0);
  assert.equal(existsSync(join(data(), "endpoints.json")), false);
  assert.equal(readEndpoints(data()), null);
});
