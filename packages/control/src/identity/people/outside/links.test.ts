import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { digestOf, makeUserId } from "../one-time-secrets.ts";
import {
  addTestUser,
  commandsUrl,
  type PeopleTestCommands,
  place,
  random,
  standingClock,
} from "../people.test-support.ts";
import { linkDigest } from "./link-commands.ts";

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  let store: Store<PeopleTestCommands>;
  let ofAnotherNode: Store<PeopleTestCommands>;
  before(async () => {
    const options = { commands: commandsUrl, clock, place: open.newPlace() };
    store = await open<PeopleTestCommands>(options);
    ofAnotherNode = await open<PeopleTestCommands>(options);
  });
  const actor = "operator:test";
  const digest = (subject: string) => linkDigest("https://corp.example", subject);
  const someone = async (name: string) => (await addTestUser(store, name, clock.now())).user;

  test("an identity outside is one user's, in one environment, however many connect it at once", async () => {
    const [anna, bert] = [await someone("anna"), await someone("bert")];
    const link = { ...place, provider: "corp", actor, digest: digest("s1") };
    const outcomes = await Promise.all([
      store.run("linkUser", { ...link, user: anna }),
      ofAnotherNode.run("linkUser", { ...link, user: bert }),
    ]);
    assert.deepEqual(outcomes.toSorted(), ["linked", "taken"]);
    const owner = outcomes[0] === "linked" ? anna : bert;
    assert.equal(await store.run("readLink", { ...place, digest: digest("s1") }), owner);
    assert.equal(await store.run("readLink", { ...place, environment: "staging", digest: digest("s1") }), null);
    assert.equal(await store.run("linkUser", { ...link, user: owner, digest: digest("s2") }), "has-one");
    assert.equal(await store.run("linkUser", { ...link, user: "usr_nobody", digest: digest("s3") }), "no-user");
  });

  test("an enrolment link connects one identity, however many are shown with it at once, and an identity takes one link", async () => {
    const { user, link } = await addTestUser(store, "invited", clock.now());
    const shown = { ...place, provider: "corp", link: digestOf("enrolment", link) };
    const outcomes = await Promise.all(
      [store, ofAnotherNode].map((one, index) =>
        one.run("linkByEnrolment", { ...shown, digest: digest(`invited-${index}`) }),
      ),
    );
    assert.deepEqual(outcomes.map(({ kind }) => kind).toSorted(), ["linked", "no-right"]);
    assert.equal((await store.run("listLinks", { ...place, user })).length, 1);
    const late = await addTestUser(store, "late", clock.now());
    const taken = {
      ...shown,
      link: digestOf("enrolment", late.link),
      digest: digest(`invited-${outcomes[0]?.kind === "linked" ? 0 : 1}`),
    };
    assert.deepEqual(await store.run("linkByEnrolment", taken), { kind: "taken" });
    assert.ok(await store.run("readEnrolment", { ...place, digest: taken.link }), "and the link stays good");
    const old = await addTestUser(store, "old", clock.now());
    clock.move(3_600_000);
    const over = { ...shown, link: digestOf("enrolment", old.link), digest: digest("old") };
    assert.deepEqual(await store.run("linkByEnrolment", over), { kind: "no-right" });
    assert.equal(await store.run("readLink", { ...place, digest: over.digest }), null);
  });

  test("of two first log-ins at once one makes the user; both are that one", async () => {
    const made = { ...place, provider: "corp", digest: digest("first") };
    const both = await Promise.all(
      [store, ofAnotherNode].map((one, index) =>
        one.run("addLinkedUser", { ...made, user: makeUserId(random), name: `corp-${index}` }),
      ),
    );
    assert.deepEqual(both.toSorted(), [false, true]);
    assert.equal((await store.run("listUsers", place)).filter(({ name }) => name.startsWith("corp-")).length, 1);
  });

  test("the only way in is not disconnected; beside another it is, and a reset takes it away", async () => {
    const user = makeUserId(random);
    const made = { ...place, provider: "corp", digest: digest("only") };
    assert.equal(await store.run("addLinkedUser", { ...made, user, name: "corp-only" }), true);
    const unlink = { ...place, user, provider: "corp", actor: `user:${user}` };
    assert.equal(await store.run("unlinkUser", unlink), "last-way-in");
    const other = { ...place, user, provider: "other", actor, digest: linkDigest("https://other.example", "only") };
    assert.equal(await store.run("linkUser", other), "linked");
    assert.equal(await store.run("unlinkUser", unlink), "unlinked");
    assert.equal(await store.run("unlinkUser", unlink), "no-link");
    const link = { digest: "of-a-link", until: clock.now() + 60_000 };
    await store.run("resetUser", { ...place, user, actor, reason: "lost", link });
    assert.deepEqual(await store.run("listLinks", { ...place, user }), []);
  });

  test("of two nodes that make a key for a provider at once one does, and both use it", async () => {
    const name = { ...place, provider: "corp" };
    const both = await Promise.all(
      [store, ofAnotherNode].map((one, index) =>
        one.run("insertProviderKey", { ...name, sealed: new Uint8Array([index]), kid: `kid-${index}` }),
      ),
    );
    assert.deepEqual(both.toSorted(), [false, true]);
    assert.deepEqual(await store.run("readProviderKey", name), new Uint8Array([both[0] === true ? 0 : 1]));
  });

  test("issuer and subject do not run into each other", () => {
    assert.notEqual(linkDigest("https://a.example", "1:x"), linkDigest("https://a.example1", ":x"));
    assert.notEqual(linkDigest("https://a.example\n1:s", ""), linkDigest("https://a.example", "s"));
  });
});
