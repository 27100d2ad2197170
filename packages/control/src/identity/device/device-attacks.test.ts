// What an attacker would try at the device grant, each by its name; every one meets the listener, the pages and the store as they are.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { dpopProof } from "../issuer.test-support.ts";
import { formsOf } from "../people/browser.test-support.ts";
import { throttleRules } from "../people/decide-throttle.ts";
import { commandsUrl, type PeopleTestCommands } from "../people/people.test-support.ts";
import {
  answer,
  base,
  begin,
  codes,
  type DevicePlace,
  movableClock,
  nonceFor,
  poll,
  post,
  startDevices,
  typeCode,
} from "./device.test-support.ts";
import { deviceGrantType } from "./device-authorization.ts";

forEachDialect((_dialect, open) => {
  let at: DevicePlace;
  const clock = movableClock();
  before(async () => {
    const store: Store<PeopleTestCommands> = await open<PeopleTestCommands>({ commands: commandsUrl, clock });
    at = await startDevices(store, clock);
  });
  after(() => at.estate.close());

  const isWaiting = async (deviceCode: string) => {
    clock.move(30_000);
    const { body, text } = await poll(at, deviceCode);
    assert.equal(body["error"], "authorization_pending", text);
  };

  test("attack: verification_uri_complete sent to a signed-in victim allows nothing; opening it, however often, changes nothing", async () => {
    const { deviceCode, userCode, complete } = await codes(at);
    const { browser } = await at.person();
    for (let n = 0; n < 3; n += 1) {
      const page = await browser.get(complete.slice(at.estate.url.length));
      assert.equal(page.status, 200);
      assert.match(page.text, /Compare this code with the one your device shows/);
      assert.deepEqual(
        formsOf(page.text).map(({ action }) => action),
        [`${base}/device`],
      );
    }
    await isWaiting(deviceCode);
    const consent = await typeCode(browser, userCode);
    assert.match(consent.text, /Allow app to act for you\?/);
    assert.ok(consent.text.includes(userCode));
    assert.match(consent.text, /Did somebody send you this code, or a link with it\? Then do not allow it/);
    await isWaiting(deviceCode);
    await browser.submit(consent, "/device/decide", { answer: "allow" });
    const again = await codes(at);
    assert.match(
      (await typeCode(browser, again.userCode)).text,
      /Allow app to act for you\?/,
      "allowed before: asked again",
    );
  });

  test("attack: the answer by a link, from another site, without a form of ours, or twice", async () => {
    const { deviceCode, userCode } = await codes(at);
    const { browser } = await at.person();
    const page = await typeCode(browser, userCode);
    const sent = formsOf(page.text).find(({ action }) => action.endsWith("/device/decide"));
    assert.ok(sent);
    const fields = { ...sent.fields, answer: "allow" };
    assert.equal((await browser.get(`${sent.action}?${new URLSearchParams(fields)}`)).status, 404);
    assert.equal((await browser.post(sent.action, fields, { origin: "https://evil.example" })).status, 403);
    assert.equal((await browser.post(sent.action, { ...fields, form: "" })).status, 403);
    assert.equal((await browser.post(sent.action, { ...fields, step: "" })).status, 400);
    assert.equal(
      (await browser.post(`${base}/device`, { user_code: userCode }, { "sec-fetch-site": "cross-site" })).status,
      403,
    );
    await isWaiting(deviceCode);
    assert.equal((await browser.post(sent.action, fields)).status, 200);
    assert.equal((await browser.post(sent.action, fields)).status, 400, "twice");
  });

  test("attack: a code remapped to another user's session: neither the page of one nor her answer is worth anything in the hands of the other", async () => {
    const { deviceCode, userCode } = await codes(at);
    const victim = await at.person();
    const thief = await at.person();
    const page = await typeCode(thief.browser, userCode);
    const sent = formsOf(page.text).find(({ action }) => action.endsWith("/device/decide"));
    const own = formsOf((await victim.browser.get(`${base}/device`)).text)[0]?.fields["form"] ?? "";
    const forced = { ...sent?.fields, form: own, answer: "allow" };
    assert.equal((await victim.browser.post(sent?.action ?? "", forced)).status, 400);
    await isWaiting(deviceCode);
    const other = await codes(at);
    await answer(victim.browser, other.userCode, "allow");
    assert.equal((await thief.browser.submit(page, "/device/decide", { answer: "allow" })).status, 200);
    const claims = async (code: string) => {
      const token = String((await poll(at, code)).body["access_token"]).split(".")[1] ?? "";
      return JSON.parse(Buffer.from(token, "base64url").toString());
    };
    assert.equal((await claims(deviceCode)).sub, thief.user);
    assert.equal((await claims(other.deviceCode)).sub, victim.user);
  });

  test("attack: user codes tried one after another: ten wrong ones, then nothing is looked up, the right one included, until time has passed", async () => {
    clock.move(600_000);
    const { deviceCode, userCode } = await codes(at);
    const { browser } = await at.person();
    const page = await browser.get(`${base}/device`);
    for (let n = 0; n < throttleRules.userCodeOfUser.burst; n += 1)
      assert.equal((await browser.submit(page, "/device", { user_code: "BBBB-BBBB" })).status, 400);
    const throttled = await browser.submit(page, "/device", { user_code: userCode });
    assert.equal(throttled.status, 429);
    assert.equal(throttled.headers["retry-after"], "60");
    assert.ok(at.refusals().includes("user-code") && at.refusals().includes("user-code-throttled"));
    const other = await at.person();
    assert.equal(
      (await typeCode(other.browser, userCode)).status,
      429,
      "another account from the same network does not help",
    );
    clock.move(throttleRules.userCode.everyMs + 1_000);
    assert.equal((await typeCode(other.browser, userCode)).status, 200);
    assert.equal((await typeCode(browser, userCode)).status, 429, "nor is a user let in because the network is");
    clock.move(throttleRules.userCodeOfUser.everyMs);
    assert.equal((await answer(browser, userCode, "allow")).status, 200);
    assert.equal((await poll(at, deviceCode)).status, 200);
    clock.move(600_000);
  });

  test("attack: somebody who is not signed in cannot try codes at all", async () => {
    const { userCode } = await codes(at);
    const browser = at.browser();
    const login = await browser.get((await browser.get(`${base}/device`)).location ?? "");
    const token = formsOf(login.text)[0]?.fields["form"] ?? "";
    const page = await browser.post(`${base}/device`, { user_code: userCode, form: token });
    assert.match(page.text, /<h1>Sign in/);
    assert.equal(page.text.includes("Allow app"), false);
  });

  test("attack: a device code used by another client, or another issuer: unknown there, and its owner is not slowed down by it", async () => {
    const { deviceCode } = await codes(at);
    for (const client of ["portal", "shop"] as const)
      assert.equal((await poll(at, deviceCode, { client })).body["error"], "invalid_grant");
    const staging = { ...at, issuer: at.estate.staging.issuer };
    assert.equal((await poll(staging, deviceCode)).body["error"], "invalid_grant");
    assert.equal((await poll(at, deviceCode)).body["error"], "authorization_pending");
    assert.equal((await poll(at, `${deviceCode}=`)).body["error"], "invalid_grant", "one spelling");
    const refused = await codes(at);
    await answer((await at.person()).browser, refused.userCode, "deny");
    assert.equal(
      (await poll(at, refused.deviceCode, { client: "shop" })).body["error"],
      "invalid_grant",
      "not even what became of it",
    );
    assert.equal((await poll(at, refused.deviceCode)).body["error"], "access_denied");
  });

  test("attack: a user code of production typed at staging", async () => {
    const { userCode } = await codes(at);
    const { browser } = await at.person();
    const page = await browser.get("/main/staging/device");
    assert.match(page.location ?? "", /^\/main\/staging\/login/, "not even signed in there");
    const staging = at.estate.staging.served.routes.find(({ path }) => path === "/device");
    assert.ok(staging);
    assert.equal((await typeCode(browser, userCode)).status, 200, "at home it is there");
  });

  test("attack: a stolen device code without the key it was bound to is worth nothing and slows nobody down; the owner's key redeems it", async () => {
    const nonce = await nonceFor(at);
    const proof = dpopProof(at.estate.holder, `${at.issuer}/device_authorization`, nonce);
    const byProof = await codes(at, { proof });
    const byName = await codes(at, { over: { dpop_jkt: at.estate.holder.kid } });
    const { browser } = await at.person();
    for (const { deviceCode, userCode } of [byProof, byName]) {
      assert.equal((await poll(at, deviceCode, { holder: at.estate.analytics })).body["error"], "invalid_grant");
      assert.equal((await poll(at, deviceCode)).body["error"], "authorization_pending", "not slowed down");
      await answer(browser, userCode, "allow");
      assert.equal((await poll(at, deviceCode, { holder: at.estate.analytics })).body["error"], "invalid_grant");
      assert.equal((await poll(at, deviceCode)).status, 200);
    }
    assert.equal((await begin(at, { proof })).body["error"], "invalid_dpop_proof", "a proof is good once");
    const other = dpopProof(at.estate.holder, `${at.issuer}/device_authorization`, nonce);
    const over = { dpop_jkt: at.estate.analytics.kid };
    assert.equal((await begin(at, { proof: other, over })).body["error"], "invalid_request");
  });

  test("attack: a public client that polls without a proof would get an unbound token: it is refused at its first poll", async () => {
    const { deviceCode } = await codes(at);
    const params = new URLSearchParams({ grant_type: deviceGrantType, device_code: deviceCode });
    assert.equal((await post(at, "/token", params)).body["error"], "invalid_dpop_proof");
  });

  test("attack: a redeemed device code sent again ends what the first one got", async () => {
    const { deviceCode, userCode } = await codes(at);
    const { browser } = await at.person();
    await answer(browser, userCode, "allow");
    const { body } = await poll(at, deviceCode);
    const before = at.pushes.count;
    assert.equal((await poll(at, deviceCode)).body["error"], "invalid_grant");
    assert.ok(at.pushes.count > before);
    const proof = dpopProof(at.estate.holder, `${at.issuer}/token`, await nonceFor(at));
    const params = new URLSearchParams({ grant_type: "refresh_token", refresh_token: String(body["refresh_token"]) });
    assert.equal((await post(at, "/token", params, { proof })).body["error"], "invalid_grant");
  });

  test("attack: two device codes in one request, none, or one that is empty", async () => {
    const { deviceCode } = await codes(at);
    const proof = async () => dpopProof(at.estate.holder, `${at.issuer}/token`, await nonceFor(at));
    const params = new URLSearchParams({ grant_type: deviceGrantType, device_code: deviceCode });
    params.append("device_code", deviceCode);
    for (const sent of [
      params,
      new URLSearchParams({ grant_type: deviceGrantType }),
      new URLSearchParams({ grant_type: deviceGrantType, device_code: "" }),
    ])
      assert.equal((await post(at, "/token", sent, { proof: await proof() })).body["error"], "invalid_request");
  });

  test("attack: strangers who begin devices in the name of a public client are counted by their network, and clients that prove themselves are not", async () => {
    clock.move(600_000);
    const { burst } = throttleRules.deviceBegin;
    const answers = [];
    for (let n = 0; n < burst + 1; n += 1) answers.push((await begin(at)).status);
    assert.equal(answers.at(-1), 503);
    assert.equal(answers.filter((status) => status === 200).length, burst);
    assert.ok(at.refusals().includes("device-throttled"));
    const proof = dpopProof(at.estate.holder, `${at.issuer}/device_authorization`, await nonceFor(at));
    assert.equal((await begin(at, { proof })).status, 503);
    clock.move(throttleRules.deviceBegin.everyMs);
    assert.equal((await begin(at, { proof })).status, 200, "the proof was not kept, so it is still good");
    assert.equal((await begin(at, { client: "portal" })).status, 200);
  });
});
