import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { digestOf, makeSecret } from "../one-time-secrets.ts";
import {
  addTestUser,
  commandsUrl,
  newSession,
  type PeopleTestCommands,
  place,
  random,
  standingClock,
} from "../people.test-support.ts";
import { linkDigest } from "./link-commands.ts";
import { outsideSessionDigest } from "./outside-sessions.ts";

const corp = "https://corp.example";
const other = "https://other.example";

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  let store: Store<PeopleTestCommands>;
  before(async () => {
    store = await open<PeopleTestCommands>({ commands: commandsUrl, clock });
  });
  let names = 0;
  const someone = async () => (await addTestUser(store, `user${names++}`, clock.now())).user;
  const vouched = (issuer: string, subject: string, session: string | null) => ({
    issuer,
    link: linkDigest(issuer, subject),
    session: session === null ? null : outsideSessionDigest(issuer, session),
  });
  const begin = async (user: string, outside: ReturnType<typeof vouched> | null, environment = "production") => {
    const cookie = makeSecret(random);
    const started = await store.run("startSession", newSession(user, cookie, { outside, environment }));
    assert.ok(started);
    return { sid: started.sid, digest: digestOf("session", cookie) };
  };
  const lives = async (...sessions: readonly { readonly digest: string }[]) =>
    Promise.all(sessions.map(async ({ digest }) => (await store.run("readSession", { ...place, digest })) !== null));
  const ended = (subject: string | null, session: string | null, issuer = corp) =>
    store.run("endSessionsFrom", {
      ...place,
      provider: "corp",
      issuer,
      link: subject === null ? null : linkDigest(issuer, subject),
      session: session === null ? null : outsideSessionDigest(issuer, session),
    });
  const revoked = async () =>
    (await store.run("readRevocations", { ...place, from: 0 })).entries.map(({ kind, value }) => `${kind} ${value}`);

  test("an end at a provider ends the session it names, or all of its subject, with a revocation each; nobody else's and no other provider's", async () => {
    const [anna, bert] = [await someone(), await someone()];
    const laptop = await begin(anna, vouched(corp, "s-anna", "at-laptop"));
    const phone = await begin(anna, vouched(corp, "s-anna", "at-phone"));
    const here = await begin(anna, null);
    const elsewhere = await begin(anna, vouched(other, "s-anna", "at-laptop"));
    const theirs = await begin(bert, vouched(corp, "s-bert", "at-desk"));
    assert.equal(await ended("s-bert", "at-laptop"), 0, "the session of one and the name of another end nothing");
    assert.equal(await ended("s-anna", "at-laptop"), 1);
    assert.deepEqual(await lives(laptop, phone, here, elsewhere, theirs), [false, true, true, true, true]);
    assert.ok((await revoked()).includes(`session ${laptop.sid}`));
    assert.equal(await ended("s-anna", null), 1);
    assert.deepEqual(await lives(phone, here, elsewhere, theirs), [false, true, true, true]);
    assert.equal(await ended(null, "at-desk"), 1);
    assert.deepEqual(await lives(here, elsewhere, theirs), [true, true, false]);
    assert.equal(await ended("s-anna", null), 0, "what has ended is not ended again");
  });

  test("a session whose name at the provider is not known ends by its subject, and one that a provider vouched for later too", async () => {
    const user = await someone();
    const unnamed = await begin(user, vouched(corp, "s-unnamed", null));
    assert.equal(await ended(null, "anything"), 0);
    assert.equal(await ended("s-unnamed", "anything"), 1);
    assert.deepEqual(await lives(unnamed), [false]);
    const begun = await begin(user, null);
    const to = digestOf("session", makeSecret(random));
    const proof = { acr: "urn:sallyport:acr:password", amr: ["fed"], authTime: null, idleMs: 3_600_000 } as const;
    const outside = vouched(corp, "s-unnamed", "later");
    const raise = { ...place, ...proof, from: begun.digest, to, user, outside };
    assert.equal((await store.run("raiseSession", raise))?.sid, begun.sid);
    assert.equal(await ended("s-unnamed", "later"), 1);
    assert.deepEqual(await lives({ digest: to }), [false]);
  });

  test("a provider that is taken out of the estate takes the sessions it vouched for along, in that environment", async () => {
    const user = await someone();
    const kept = await begin(user, vouched(other, "s", "1"));
    const gone = await begin(user, vouched(corp, "s", "1"));
    const both = await begin(user, vouched(corp, "s", "2"));
    const own = await begin(user, null);
    assert.ok((await store.run("endSessionsBeyond", { ...place, issuers: [corp, other] })) === 0);
    const elsewhere = { ...place, environment: "staging" };
    assert.equal(await store.run("endSessionsBeyond", { ...elsewhere, issuers: [] }), 0);
    await store.run("endSessionsBeyond", { ...place, issuers: [other] });
    assert.deepEqual(await lives(kept, gone, both, own), [true, false, false, true]);
    const all = await revoked();
    for (const { sid } of [gone, both]) assert.ok(all.includes(`session ${sid}`));
    await store.run("endSessionsBeyond", { ...place, issuers: [] });
    assert.deepEqual(await lives(kept, own), [false, true]);
  });
});
