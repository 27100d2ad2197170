import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { addTestUser, commandsUrl, type PeopleTestCommands, place, standingClock } from "./people.test-support.ts";

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  let store: Store<PeopleTestCommands>;
  let ofAnotherNode: Store<PeopleTestCommands>;
  before(async () => {
    const options = { commands: commandsUrl, clock, place: open.newPlace() };
    store = await open<PeopleTestCommands>(options);
    ofAnotherNode = await open<PeopleTestCommands>(options);
  });
  const ask = { providers: ["billing"], scopes: ["billing:invoice.read"] };
  let count = 0;
  const allow = async (user: string, client: string) => {
    const digest = `request-${count++}`;
    const sealed = new Uint8Array([1]);
    const expiresAt = clock.now() + 60_000;
    await store.run("keepOAuthRequest", { ...place, kind: "interaction", digest, client, sealed, expiresAt });
    const of = { client, subject: user, session: null, authenticatedAt: clock.now(), expiresAt, sealed };
    const code = { digest, expiresAt, sealed };
    await store.run("giveConsent", { ...place, user, client, ...ask });
    assert.ok(
      await store.run("allowAuthorization", {
        ...{ ...place, interaction: digest, pushed: null },
        ...{ grant: { id: digest, ...of }, code, consent: ask },
      }),
    );
    return digest;
  };
  const isLive = async (digest: string) =>
    (await store.run("readOAuthObject", { ...place, kind: "code", digest }))?.grantEnded === false;
  const revoked = async () =>
    (await store.run("readRevocations", { ...place, from: 0 })).entries.map(({ kind, value }) => `${kind} ${value}`);

  test("what was allowed can be taken back from one client: it is asked again, and its grants end with their revocations; nobody else's do", async () => {
    const [anna, bert] = [
      await addTestUser(store, "anna", clock.now()),
      await addTestUser(store, "bert", clock.now()),
    ].map(({ user }) => user);
    assert.ok(anna !== undefined && bert !== undefined);
    const own = [await allow(anna, "portal"), await allow(anna, "portal")];
    const others = [await allow(anna, "shop"), await allow(bert, "portal")];
    assert.deepEqual(await store.run("listConsents", { ...place, user: anna }), [
      { client: "portal", ...ask, at: clock.now(), grants: 2 },
      { client: "shop", ...ask, at: clock.now(), grants: 1 },
    ]);
    const withdraw = { ...place, user: anna, client: "portal", actor: `user:${anna}` };
    const staging = await store.run("withdrawConsent", { ...withdraw, environment: "staging" });
    assert.equal(staging, false, "of another environment");
    const done = await Promise.all([1, 2, 3].map(() => store.run("withdrawConsent", withdraw)));
    assert.deepEqual(done.filter(Boolean), [true], "once, however often it is asked at once");
    assert.equal(await store.run("hasConsent", { ...place, user: anna, client: "portal", ...ask }), false);
    for (const grant of own) {
      assert.equal(await isLive(grant), false);
      assert.ok((await revoked()).includes(`grant ${grant}`));
    }
    for (const grant of others) assert.equal(await isLive(grant), true);
    assert.equal(await store.run("hasConsent", { ...place, user: bert, client: "portal", ...ask }), true);
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1_000 });
    const [record, ...more] = rows.filter(({ action }) => action === "user.consent-withdraw");
    assert.deepEqual(more, []);
    assert.deepEqual(
      [record?.object, record?.actor, record?.facts],
      [`user/${anna}`, `user:${anna}`, { client: "portal", grants: 2 }],
    );
  });

  test("grants that nothing was kept for are listed and end too", async () => {
    const { user } = await addTestUser(store, "carla", clock.now());
    const grant = await allow(user, "portal");
    const withdraw = { ...place, user, client: "portal", actor: "operator:test", reason: "asked for it" };
    await store.run("withdrawConsent", withdraw);
    const sealed = new Uint8Array([1]);
    const expiresAt = clock.now() + 60_000;
    const digest = `again-${grant}`;
    await store.run("keepOAuthRequest", { ...place, kind: "interaction", digest, client: "tv", sealed, expiresAt });
    const of = { client: "tv", subject: user, session: null, authenticatedAt: clock.now(), expiresAt, sealed };
    const use = { ...place, interaction: digest, pushed: null };
    const code = { digest, expiresAt, sealed };
    assert.ok(await store.run("allowAuthorization", { ...use, grant: { id: digest, ...of }, code, consent: null }));
    assert.deepEqual(await store.run("listConsents", { ...place, user }), [
      { client: "tv", providers: [], scopes: [], at: null, grants: 1 },
    ]);
    assert.equal(await store.run("withdrawConsent", { ...withdraw, client: "tv" }), true);
    assert.equal(await isLive(digest), false);
    assert.deepEqual(await store.run("listConsents", { ...place, user }), []);
  });

  test("race: an authorization that read a consent just before it was taken back makes no grant that lives; nor does one beyond what is allowed by now", async () => {
    const { user } = await addTestUser(store, "racer", clock.now());
    const begin = async (on: Store<PeopleTestCommands>, digest: string, client: string) => {
      const sealed = new Uint8Array([1]);
      const expiresAt = clock.now() + 60_000;
      await store.run("keepOAuthRequest", { ...place, kind: "interaction", digest, client, sealed, expiresAt });
      const grant = {
        id: digest,
        client,
        subject: user,
        session: null,
        authenticatedAt: clock.now(),
        expiresAt,
        sealed,
      };
      const code = { digest, expiresAt, sealed };
      const use = { ...place, interaction: digest, pushed: null };
      return () => on.run("allowAuthorization", { ...use, grant, code, consent: ask });
    };
    for (let round = 0; round < 12; round += 1) {
      const client = `racing-${round}`;
      await store.run("giveConsent", { ...place, user, client, ...ask });
      assert.equal(await store.run("hasConsent", { ...place, user, client, ...ask }), true);
      const withdraw = () => ofAnotherNode.run("withdrawConsent", { ...place, user, client, actor: `user:${user}` });
      const allow = await begin(store, client, client);
      // Who comes first changes with the round.
      const both = round % 2 === 0 ? [allow(), withdraw()] : [withdraw(), allow()];
      const outcomes = await Promise.all(both);
      assert.equal(outcomes[round % 2 === 0 ? 1 : 0], true, "it was taken back");
      assert.equal(await isLive(client), false, `round ${round}`);
    }
    // Who comes too late for certain makes none at all.
    await store.run("giveConsent", { ...place, user, client: "too-late", ...ask });
    const tooLate = await begin(store, "too-late", "too-late");
    await ofAnotherNode.run("withdrawConsent", { ...place, user, client: "too-late", actor: `user:${user}` });
    assert.equal(await tooLate(), false);
    await store.run("giveConsent", { ...place, user, client: "late", ...ask });
    const late = await begin(store, "late", "late");
    await store.run("giveConsent", { ...place, user, client: "late", providers: [], scopes: [] });
    assert.equal(await late(), false, "the newest answer is the one that counts");
    await store.run("giveConsent", { ...place, user, client: "late", ...ask });
    assert.equal(await late(), true, "and the request was not used up");
  });
});
