import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { clockSkewMsMax } from "@sallyport/protocol/token/access-token.ts";
import { outsideLifetimeSecondsMax } from "@sallyport/protocol/token/outside-token.ts";
import type { IdentityCommands } from "../store.ts";
import { ClientCredentials } from "./credentials.ts";
import { type ClientsCommands, liveKeysMax } from "./store.ts";

const day = 86_400_000;
const monday = Date.parse("2026-11-23T09:00:00Z");

forEachDialect((_dialect, open) => {
  let store: Store<ClientsCommands & IdentityCommands & typeof outboxCommands>;
  let now = monday;
  before(async () => {
    const clock = { now: () => now, monotonic: () => now };
    store = await open({ commands: new URL("./commands.test-support.ts", import.meta.url), clock });
  });

  const of = (client: string) => ({ tenant: "main", environment: "production", client });
  const by = { actor: "operator:ada", reason: "rotation" };
  const add = (client: string, id: string, over: { notAfter?: number | null; overlapMs?: number } = {}) =>
    store.run("addClientSecret", {
      ...of(client),
      ...by,
      id,
      digest: `digest-${id}`,
      notAfter: null,
      overlapMs: day,
      ...over,
    });
  const read = () => store.run("readClientCredentials", { tenant: "main", environment: "production" });
  const secretsOf = async (client: string) => (await read()).secrets.filter((secret) => secret.client === client);

  test("a second secret lets the first end after the overlap, never later than it would have; a third is refused while both live", async () => {
    const first = await add("shop", "aaaaaaaaaa", { notAfter: now + 5 * day });
    assert.deepEqual(first, { kind: "added", createdAt: now, follows: null });
    const second = await add("shop", "bbbbbbbbbb", { overlapMs: 7 * day });
    assert.deepEqual(second, {
      kind: "added",
      createdAt: now,
      follows: { id: "aaaaaaaaaa", notAfter: monday + 5 * day },
    });
    assert.deepEqual(await add("shop", "cccccccccc"), { kind: "full", live: ["aaaaaaaaaa", "bbbbbbbbbb"] });
    now += 5 * day;
    assert.equal((await add("shop", "cccccccccc")).kind, "added");
    assert.deepEqual(
      (await secretsOf("shop")).map(({ id, notAfter }) => [id, notAfter]),
      [
        ["aaaaaaaaaa", monday + 5 * day],
        ["bbbbbbbbbb", monday + 6 * day],
        ["cccccccccc", null],
      ],
    );
  });

  test("of many secrets added at once two live, however the adds meet", async () => {
    const ids = Array.from({ length: 6 }, (_, index) => `race00000${index}`);
    const outcomes = await Promise.all(ids.map((id) => add("racer", id)));
    assert.equal(outcomes.filter(({ kind }) => kind === "added").length, 2);
    assert.equal((await secretsOf("racer")).length, 2);
  });

  test("ending a secret with its tokens is one transaction: the revocation of its client is there, with the record of both", async () => {
    await add("leaky", "dddddddddd");
    const from = (await store.run("readRevocations", { tenant: "main", environment: "production", from: 0 })).seq;
    const end = { ...of("leaky"), ...by, reason: "in a build log", name: "dddddddddd" };
    assert.equal(await store.run("endClientSecret", { ...end, revokeTokens: true }), true);
    assert.equal(await store.run("endClientSecret", { ...end, revokeTokens: true }), false, "it ends once");
    const { entries } = await store.run("readRevocations", { tenant: "main", environment: "production", from });
    assert.deepEqual(
      entries.map(({ kind, value, notBefore }) => [kind, value, notBefore]),
      [["client", "leaky", now]],
    );
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1_000 });
    const record = rows.find(({ action }) => action === "client.secret.end");
    assert.deepEqual(record?.facts, { secret: "dddddddddd", tokensRevoked: 1, reason: "in a build log" });
    assert.equal(JSON.stringify(rows).includes("digest-"), false, "no digest in a record");
  });

  test("attack: a token of an outside issuer outwaits the revocation that came with a leaked key", async () => {
    await add("outwaited", "gggggggggg");
    const place = { tenant: "main", environment: "production" };
    const from = (await store.run("readRevocations", { ...place, from: 0 })).seq;
    await store.run("endClientSecret", { ...of("outwaited"), ...by, name: "gggggggggg", revokeTokens: true });
    // The longest life such a token may have, and the skew.
    now += outsideLifetimeSecondsMax * 1_000 + clockSkewMsMax - 1;
    const { entries } = await store.run("readRevocations", { ...place, from });
    assert.deepEqual(
      entries.map(({ kind, value }) => [kind, value]),
      [["client", "outwaited"]],
    );
  });

  test("a key that was ended does not come back, for its client or for another; at most eight are live", async () => {
    const key = (client: string, kid: string) =>
      store.run("addClientKey", { ...of(client), ...by, kid, jwk: { kty: "EC" }, notBefore: null, notAfter: null });
    assert.deepEqual(await key("orders", "k1"), { kind: "added" });
    assert.deepEqual(await key("orders", "k1"), { kind: "there" });
    assert.deepEqual(await key("portal", "k1"), { kind: "spent", client: "orders" });
    const end = { ...of("orders"), ...by, name: "k1", published: null, revokeTokens: false };
    assert.equal(await store.run("endClientKey", end), true);
    assert.deepEqual(await key("orders", "k1"), { kind: "spent", client: "orders" });
    for (let index = 0; index < liveKeysMax; index += 1) assert.equal((await key("many", `m${index}`)).kind, "added");
    assert.equal((await key("many", "m-more")).kind, "full");
  });

  test("another control node takes a change up by its number, and reads nothing while there is none", async () => {
    const elsewhere = new ClientCredentials({
      tenant: "main",
      environment: "production",
      store,
      onFault: (fault) => assert.fail(String(fault)),
    });
    assert.equal(await elsewhere.refresh(), true);
    assert.equal(await elsewhere.refresh(), false);
    await add("late", "eeeeeeeeee");
    assert.equal(await elsewhere.refresh(), true);
    assert.deepEqual(elsewhere.secrets().get("late"), [{ id: "eeeeeeeeee", digest: "digest-eeeeeeeeee" }]);
    await store.run("endClientSecret", { ...of("late"), ...by, name: "eeeeeeeeee", revokeTokens: false });
    await elsewhere.refresh();
    assert.equal(elsewhere.secrets().has("late"), false);
  });

  test("the hour of last use only rises", async () => {
    await add("used", "ffffffffff");
    const note = (usedAt: number) => store.run("noteSecretUse", { ...of("used"), id: "ffffffffff", usedAt });
    await note(now);
    await note(now - day);
    assert.equal((await secretsOf("used"))[0]?.usedAt, now);
  });
});
