import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { testKey } from "../issuer.test-support.ts";
import type { IdentityCommands } from "../store.ts";
import type { TokensCommands } from "../tokens/store.ts";
import { graceMs } from "./grant-commands.ts";
import { codeFor, login, type Portal, postForm, redeem, refreshWith, startPortal } from "./portal.test-support.ts";
import { digestOf } from "./sealed-objects.ts";
import type { OAuthCommands } from "./store.ts";

const place = { tenant: "main", environment: "production" };
const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

forEachDialect((_dialect, open) => {
  let portal: Portal;
  let store: Store<IdentityCommands & OAuthCommands & TokensCommands>;
  before(async () => {
    store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    portal = await startPortal(store);
  });
  after(() => portal.estate.close());

  const lastCode = () => {
    const leaf = portal.estate.production.leaves.at(-1);
    return leaf?.t === "issuance" ? leaf.code : null;
  };
  const start = async (on: Parameters<typeof redeem>[2] = {}) => {
    const code = await codeFor(portal, on.client === "app" ? { client: "app" } : {});
    const { body, status, text } = await redeem(portal, code, on);
    assert.equal(status, 200, text);
    return { token: String(body["refresh_token"]), access: claimsOf(body["access_token"]) };
  };

  test("each refresh gives a new refresh token and a token of the same grant, session and authentication", async () => {
    const first = await start();
    const answer = await refreshWith(portal, first.token);
    assert.equal(answer.status, 200, answer.text);
    assert.notEqual(answer.body["refresh_token"], first.token);
    const claims = claimsOf(answer.body["access_token"]);
    for (const name of ["sub", "gid", "sid", "acr", "amr", "auth_time", "aud", "client_id", "cnf"])
      assert.deepEqual(claims[name], first.access[name], name);
    assert.notEqual(claims["jti"], first.access["jti"]);
    assert.equal(claims["auth_time"], first.access["auth_time"], "a refresh is no log-in (class 29)");
  });

  test("attack: a refresh token used after the next one was used ends the family, the newest descendant included", async () => {
    const first = await start();
    const second = await refreshWith(portal, first.token);
    const third = await refreshWith(portal, String(second.body["refresh_token"]));
    assert.equal(third.status, 200);
    // The grace is over for the first one: its successor has been used, and another key asks.
    const again = await refreshWith(portal, first.token, { holder: testKey() });
    assert.equal(again.body["error"], "invalid_grant");
    assert.equal(lastCode(), "refresh-reused");
    assert.equal((await refreshWith(portal, String(third.body["refresh_token"]))).body["error"], "invalid_grant");
    const { entries } = await store.run("readRevocations", { ...place, from: 0 });
    const [grant] = first.access["gid"] as string[];
    assert.ok(entries.some(({ kind, value }) => kind === "grant" && value === grant));
  });

  test("the same answer is for its holder, for the same question and for ten seconds; anything else ends the family or is told so", async () => {
    assert.equal(graceMs, 10_000);
    const first = await start();
    const order = {
      ...place,
      client: "portal",
      digest: digestOf(first.token),
      next: { digest: digestOf("next"), expiresAt: Date.now() + 60_000, sealed: new Uint8Array([1]) },
      holder: "h",
      asked: "a",
      answer: new Uint8Array([7]),
    };
    assert.deepEqual(await store.run("rotateRefresh", order), { kind: "rotated" });
    assert.deepEqual(await store.run("rotateRefresh", order), { kind: "same", answer: new Uint8Array([7]) });
    assert.deepEqual(await store.run("rotateRefresh", { ...order, asked: "b" }), { kind: "differs" });
    assert.deepEqual(await store.run("rotateRefresh", { ...order, client: "shop" }), { kind: "gone" });
    assert.deepEqual(await store.run("rotateRefresh", { ...order, holder: "i" }), { kind: "reused" });
    assert.deepEqual(await store.run("rotateRefresh", order), { kind: "reused" }, "the family is dead");
  });

  test("a refresh for something else that came second is told to use the newer token, and nothing dies", async () => {
    const resources = [portal.resource("orders"), portal.resource("billing")];
    const code = await codeFor(portal, { resources });
    const one = await redeem(portal, code, { over: { resource: portal.resource("orders") } });
    const token = String(one.body["refresh_token"]);
    const first = await refreshWith(portal, token, { over: { resource: portal.resource("orders") } });
    const second = await refreshWith(portal, token, { over: { resource: portal.resource("billing") } });
    assert.equal(second.body["error"], "invalid_grant");
    assert.equal(lastCode(), "refresh-raced");
    const next = await refreshWith(portal, String(first.body["refresh_token"]), {
      over: { resource: portal.resource("billing") },
    });
    assert.equal(claimsOf(next.body["access_token"])["aud"], portal.resource("billing"));
  });

  test("a refresh token is its client's and nobody else's, and needs client authentication (class 13)", async () => {
    const { token } = await start();
    assert.equal((await refreshWith(portal, token, { client: "shop" })).body["error"], "invalid_grant");
    assert.equal((await refreshWith(portal, token, { client: "app" })).body["error"], "invalid_grant");
    assert.equal(lastCode(), "refresh-unknown");
    assert.equal((await refreshWith(portal, token)).status, 200, "still good for its own");
  });

  test("a public client's refresh token is bound to its key; a thief without it neither uses nor ends it (RFC 9449 §5)", async () => {
    const holder = testKey();
    const { token } = await start({ client: "app", holder });
    const thief = await refreshWith(portal, token, { client: "app", holder: testKey() });
    assert.equal(thief.body["error"], "invalid_grant");
    assert.equal(lastCode(), "refresh-key-mismatch");
    assert.equal((await refreshWith(portal, token, { client: "app", proof: null })).body["error"], "invalid_grant");
    assert.equal((await refreshWith(portal, token, { client: "app", holder })).status, 200);
  });

  test("a client gives its refresh token back: the grant ends with all that descends from it; another client's stays (RFC 7009)", async () => {
    const mine = await start();
    const next = await refreshWith(portal, mine.token);
    const pushes = portal.pushes.count;
    const give = (token: string, options: Parameters<typeof postForm>[3] = {}) =>
      postForm(portal, "/revoke", new URLSearchParams({ token, token_type_hint: "refresh_token" }), options);
    const stranger = await give(String(next.body["refresh_token"]), { client: "shop" });
    assert.deepEqual([stranger.status, stranger.body["error"]], [400, "invalid_grant"]);
    const live = await refreshWith(portal, String(next.body["refresh_token"]));
    assert.equal(live.status, 200, "nothing happened to it");
    assert.equal((await give(String(live.body["refresh_token"]))).status, 200);
    assert.equal(portal.pushes.count, pushes + 1, "gateways are told");
    assert.equal((await refreshWith(portal, String(live.body["refresh_token"]))).body["error"], "invalid_grant");
    const { entries } = await store.run("readRevocations", { ...place, from: 0 });
    const [grant] = mine.access["gid"] as string[];
    assert.ok(entries.some(({ kind, value }) => kind === "grant" && value === grant));
    assert.equal((await give(String(live.body["refresh_token"]))).status, 200, "again is no error");
    assert.equal((await give("unknown")).status, 200);
    assert.equal(portal.pushes.count, pushes + 1);
  });

  for (const kind of ["grant", "session", "subject"] as const)
    test(`an operator revokes a ${kind}: what was granted under it is not refreshed, also after the revocation is forgotten`, async () => {
      const session = `ses_of_${kind}`;
      const subject = `usr_of_the_${kind}_to_end`;
      const code = await codeFor(portal, {}, login({ id: subject, session }));
      const { body } = await redeem(portal, code);
      const [grant] = claimsOf(body["access_token"])["gid"] as string[];
      const value = { grant: String(grant), session, subject }[kind];
      const now = Date.now();
      await store.run("revoke", {
        ...place,
        kind,
        value,
        notBefore: now,
        until: now,
        actor: "operator:o",
        reason: "x",
      });
      assert.equal((await refreshWith(portal, String(body["refresh_token"]))).body["error"], "invalid_grant");
      assert.equal(lastCode(), "grant-ended");
    });

  test("scope narrows on request and never widens", async () => {
    const scopes = ["orders:order.list", "orders:order.create"];
    const code = await codeFor(
      portal,
      { over: { scope: scopes.join(" ") } },
      { ...login(), scopes: ["orders:order.list"] },
    );
    const first = await redeem(portal, code);
    assert.equal(first.body["scope"], "orders:order.list");
    const wider = await refreshWith(portal, String(first.body["refresh_token"]), { over: { scope: scopes.join(" ") } });
    assert.equal(wider.body["error"], "invalid_scope");
    const same = await refreshWith(portal, String(first.body["refresh_token"]), {
      over: { scope: "orders:order.list" },
    });
    assert.equal(same.body["scope"], "orders:order.list");
  });

  test("ids of codes, refresh tokens and requests are nowhere in the store, and what stands for them opens nowhere else", async () => {
    const code = await codeFor(portal);
    const { body } = await redeem(portal, code);
    const refresh = String(body["refresh_token"]);
    const named = { ...place, kind: "refresh" as const };
    const row = await store.run("readOAuthObject", { ...named, digest: digestOf(refresh) });
    assert.ok(row !== null && row.grantSealed !== null);
    const text = Buffer.concat([row.sealed, row.grantSealed]).toString("latin1");
    for (const secret of [code, refresh, login().subject.id, "ses_1"]) assert.equal(text.includes(secret), false);
    assert.equal(await store.run("readOAuthObject", { ...named, digest: refresh }), null);
    assert.equal(
      await store.run("readOAuthObject", { ...named, environment: "staging", digest: digestOf(refresh) }),
      null,
    );
  });

  test("when the log cannot take the record no token leaves, and the client gets the very same answer when it asks again", async () => {
    const { token } = await start();
    portal.estate.production.logBroken = true;
    const failed = await refreshWith(portal, token);
    portal.estate.production.logBroken = false;
    portal.estate.faults.splice(0);
    assert.equal(failed.status, 503);
    const answer = await refreshWith(portal, token);
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await refreshWith(portal, String(answer.body["refresh_token"]))).status, 200);
  });
});
