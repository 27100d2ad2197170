import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import * as client from "openid-client";
import { commandsUrl, type PeopleTestCommands } from "../people/people.test-support.ts";
import {
  answer,
  base,
  begin,
  codes,
  type DevicePlace,
  movableClock,
  openidClient,
  password,
  poll,
  post,
  startDevices,
  typeCode,
} from "./device.test-support.ts";

const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

forEachDialect((_dialect, open) => {
  let at: DevicePlace;
  let store: Store<PeopleTestCommands>;
  const clock = movableClock();
  before(async () => {
    store = await open<PeopleTestCommands>({ commands: commandsUrl, clock });
    at = await startDevices(store, clock);
  });
  after(() => at.estate.close());

  for (const id of ["app", "portal"] as const)
    test(`openid-client 6 as ${id}: a pair of codes, a person's yes, a token of theirs bound to the device's key, a refresh`, async () => {
      const config = await openidClient(at, id);
      assert.equal(
        config.serverMetadata().device_authorization_endpoint,
        `${at.issuer}/device_authorization`,
        "discovered",
      );
      const begun = await client.initiateDeviceAuthorization(config, {
        resource: at.resource("orders"),
        scope: "openid orders:order.list",
      });
      assert.match(begun.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
      assert.equal(begun.verification_uri, `${at.issuer}/device`);
      assert.deepEqual([begun.expires_in, begun.interval], [600, 5]);
      const { browser, user } = await at.person();
      assert.equal((await answer(browser, begun.user_code, "allow")).status, 200);
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
      // The library would wait five seconds before it asks at all.
      const tokens = await client.pollDeviceAuthorizationGrant(config, { ...begun, interval: 0.01 }, undefined, {
        DPoP,
      });
      assert.equal(tokens.token_type, "dpop");
      assert.equal(tokens.expires_in, 600);
      const claims = claimsOf(tokens.access_token);
      assert.deepEqual(
        [claims["sub"], claims["client_id"], claims["aud"], claims["scope"]],
        [user, id, at.resource("orders"), "orders:order.list"],
      );
      assert.match(String((claims["gid"] as string[])[0]), /^grt_/);
      assert.match(String(claims["sid"]), /^ses_/);
      assert.equal(claims["acr"], "urn:sallyport:acr:password");
      assert.equal(tokens.claims()?.sub, user);
      const fresh = await client.refreshTokenGrant(config, tokens.refresh_token ?? "", undefined, { DPoP });
      assert.deepEqual(claimsOf(fresh.access_token)["gid"], claims["gid"]);
    });

  test("a device that waits is told so without a record, and one that does not wait is slowed down, for good, by the store", async () => {
    const { deviceCode, userCode } = await codes(at);
    const ask = async () => (await poll(at, deviceCode)).body["error"];
    assert.equal(await ask(), "authorization_pending");
    assert.deepEqual(
      at.refusals().filter((code) => code === "device-pending"),
      [],
    );
    assert.equal(await ask(), "slow_down", "at once again");
    assert.ok(at.refusals().includes("device-slow-down"));
    clock.move(6_000);
    assert.equal(await ask(), "slow_down", "the interval is ten seconds now, and fifteen from here");
    clock.move(11_000);
    assert.equal(await ask(), "slow_down");
    clock.move(20_000);
    assert.equal(await ask(), "authorization_pending");
    clock.move(20_000);
    assert.equal(await ask(), "authorization_pending");
    const { browser } = await at.person();
    await answer(browser, userCode, "allow");
    assert.equal((await poll(at, deviceCode)).status, 200, "and an answer that is there is given at once");
  });

  test("a person who says no is told to the device, and ten minutes are told to it too", async () => {
    const refused = await codes(at);
    const { browser, user } = await at.person();
    const page = await answer(browser, refused.userCode, "deny");
    assert.match(page.text, /<h1>Not connected/);
    assert.equal((await poll(at, refused.deviceCode)).body["error"], "access_denied");
    assert.equal((await typeCode(browser, refused.userCode)).status, 400, "and the code is over");
    const forgotten = await codes(at);
    clock.move(600_001);
    await store.run("purgeOAuth", null);
    assert.equal((await poll(at, forgotten.deviceCode)).body["error"], "expired_token");
    assert.equal((await typeCode((await at.person()).browser, forgotten.userCode)).status, 400);
    const log = await actions();
    assert.ok(log.some(({ action, actor }) => action === "device.refuse" && actor === `user:${user}`));
    assert.ok(log.some(({ action, actor }) => action === "device.ask" && actor === "client:app"));
  });

  async function actions(): Promise<readonly { readonly action: string; readonly actor: string }[]> {
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1 });
    return rows;
  }

  test("who is not signed in signs in first and finds the code of the address still there, in small letters or not", async () => {
    const { userCode } = await codes(at);
    const { name } = await at.person();
    const browser = at.browser();
    const small = userCode.toLowerCase().replace("-", "");
    const first = await browser.get(`${base}/device?user_code=${small}`);
    assert.equal(first.location, `${base}/login?flow=device.${userCode.replace("-", "")}`);
    const done = await browser.submit(await browser.get(first.location ?? ""), "/login", { name, password });
    assert.equal(done.location, `${base}/device?user_code=${userCode}`);
    assert.match((await browser.get(done.location ?? "")).text, new RegExp(`value="${userCode}"`));
    assert.equal((await browser.get(`${base}/device?user_code=%3Cscript%3E`)).text.includes("script>"), false);
  });

  test("step-up: a device that asks for a second factor is not allowed by a password, and max_age counts from before the device began", async () => {
    const strong = await codes(at, { over: { acr_values: "urn:sallyport:acr:mfa" } });
    const { browser, name } = await at.person();
    assert.match((await typeCode(browser, strong.userCode)).text, /stronger sign-in than your account has/);
    clock.move(61_000);
    const fresh = await codes(at, { over: { max_age: "60" } });
    const login = await typeCode(browser, fresh.userCode);
    assert.match(login.text, /Please sign in again/);
    const back = await browser.submit(login, "/login", { name, password });
    assert.equal(back.location, `${base}/device?user_code=${fresh.userCode}`);
    clock.move(61_000);
    assert.equal((await answer(browser, fresh.userCode, "allow")).status, 200, "made for this device: not too old");
    const token = claimsOf((await poll(at, fresh.deviceCode)).body["access_token"]);
    assert.ok(Number(token["auth_time"]) > 0);
    for (const over of [{ acr_values: "urn:other" }, { max_age: "soon" }, { dpop_jkt: "short" }])
      assert.equal((await begin(at, { over })).body["error"], "invalid_request");
  });

  test("what may be begun: never beyond the integrations, only by clients that have the grant, only where people sign in", async () => {
    const error = async (sent: Parameters<typeof begin>[1]) => (await begin(at, sent)).body["error"];
    assert.equal(await error({ over: { resource: null } }), "invalid_target");
    assert.equal(await error({ over: { resource: at.resource("portal") } }), "invalid_target");
    assert.equal(await error({ over: { scope: "orders:order.delete" } }), "invalid_scope");
    assert.equal(await error({ client: "batch" }), "unauthorized_client");
    assert.equal(await error({ over: { client_id: "nobody" } }), "invalid_client");
    at.serves.people = false;
    assert.equal(await error({}), "unauthorized_client");
    at.serves.people = true;
    assert.equal((await begin(at)).headers["cache-control"], "no-store");
  });

  test("what an operator suspends while a person is thinking is not allowed any more", async () => {
    const { deviceCode, userCode } = await codes(at);
    const { browser } = await at.person();
    const page = await typeCode(browser, userCode);
    const { directory } = at.estate.production;
    at.estate.production.directory = { ...directory, grants: () => [] };
    assert.equal((await browser.submit(page, "/device/decide", { answer: "allow" })).status, 400);
    at.estate.production.directory = directory;
    clock.move(6_000);
    assert.equal((await poll(at, deviceCode)).body["error"], "authorization_pending");
  });

  test("a session that ends takes along what its person allowed a device, polled or not", async () => {
    const { deviceCode, userCode } = await codes(at);
    const { browser, user } = await at.person();
    await answer(browser, userCode, "allow");
    await store.run("disableUser", {
      tenant: "main",
      environment: "production",
      user,
      actor: "operator:t",
      reason: "left",
    });
    assert.equal((await poll(at, deviceCode)).body["error"], "invalid_grant");
  });

  test("the curl of docs/identity/device.md begins a device as it stands there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-device-"));
    try {
      const page = readFileSync(new URL("../../../../../docs/identity/device.md", import.meta.url), "utf8");
      const script = /```sh\n([\s\S]*?)```/.exec(page)?.[1]?.replaceAll("client_id=tv", "client_id=app") ?? "";
      assert.match(script, /device_authorization/);
      writeFileSync(join(folder, "ca.pem"), at.estate.ca);
      const env = { ...process.env, ISSUER: at.issuer, CURL_CA_BUNDLE: join(folder, "ca.pem") };
      const { stdout } = await promisify(execFile)("sh", ["-c", script], { env, timeout: 60_000 });
      const body = JSON.parse(stdout);
      assert.deepEqual(Object.keys(body), [
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    assert.equal((await post(at, "/device_authorization?x=1", new URLSearchParams())).status, 404);
  });
});
