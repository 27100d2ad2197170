// endpoints.json: what commands on the same machine find a running process by.
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Installation, isReady, type Served } from "../installation.test-support.ts";
import { readEndpoints } from "./endpoints.ts";

const bounded = { timeout: 60_000 };
let installation: Installation;
let all: Served;
const data = () => installation.data("control");
const start = () =>
  installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data(), "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--grace", "0s"],
  ]);

before(async () => {
  installation = await Installation.open();
  all = start();
  await all.line(isReady);
}, bounded);
after(() => installation.close());

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
    assert.ok(Math.abs(Date.now() - startedAt) < 60_000);
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
  "attack: an endpoints.json that others could write is refused, for it would lead commands to a stranger",
  bounded,
  () => {
    const path = join(data(), "endpoints.json");
    chmodSync(path, 0o622);
    assert.throws(() => readEndpoints(data()), { code: "key-file-permissions" });
    chmodSync(path, 0o600);
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
