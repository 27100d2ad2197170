import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { throttleRules } from "./decide-throttle.ts";
import { digestOf, makeSecret } from "./one-time-secrets.ts";
import {
  addTestUser,
  commandsUrl,
  newSession,
  type PeopleTestCommands,
  place,
  random,
  standingClock,
} from "./people.test-support.ts";

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  let store: Store<PeopleTestCommands>;
  before(async () => {
    store = await open<PeopleTestCommands>({ commands: commandsUrl, clock });
  });
  let names = 0;
  const someone = () => addTestUser(store, `user${names++}`, clock.now());
  const revocations = async () =>
    (await store.run("readRevocations", { ...place, from: 0 })).entries.map(({ kind, value }) => `${kind} ${value}`);
  const atOnce = <T>(count: number, act: () => Promise<T>) => Promise.all(Array.from({ length: count }, act));
  const started = async (user: string, over: Parameters<typeof newSession>[2] = {}) => {
    const cookie = makeSecret(random);
    const session = await store.run("startSession", newSession(user, cookie, over));
    assert.ok(session);
    return { ...session, cookie, digest: digestOf("session", cookie) };
  };
  const passkey = (id: string, counter = 0) => ({
    id,
    publicKey: new Uint8Array([1, 2, 3]),
    counter,
    synced: false,
    transports: ["internal"],
  });

  test("a name is one person's, in one environment", async () => {
    const { user } = await someone();
    const link = { digest: "d", until: clock.now() + 1 };
    const input = { ...place, user: "usr_other", actor: "operator:test", link };
    assert.deepEqual(await store.run("addUser", { ...input, name: "user0" }), { kind: "name-taken" });
    assert.deepEqual(await store.run("addUser", { ...input, name: "user0", environment: "staging" }), {
      kind: "added",
    });
    assert.equal((await store.run("readUserByName", { ...place, name: "user0" }))?.id, user);
    assert.equal(await store.run("readUser", { ...place, environment: "staging", user }), null);
  });

  test("an enrolment link sets a credential once, however many use it at once, and not after its time", async () => {
    const { user, link } = await someone();
    const digest = digestOf("enrolment", link);
    const set = (password: string) =>
      store.run("setPassword", { ...place, user, password, right: { kind: "link", digest }, actor: `user:${user}` });
    const outcomes = await atOnce(6, () => set("$argon2id$"));
    assert.equal(outcomes.filter(Boolean).length, 1);
    assert.equal(await store.run("readEnrolment", { ...place, digest }), null);
    const later = await someone();
    const other = digestOf("enrolment", later.link);
    assert.equal((await store.run("readEnrolment", { ...place, digest: other }))?.id, later.user);
    const right = { kind: "link", digest: other } as const;
    assert.equal(
      await store.run("setPassword", { ...place, user, password: "x", right, actor: "a" }),
      false,
      "another's link",
    );
    clock.move(3_600_001);
    assert.equal(await store.run("readEnrolment", { ...place, digest: other }), null);
    assert.equal(
      await store.run("setPassword", { ...place, user: later.user, password: "x", right, actor: "a" }),
      false,
    );
  });

  test("a new link ends the one before it", async () => {
    const { user, link } = await someone();
    const fresh = { digest: digestOf("enrolment", makeSecret(random)), until: clock.now() + 1_000 };
    assert.ok(
      await store.run("resetUser", { ...place, user, actor: "operator:test", reason: "lost phone", link: fresh }),
    );
    assert.equal(await store.run("readEnrolment", { ...place, digest: digestOf("enrolment", link) }), null);
    assert.equal((await store.run("readEnrolment", { ...place, digest: fresh.digest }))?.id, user);
  });

  test("TOTP replay: of many who present one code at once exactly one passes, and no earlier code passes after it", async () => {
    const { user } = await someone();
    const seed = { ...place, user, sealed: new Uint8Array(8), step: 100, recovery: [], actor: `user:${user}` };
    assert.ok(await store.run("setTotp", seed));
    const accept = (step: number) => store.run("acceptTotpStep", { ...place, user, step });
    assert.equal(await accept(100), false, "the code that set it up");
    assert.equal((await atOnce(8, () => accept(101))).filter(Boolean).length, 1);
    assert.deepEqual([await accept(101), await accept(99), await accept(102)], [false, false, true]);
    assert.ok(await store.run("removeTotp", { ...place, user, actor: `user:${user}` }));
    assert.equal(await accept(103), false, "a seed that was removed");
  });

  test("a recovery code passes once, and setting up new ones ends the old", async () => {
    const { user } = await someone();
    const digests = ["a", "b"].map((code) => digestOf("recovery", code));
    assert.ok(await store.run("setRecoveryCodes", { ...place, user, digests, actor: `user:${user}` }));
    const use = (digest: string) => store.run("useRecoveryCode", { ...place, user, digest });
    const outcomes = await atOnce(6, () => use(digests[0] ?? ""));
    assert.deepEqual(
      outcomes.filter((left) => left !== null),
      [1],
    );
    assert.ok(await store.run("setRecoveryCodes", { ...place, user, digests: ["c"], actor: `user:${user}` }));
    assert.equal(await use(digests[1] ?? ""), null);
  });

  test("a passkey's counter only goes up; one that never counts stays at zero; another user's is not touched", async () => {
    const { user, link } = await someone();
    const { user: other } = await someone();
    const right = { kind: "link", digest: digestOf("enrolment", link) } as const;
    const add = (id: string, counter: number, by: typeof right | { kind: "session" }) =>
      store.run("addPasskey", { ...place, user, passkey: passkey(id, counter), right: by, actor: `user:${user}` });
    assert.deepEqual(await add(`${user}-1`, 5, right), { kind: "added" });
    assert.deepEqual(await add(`${user}-1`, 5, { kind: "session" }), { kind: "there-already" });
    assert.deepEqual(await add(`${user}-2`, 0, right), { kind: "no-right" }, "the link is used");
    assert.deepEqual(await add(`${user}-2`, 0, { kind: "session" }), { kind: "added" });
    const use = (id: string, counter: number, who = user) =>
      store.run("usePasskey", { ...place, user: who, id, counter });
    assert.deepEqual(
      [await use(`${user}-1`, 5), await use(`${user}-1`, 4), await use(`${user}-1`, 0)],
      [false, false, false],
    );
    assert.deepEqual(
      [await use(`${user}-1`, 6), await use(`${user}-2`, 0), await use(`${user}-2`, 0)],
      [true, true, true],
    );
    assert.equal(await use(`${user}-1`, 9, other), false);
    assert.equal((await atOnce(6, () => use(`${user}-1`, 7))).filter(Boolean).length, 1, "a cloned authenticator");
  });

  test("the last way into an account is not removed by its owner", async () => {
    const { user, link } = await someone();
    const right = { kind: "link", digest: digestOf("enrolment", link) } as const;
    await store.run("addPasskey", { ...place, user, passkey: passkey(`${user}-1`), right, actor: "a" });
    const remove = () => store.run("removePasskey", { ...place, user, id: `${user}-1`, actor: `user:${user}` });
    assert.deepEqual(await remove(), { kind: "last-way-in" });
    await store.run("setPassword", { ...place, user, password: "$argon2id$", right: { kind: "session" }, actor: "a" });
    assert.deepEqual([await remove(), await remove()], [{ kind: "removed" }, { kind: "not-found" }]);
  });

  test("a session ends by itself, idle or after its whole time; being used moves only the idle end", async () => {
    const { user } = await someone();
    const { digest } = await started(user, { idleMs: 1_000_000, absoluteMs: 2_500_000 });
    const read = () => store.run("readSession", { ...place, digest });
    clock.move(900_000);
    assert.ok(await read());
    await store.run("touchSession", { ...place, digest, idleMs: 1_000_000 });
    clock.move(900_000);
    assert.ok(await read(), "its use moved the idle end");
    await store.run("touchSession", { ...place, digest, idleMs: 1_000_000 });
    clock.move(701_000);
    assert.equal(await read(), null, "its whole time is over");
    await store.run("touchSession", { ...place, digest, idleMs: 1_000_000 });
    assert.equal(await read(), null, "and no use brings it back");
    const idle = await started(user, { idleMs: 1_000 });
    clock.move(1_001);
    assert.equal(await store.run("readSession", { ...place, digest: idle.digest }), null);
  });

  test("session of another issuer: a session of one environment is none in another", async () => {
    const { user } = await someone();
    const { digest, sid } = await started(user);
    const staging = { ...place, environment: "staging" };
    assert.ok(await store.run("readSession", { ...place, digest }));
    assert.equal(await store.run("readSession", { ...staging, digest }), null);
    assert.equal(await store.run("readSession", { ...staging, sid }), null);
    assert.equal(await store.run("endSession", { ...staging, sid, actor: "a", why: "x" }), false);
  });

  test("session fixation: a log-in ends the session its browser had, and a further proof makes a new cookie for the same session", async () => {
    const { user } = await someone();
    const first = await started(user);
    const second = await started(user, { replaces: first.digest });
    assert.equal(await store.run("readSession", { ...place, digest: first.digest }), null);
    assert.ok((await revocations()).includes(`session ${first.sid}`));
    const to = digestOf("session", makeSecret(random));
    const raise = {
      ...place,
      from: second.digest,
      to,
      user,
      acr: "urn:sallyport:acr:mfa",
      amr: ["pwd", "otp"],
      idleMs: 1_000_000,
      authTime: null,
      outside: null,
    } as const;
    clock.move(5_000);
    assert.equal(await store.run("raiseSession", { ...raise, user: "usr_other" }), null, "not another user's");
    const raised = await store.run("raiseSession", raise);
    assert.deepEqual([raised?.sid, raised?.acr, raised?.authTime], [second.sid, raise.acr, clock.now()]);
    assert.equal(
      await store.run("readSession", { ...place, digest: second.digest }),
      null,
      "the old cookie is worth nothing",
    );
    assert.equal((await store.run("readSession", { ...place, digest: to }))?.authTime, clock.now());
  });

  test("downgrade: a further proof that is weaker, or as strong and older, leaves a session worth what it was, and as old", async () => {
    const { user } = await someone();
    const strong = { acr: "urn:sallyport:acr:phishing-resistant", amr: ["hwk", "user", "mfa"] } as const;
    const weak = { acr: "urn:sallyport:acr:password", amr: ["pwd"] } as const;
    const { digest, sid } = await started(user, strong);
    const provenAt = clock.now();
    let from = digest;
    const prove = async (proof: typeof strong | typeof weak, authTime: number | null) => {
      const to = digestOf("session", makeSecret(random));
      const raised = await store.run("raiseSession", {
        ...{ ...place, from, to, user, ...proof, authTime },
        outside: null,
        idleMs: 1_000_000,
      });
      from = to;
      assert.deepEqual(
        await store.run("readSession", { ...place, digest: to }),
        raised,
        "what is said is what is kept",
      );
      return [raised?.sid, raised?.acr, raised?.amr[0], raised?.authTime];
    };
    clock.move(60_000);
    assert.deepEqual(await prove(weak, null), [sid, strong.acr, "hwk", provenAt], "no fresher by a weaker proof");
    assert.deepEqual(
      await prove(strong, provenAt - 5_000),
      [sid, strong.acr, "hwk", provenAt],
      "nor older by an old one",
    );
    assert.deepEqual(await prove(strong, null), [sid, strong.acr, "hwk", clock.now()]);
  });

  test("an operator's revocation of a user or of a session is the end of its log-in, until the next one", async () => {
    const { user } = await someone();
    const [first, second] = [await started(user), await started(user)];
    const order = { ...place, notBefore: clock.now(), until: clock.now() + 660_000, actor: "operator:test" };
    const alive = async ({ digest }: { readonly digest: string }) =>
      (await store.run("readSession", { ...place, digest })) !== null;
    const listed = await store.run("listSessions", { ...place, user });
    const known = (await store.run("listUsers", place)).find(({ id }) => id === user)?.name;
    assert.deepEqual([listed.length, new Set(listed.map(({ name }) => name))], [2, new Set([known])]);
    await store.run("revoke", { ...order, kind: "session", value: first.sid });
    assert.deepEqual([await alive(first), await alive(second)], [false, true]);
    await store.run("revoke", { ...order, kind: "subject", value: user, environment: "staging" });
    assert.equal(await alive(second), true, "in another environment");
    await store.run("revoke", { ...order, kind: "subject", value: user });
    assert.deepEqual([await alive(second), await store.run("listSessions", { ...place, user })], [false, []]);
    clock.move(1_000);
    const elsewhere = newSession(user, makeSecret(random), { authTime: order.notBefore });
    assert.equal(await store.run("startSession", elsewhere), null, "a log-in elsewhere from before brings nobody back");
    const third = await started(user);
    assert.equal(await alive(third), true);
    clock.move(700_000);
    assert.deepEqual([await alive(second), await alive(third)], [false, true], "also when gateways have forgotten it");
  });

  test("an end is one transaction with its revocation, and clients that had tokens are to be told", async () => {
    const { user } = await someone();
    const { sid, digest } = await started(user);
    for (const client of ["shop", "shop", "desk"])
      assert.ok(await store.run("noteSessionClient", { ...place, sid, client }));
    const end = { ...place, sid, actor: "operator:test", why: "operator" };
    assert.equal(await store.run("endSession", { ...end, user: "usr_other" }), false);
    assert.deepEqual(await atOnce(3, () => store.run("endSession", end)).then((all) => all.filter(Boolean).length), 1);
    assert.equal((await revocations()).filter((one) => one === `session ${sid}`).length, 1);
    assert.equal(await store.run("readSession", { ...place, digest }), null);
    assert.equal(
      await store.run("noteSessionClient", { ...place, sid, client: "late" }),
      false,
      "no token of an ended session",
    );
  });

  test("attack: a session that was filled with clients still serves those it has", async () => {
    const { user } = await someone();
    const { sid } = await started(user);
    const note = (client: string) => store.run("noteSessionClient", { ...place, sid, client });
    for (let n = 0; n < 64; n += 1) assert.equal(await note(`client-${n}`), true);
    assert.equal(await note("one-more"), false);
    assert.equal(await note("client-0"), true);
  });

  test("a session that ends takes the grants made in it along, and a disabled user all of theirs: nothing can be refreshed any more", async () => {
    const { user } = await someone();
    const [first, second] = [await started(user), await started(user)];
    const grantOf = async (session: string | null) => {
      const id = `grt_${makeSecret(random).slice(0, 22)}`;
      const oauth = { ...place, interaction: `i-${id}`, pushed: null };
      await store.run("keepOAuthRequest", {
        ...place,
        kind: "interaction",
        digest: oauth.interaction,
        client: "shop",
        expiresAt: clock.now() + 60_000,
        sealed: new Uint8Array(4),
      });
      const facts = {
        id,
        client: "shop",
        subject: user,
        session,
        authenticatedAt: clock.now(),
        expiresAt: clock.now() + 1_000_000,
        sealed: new Uint8Array(4),
      };
      const code = { digest: `c-${id}`, expiresAt: clock.now() + 60_000, sealed: new Uint8Array(4) };
      assert.ok(await store.run("allowAuthorization", { ...oauth, grant: facts, code, consent: null }));
      return `c-${id}`;
    };
    const redeem = (digest: string) =>
      store.run("redeemCode", { ...place, kind: "code", client: "shop", digest, refresh: null });
    const codes = [await grantOf(first.sid), await grantOf(second.sid), await grantOf(null)] as const;
    await store.run("endSession", { ...place, sid: first.sid, actor: `user:${user}`, why: "user" });
    assert.equal(await redeem(codes[0]), "gone");
    assert.equal(await redeem(codes[1]), "redeemed", "another session's grant lives");
    await store.run("disableUser", { ...place, user, actor: "operator:test", reason: "left" });
    assert.equal(await redeem(codes[2]), "gone");
  });

  test("a session whose whole time is over is ended with what it allowed, once", async () => {
    const { user } = await someone();
    const { sid } = await started(user, { absoluteMs: 1_000 });
    await store.run("noteSessionClient", { ...place, sid, client: "shop" });
    clock.move(1_001);
    while ((await store.run("endExpiredSessions", null)) > 0);
    assert.equal((await revocations()).filter((one) => one === `session ${sid}`).length, 1);
    assert.equal(await store.run("endExpiredSessions", null), 0);
  });

  test("when a session or its user ends, so do the grants made in it; one that would be made a moment later is not", async () => {
    const { user } = await someone();
    const first = await started(user);
    const second = await started(user);
    const allow = async (digest: string, session: string) => {
      const sealed = new Uint8Array([1]);
      const kept = { ...place, kind: "interaction" as const, digest, client: "portal", sealed };
      await store.run("keepOAuthRequest", { ...kept, expiresAt: clock.now() + 60_000 });
      const expiresAt = clock.now() + 60_000;
      const grant = {
        id: digest,
        client: "portal",
        subject: user,
        session,
        authenticatedAt: clock.now(),
        expiresAt,
        sealed,
      };
      const code = { digest, expiresAt, sealed };
      const request = { ...place, interaction: digest, pushed: null };
      return store.run("allowAuthorization", { ...request, grant, code, consent: null });
    };
    const isLive = async (digest: string) =>
      (await store.run("readOAuthObject", { ...place, kind: "code", digest }))?.grantEnded === false;
    assert.equal(await allow(`${user}-1`, first.sid), true);
    assert.equal(await allow(`${user}-2`, second.sid), true);
    await store.run("endSession", { ...place, sid: first.sid, actor: "operator:test", why: "test" });
    assert.deepEqual([await isLive(`${user}-1`), await isLive(`${user}-2`)], [false, true]);
    assert.equal(await allow(`${user}-3`, first.sid), false, "the session is over");
    await store.run("disableUser", { ...place, user, actor: "operator:test", reason: "test" });
    assert.equal(await isLive(`${user}-2`), false);
    assert.equal(await allow(`${user}-4`, "ses_other"), false, "the user is disabled");
  });

  test("disabling a user ends every session and every token, and nothing of theirs works until they are enabled", async () => {
    const { user, link } = await someone();
    const sessions = [await started(user), await started(user)];
    const act = { ...place, user, actor: "operator:test", reason: "left" };
    assert.deepEqual([await store.run("disableUser", act), await store.run("disableUser", act)], [true, false]);
    const all = await revocations();
    assert.ok(all.includes(`subject ${user}`));
    for (const { sid, digest } of sessions) {
      assert.ok(all.includes(`session ${sid}`));
      assert.equal(await store.run("readSession", { ...place, digest }), null);
    }
    assert.equal(await store.run("startSession", newSession(user, makeSecret(random))), null);
    assert.equal(await store.run("readEnrolment", { ...place, digest: digestOf("enrolment", link) }), null);
    assert.ok(await store.run("enableUser", act));
    assert.equal(
      await store.run("readSession", { ...place, digest: sessions[0]?.digest ?? "" }),
      null,
      "what ended stays ended",
    );
    assert.ok(await store.run("startSession", newSession(user, makeSecret(random))));
  });

  test("a reset takes every credential and every known browser away", async () => {
    const { user } = await someone();
    const digest = digestOf("device", "cookie");
    await started(user, { remember: { digest, lifetimeMs: 1_000_000 } });
    await store.run("setPassword", { ...place, user, password: "$argon2id$", right: { kind: "session" }, actor: "a" });
    await store.run("setTotp", { ...place, user, sealed: new Uint8Array(8), step: 1, recovery: ["x"], actor: "a" });
    assert.ok(await store.run("isKnownDevice", { ...place, user, digest }));
    assert.equal(await store.run("isKnownDevice", { ...place, user: "usr_other", digest }), false);
    const link = { digest: digestOf("enrolment", makeSecret(random)), until: clock.now() + 1_000 };
    await store.run("resetUser", { ...place, user, actor: "operator:test", reason: "lost", link });
    const left = await store.run("readUser", { ...place, user });
    assert.deepEqual([left?.password, left?.totp, left?.passkeys, left?.recoveryCodesLeft], [null, null, [], 0]);
    assert.equal(await store.run("isKnownDevice", { ...place, user, digest }), false);
    const [line] = (await store.run("listUsers", place)).filter((one) => one.id === user);
    assert.deepEqual([line?.password, line?.totp, line?.passkeys, line?.sessions], [false, false, 0, 0]);
  });

  test("attack: what a thief allowed in somebody's name is not allowed any more after a reset", async () => {
    const { user } = await someone();
    const consent = { ...place, user, client: "shop", providers: ["billing"], scopes: null };
    await store.run("giveConsent", consent);
    const link = { digest: `reset-${user}`, until: clock.now() + 60_000 };
    await store.run("resetUser", { ...place, user, actor: "operator:test", reason: "taken over", link });
    assert.equal(await store.run("hasConsent", consent), false);
  });

  test("guesses made at once are as slow as guesses made one after another", async () => {
    const takes = [{ key: `as:${names}`, rule: throttleRules.accountFromSource }];
    const outcomes = await atOnce(25, () => store.run("takeAttempt", { ...place, takes }));
    assert.equal(outcomes.filter((wait) => wait === null).length, throttleRules.accountFromSource.burst);
    await store.run("giveAttemptBack", { ...place, takes });
    assert.equal(await store.run("takeAttempt", { ...place, takes }), null);
    assert.notEqual(await store.run("takeAttempt", { ...place, takes }), null);
  });

  test("what may be used once is used once, and is forgotten after its time", async () => {
    const spend = () => store.run("spendOnce", { ...place, digest: `once-${names}`, until: clock.now() + 1_000 });
    assert.equal((await atOnce(8, spend)).filter(Boolean).length, 1);
    clock.move(86_400_000 * 60);
    assert.ok((await store.run("purgePeople", null)) > 0);
    while ((await store.run("purgePeople", null)) > 0);
    assert.deepEqual(await store.run("listSessions", place), []);
  });
});
