// Everything of the issuer that ends by itself, over the real listener and both stores, with the process's `Date` moved: issuer, oidc-provider, store
// and client all read the same clock, as on one machine. Nothing sleeps.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, mock, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import { authorizationRequests } from "../clients/throttle.ts";
import { send } from "../issuer.test-support.ts";
import { tokenEndMs } from "../revoke.ts";
import type { IdentityCommands } from "../store.ts";
import type { TokensCommands } from "../tokens/store.ts";
import { codeLifetimeMs } from "./desk.ts";
import { graceMs } from "./grant-commands.ts";
import {
  ask,
  codeFor,
  type Portal,
  portalDirectory,
  postForm,
  redeem,
  refreshWith,
  requestParameters,
  startPortal,
  underWay,
} from "./portal.test-support.ts";
import type { OAuthCommands } from "./store.ts";

// Certificates are OpenSSL's to judge, by the machine's own clock: time moves from now on, forwards.
const startMs = Date.now();
const later = (byMs: number) => mock.timers.setTime(Date.now() + byMs);

forEachDialect((_dialect, open) => {
  let portal: Portal;
  before(() => mock.timers.enable({ apis: ["Date"], now: startMs }));
  after(() => mock.timers.reset());
  beforeEach(async () => {
    mock.timers.setTime(startMs);
    portal = await startPortal(
      await open<IdentityCommands & OAuthCommands & TokensCommands>({
        commands: new URL("../commands.test-support.ts", import.meta.url),
      }),
    );
  });
  afterEach(async (context) => {
    await portal.estate.close();
    assert.deepEqual(portal.estate.faults, [], context.name);
  });

  const lastCode = () => {
    const leaf = portal.estate.production.leaves.at(-1);
    return leaf?.t === "issuance" ? leaf.code : null;
  };
  const begin = async (): Promise<string> => {
    const { body, status, text } = await redeem(portal, await codeFor(portal));
    assert.equal(status, 200, text);
    return String(body["refresh_token"]);
  };

  test("a pushed request is good for as long as its answer says, and no longer (PARAttemptToUseExpiredRequestUri)", async () => {
    const push = async () => {
      const { body } = await postForm(portal, "/par", requestParameters(portal));
      const query = new URLSearchParams({ client_id: "portal", request_uri: String(body["request_uri"]) });
      return { lifeMs: Number(body["expires_in"]) * 1_000, url: `${portal.issuer}/authorize?${query}` };
    };
    const [used, forgotten] = [await push(), await push()];
    assert.ok(used.lifeMs >= 5_000 && used.lifeMs <= 600_000, "RFC 9126 §2.2");
    later(used.lifeMs - 1_000);
    assert.ok(underWay(await send(used.url, portal.ca)).id);
    later(1_001);
    const answer = await send(forgotten.url, portal.ca);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.headers["location"], undefined, "nowhere to send the browser to");
  });

  test("a code is good for a minute, and no longer (AttemptToUseExpiredAuthCode)", async () => {
    const [inTime, late] = [await codeFor(portal), await codeFor(portal)];
    later(codeLifetimeMs - 1);
    assert.equal((await redeem(portal, inTime)).status, 200);
    later(1);
    const answer = await redeem(portal, late);
    assert.deepEqual([answer.status, answer.body["error"], lastCode()], [400, "invalid_grant", "code-expired"]);
  });

  test("a page that was left open ends: the user's yes comes too late, and no code is made", async () => {
    const { id, cookie } = await ask(portal);
    assert.notEqual(await portal.desk.pending(id, cookie), null);
    later(3_600_000);
    assert.equal(await portal.desk.pending(id, cookie), null);
  });

  test("a refresh token gives its answer again for ten seconds; a moment later its second use ends the family", async () => {
    const first = await begin();
    const second = await refreshWith(portal, first);
    later(graceMs - 1);
    const again = await refreshWith(portal, first);
    assert.deepEqual([again.status, again.body["refresh_token"]], [200, second.body["refresh_token"]]);
    later(1);
    const stolen = await refreshWith(portal, first);
    assert.deepEqual([stolen.status, stolen.body["error"], lastCode()], [400, "invalid_grant", "refresh-reused"]);
    const heir = await refreshWith(portal, String(second.body["refresh_token"]));
    assert.deepEqual([heir.status, heir.body["error"]], [400, "invalid_grant"], "the newest descendant is dead too");
  });

  test("a refresh token ends when it is not used for two weeks", async () => {
    const [used, left] = [await begin(), await begin()];
    later(defaultTokens.refreshIdleMs - 1);
    assert.equal((await refreshWith(portal, used)).status, 200);
    later(1);
    const answer = await refreshWith(portal, left);
    assert.deepEqual([answer.body["error"], lastCode()], ["invalid_grant", "refresh-expired"]);
  });

  test("refreshing never prolongs a permission: after thirty days in all the user is asked again, and no token outlives it", async () => {
    let token = await begin();
    for (let days = 10; days <= 29; days += 10) {
      later(10 * 86_400_000);
      token = String((await refreshWith(portal, token)).body["refresh_token"]);
    }
    later(10 * 86_400_000 - 5_000);
    const last = await refreshWith(portal, token);
    assert.deepEqual([last.status, last.body["expires_in"]], [200, 5], "the access token ends with the grant");
    later(5_000);
    const answer = await refreshWith(portal, String(last.body["refresh_token"]));
    assert.deepEqual([answer.status, answer.body["error"]], [400, "invalid_grant"]);
  });

  test("shorter lives of a client hold: token, idle time and the whole of a permission", async () => {
    const tokens = { userSeconds: 120, refreshMs: 3_600_000, refreshIdleMs: 600_000 };
    portal.estate.production.directory = portalDirectory(
      [{ jwk: { ...portal.portalKey.jwk, kid: portal.portalKey.kid } }],
      [],
      tokens,
    );
    const { body } = await redeem(portal, await codeFor(portal));
    assert.equal(body["expires_in"], 120);
    let token = String(body["refresh_token"]);
    for (let minutes = 9; minutes < 60; minutes += 9) {
      later(9 * 60_000);
      const answer = await refreshWith(portal, token);
      assert.equal(answer.status, 200, `${minutes} minutes: ${answer.text}`);
      token = String(answer.body["refresh_token"]);
    }
    later(6 * 60_000);
    assert.equal((await refreshWith(portal, token)).body["error"], "invalid_grant", "an hour in all");
    const idle = String((await redeem(portal, await codeFor(portal))).body["refresh_token"]);
    later(600_000);
    assert.equal((await refreshWith(portal, idle)).body["error"], "invalid_grant", "ten minutes unused");
  });

  test("a key that retired stays published until the last token it signed has ended, and leaves then", async () => {
    const { ring, issuer } = portal.estate.production;
    const published = async () => (await send(`${issuer}/jwks`, portal.ca)).body as unknown as JSONWebKeySet;
    const old = String(ring.view().signer?.kid);
    const token = String((await redeem(portal, await codeFor(portal))).body["access_token"]);
    assert.equal((await ring.rotate("operator:admin")).kind, "done");
    later(defaultTokens.userSeconds * 1_000 - 1_000);
    await ring.tick();
    const { protectedHeader } = await jwtVerify(token, createLocalJWKSet(await published()), {
      currentDate: new Date(),
    });
    assert.equal(protectedHeader.kid, old, "good to its last second");
    later(tokenEndMs - defaultTokens.userSeconds * 1_000 + 1_000 - 1);
    await ring.tick();
    assert.ok(
      (await published()).keys.some(({ kid }) => kid === old),
      "one millisecond before",
    );
    later(1);
    await ring.tick();
    assert.ok((await published()).keys.every(({ kid }) => kid !== old));
  });

  test("attack: a stranger who makes requests in the name of a public client is slowed down by network and keeps no more rows; another client goes on", async () => {
    const { burst, everyMs } = authorizationRequests;
    const asApp = () => send(`${portal.issuer}/authorize?${requestParameters(portal, { client: "app" })}`, portal.ca);
    const one = await asApp();
    for (let made = 1; made < burst; made += 23) {
      const some = await Promise.all(Array.from({ length: Math.min(23, burst - made) }, asApp));
      for (const answer of some) assert.ok(underWay(answer).id !== "");
    }
    const refused = await asApp();
    const back = new URL(String(refused.headers["location"]));
    assert.equal(`${back.origin}${back.pathname}`, "http://127.0.0.1:49152/callback");
    const said = ["error", "state", "iss"].map((name) => back.searchParams.get(name));
    assert.deepEqual(said, ["temporarily_unavailable", "state-of-this-browser", portal.issuer]);
    assert.equal(refused.headers["set-cookie"], undefined, "no page, so nothing is kept");
    assert.equal(lastCode(), "authorization-throttled");
    assert.ok((await ask(portal)).id !== "", "another client's users are asked");
    const { id, cookie } = underWay(one);
    assert.ok((await portal.desk.pending(id, cookie)) !== null, "and what was begun goes on");
    later(everyMs);
    assert.ok(underWay(await asApp()).id !== "");
    assert.throws(() => underWay(refused));
  });
});
