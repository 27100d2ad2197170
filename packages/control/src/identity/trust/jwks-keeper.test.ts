import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { IssuerConfig } from "../../registry/config/estate.ts";
import type { OutsidePlace } from "../dial-once.ts";
import {
  askedAtOnceMax,
  dueAtOnceMax,
  JwksKeeper,
  type KeySource,
  refreshMs,
  staleMaxMs,
  tryMs,
  unknownMax,
  unknownMs,
} from "./jwks-keeper.ts";
import type { KeptKeys } from "./kept-keys.ts";
import type { TrustCommands } from "./store.ts";
import { createTrustedIssuers, type TrustedIssuers } from "./trusted-issuers.ts";

const source: KeySource = { id: "ci", uri: "https://ci.example/jwks", allowPrivate: false, algorithms: ["ES256"] };
const jwkOf = (kid: string) => ({
  ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }),
  kid,
});
const realm: IssuerConfig = {
  ...{ id: "realm", url: "https://sso.example/realms/shop", kind: "keycloak", algorithms: ["ES256"] },
  ...{ audiences: [], companions: ["account"], parties: null, lifetimeSecondsMax: 300, systems: [] },
  keys: { from: "uri", uri: "https://sso.example/certs", allowPrivate: false },
  gateways: [{ system: "portal", party: "web", claims: {}, speaksFor: "user", audiences: {} }],
  declaredAt: { file: "issuers/realm.yaml", line: 1, column: 1 },
};
const known = new Map(["a", "b", "c"].map((kid) => [kid, jwkOf(kid)]));
const setOf = (...kids: string[]) => Buffer.from(JSON.stringify({ keys: kids.map((kid) => known.get(kid)) }));

function keeperWith(kept: KeptKeys | null = null) {
  const state = {
    places: [] as OutsidePlace[],
    now: 1_800_000_000_000,
    answer: (): Promise<Uint8Array> => Promise.resolve(setOf("a")),
    fetches: 0,
    changed: 0,
    changes: [] as { added: readonly string[]; removed: readonly string[] }[],
    confirmed: 0,
    faults: [] as string[],
    kept,
  };
  const keeper = new JwksKeeper({
    owner: "issuer",
    clock: { now: () => state.now, monotonic: () => state.now },
    random: { bytes: (length) => new Uint8Array(length).fill(127) },
    fetchJwks: (place) => {
      state.places.push(place);
      state.fetches++;
      return state.answer();
    },
    read: async () => state.kept,
    change: async (_issuer, change) => state.changes.push(change),
    confirm: async () => state.confirmed++,
    changed: () => state.changed++,
    fault: (error) => state.faults.push(String(error)),
  });
  keeper.use([source]);
  return { state, keeper };
}
const kids = (keeper: JwksKeeper) => keeper.keysOf("ci").map(({ kid }) => kid);

describe("keys of outside issuers", () => {
  test("are fetched ahead of need: at the first tick and about every ten minutes, with what changed recorded and told", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    assert.deepEqual([kids(keeper), state.fetches, state.changed], [["a"], 1, 1]);
    state.now += refreshMs * 0.85;
    await keeper.tick();
    assert.equal(state.fetches, 1);
    state.now += refreshMs * 0.3;
    await keeper.tick();
    assert.deepEqual([state.fetches, state.changed, state.confirmed], [2, 1, 1]);
    state.answer = async () => setOf("b");
    state.now += refreshMs * 1.2;
    await keeper.tick();
    assert.deepEqual([kids(keeper), state.changed], [["b"], 2]);
    assert.deepEqual(
      state.changes.map(({ added, removed }) => [added.length, removed.length]),
      [
        [1, 0],
        [1, 1],
      ],
    );
  });

  test("unknown-kid fetch storm: a thousand callers with a thousand names cost the issuer one fetch in thirty seconds", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    state.now += tryMs - 1;
    await Promise.all(Array.from({ length: 1_000 }, (_, at) => keeper.find("ci", `made-up-${at}`)));
    assert.equal(state.fetches, 1);
    state.now += 1;
    const gate = Promise.withResolvers<Uint8Array>();
    state.answer = () => gate.promise;
    const waiting = Array.from({ length: 1_000 }, (_, at) => keeper.find("ci", at === 0 ? "b" : `made-up-${at}`));
    gate.resolve(setOf("a", "b"));
    const found = await Promise.all(waiting);
    assert.equal(state.fetches, 2);
    assert.equal(found.filter((key) => key !== null).length, 1);
  });

  test("a name that a fetch did not bring is not looked for again for a minute, and few are remembered", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    state.now += tryMs;
    assert.equal(await keeper.find("ci", "made-up"), null);
    assert.equal(state.fetches, 2);
    state.now += tryMs;
    assert.equal(await keeper.find("ci", "made-up"), null);
    assert.equal(state.fetches, 2);
    state.now += unknownMs;
    assert.equal(await keeper.find("ci", "made-up"), null);
    assert.equal(state.fetches, 3);
    state.now += tryMs;
    await Promise.all(Array.from({ length: unknownMax + 1 }, (_, at) => keeper.find("ci", `other-${at}`)));
    const before = state.fetches;
    state.now += tryMs;
    await keeper.find("ci", "other-1");
    assert.equal(state.fetches, before, "remembered");
    await keeper.find("ci", "other-0");
    assert.equal(state.fetches, before + 1, "the oldest name made room");
  });

  test("attack: a stranger who names tomorrow's key today keeps its owner out for a minute at most", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    state.now += tryMs;
    assert.equal(await keeper.find("ci", "b"), null);
    state.answer = () => Promise.resolve(setOf("a", "b"));
    state.now += 60_000;
    assert.notEqual(await keeper.find("ci", "b"), null);
  });

  test("a gateway's ask is met as soon as the last try is 30 s old, and a storm of asks is one fetch", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    state.answer = async () => setOf("a", "b");
    const storm = async () => {
      for (let at = 0; at < 100; at++) keeper.look("ci");
      await Promise.all([keeper.tick(), keeper.tick()]);
    };
    await storm();
    assert.equal(state.fetches, 1);
    state.now += tryMs - 1;
    await storm();
    assert.equal(state.fetches, 1);
    state.now += 1;
    await keeper.tick();
    assert.deepEqual([kids(keeper), state.fetches, state.changed], [["a", "b"], 2, 2]);
    state.now += tryMs;
    await storm();
    assert.deepEqual([state.fetches, state.changed], [3, 2]);
    keeper.look("nobody");
  });

  test("before a snapshot is made what another control node saw later is taken up, and nothing older or from elsewhere", async () => {
    const other = keeperWith();
    await other.keeper.tick();
    const { state, keeper } = keeperWith();
    await keeper.tick();
    const kept = { source: "", keys: other.keeper.keysOf("ci").map((key) => ({ ...key, kid: "theirs" })) };
    state.kept = { ...kept, fetchedAt: state.now + 1 };
    await keeper.takeKept();
    assert.deepEqual(kids(keeper), ["a"], "kept under another URL or other algorithms");
    const { source: name } = (state.changes[0] ?? {}) as unknown as { source: string };
    state.kept = { ...kept, source: name, fetchedAt: state.now - 1 };
    await keeper.takeKept();
    assert.deepEqual(kids(keeper), ["a"]);
    state.kept = { ...kept, source: name, fetchedAt: state.now + 1 };
    await keeper.takeKept();
    assert.deepEqual([kids(keeper), state.changed], [["theirs"], 1], "who compiles is not told what it asked for");
  });

  test("an issuer that fails is believed for a day and then no more, and gateways are told once", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    state.answer = () => Promise.reject(new Error("connect-failed"));
    state.now += staleMaxMs - 1;
    await keeper.tick();
    assert.deepEqual(kids(keeper), ["a"]);
    assert.ok((await keeper.find("ci", "a")) !== null);
    assert.match(state.faults.join(), /could not be fetched: connect-failed/);
    state.now += 1;
    await keeper.tick();
    await keeper.tick();
    assert.deepEqual([kids(keeper), await keeper.find("ci", "a"), state.changed], [[], null, 2]);
    state.answer = async () => setOf("a");
    state.now += tryMs;
    await keeper.tick();
    assert.deepEqual([kids(keeper), state.changed], [["a"], 3]);
  });

  test("an answer without a usable key, not JSON or too large changes nothing", async () => {
    const { state, keeper } = keeperWith();
    await keeper.tick();
    const symmetric = JSON.stringify({ keys: [{ kty: "oct", k: "AAAA", kid: "a" }] });
    for (const bad of ["", "<html>", '{"keys":[]}', symmetric, `{"keys":[],"pad":"${"x".repeat(300_000)}"}`]) {
      state.answer = async () => Buffer.from(bad);
      state.now += refreshMs * 2;
      await keeper.tick();
      assert.deepEqual(kids(keeper), ["a"], bad.slice(0, 20));
    }
    assert.equal(state.changes.length, 1);
  });

  test("a restart beside an unreachable issuer believes what was kept, unless it came from elsewhere", async () => {
    const first = keeperWith();
    await first.keeper.tick();
    const kept = first.state.changes[0] as unknown as KeptKeys;
    const again = keeperWith(kept);
    again.state.answer = () => Promise.reject(new Error("connect-failed"));
    await again.keeper.tick();
    assert.deepEqual(kids(again.keeper), ["a"]);
    const moved = keeperWith({ ...kept, source: "another place" });
    moved.state.answer = () => Promise.reject(new Error("connect-failed"));
    await moved.keeper.tick();
    assert.deepEqual(kids(moved.keeper), []);
  });

  test("a key is believed only once its coming is recorded", async () => {
    const { state } = keeperWith();
    const keeper = new JwksKeeper({
      owner: "issuer",
      clock: { now: () => state.now, monotonic: () => 0 },
      random: { bytes: (length) => new Uint8Array(length) },
      fetchJwks: async () => setOf("a"),
      read: async () => null,
      change: () => Promise.reject(new Error("store-full")),
      confirm: async () => undefined,
      changed: () => assert.fail("nothing changed"),
      fault: () => undefined,
    });
    keeper.use([source]);
    await keeper.tick();
    assert.deepEqual(kids(keeper), []);
  });

  test("other algorithms or another place begin anew; an issuer that is gone has no keys", async () => {
    const { keeper } = keeperWith();
    await keeper.tick();
    keeper.use([source]);
    assert.deepEqual(kids(keeper), ["a"]);
    keeper.use([{ ...source, algorithms: ["EdDSA"] }]);
    assert.deepEqual(kids(keeper), []);
    keeper.use([]);
    assert.equal(await keeper.find("ci", "a"), null);
  });
});

describe("fetches of keys", () => {
  test("SSRF: the leave for a private address that was taken back holds from the next fetch on", async () => {
    const { state, keeper } = keeperWith();
    keeper.use([{ ...source, allowPrivate: true }]);
    await keeper.tick();
    keeper.use([source]);
    state.now += refreshMs * 2;
    await keeper.tick();
    assert.deepEqual(
      state.places.map(({ allowPrivate }) => allowPrivate),
      [true, false],
    );
  });

  test("fetch storm of our own: of a thousand places that are due sixteen are asked at once, and all are asked", async () => {
    const { state, keeper } = keeperWith();
    keeper.use(Array.from({ length: 1_000 }, (_, at) => ({ ...source, id: `c${at}`, uri: `${source.uri}/${at}` })));
    let running = 0;
    let most = 0;
    state.answer = async () => {
      running++;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => setImmediate(resolve));
      running--;
      return setOf("a");
    };
    await keeper.tick();
    assert.deepEqual([most, state.fetches], [dueAtOnceMax, 1_000]);
  });

  test("fetch storm by strangers: a name for each of a thousand clients is at most sixty-four fetches at once", async () => {
    const { state, keeper } = keeperWith();
    keeper.use(Array.from({ length: 1_000 }, (_, at) => ({ ...source, id: `c${at}`, uri: `${source.uri}/${at}` })));
    const gate = Promise.withResolvers<Uint8Array>();
    state.answer = () => gate.promise;
    const waiting = Array.from({ length: 1_000 }, (_, at) => keeper.find(`c${at}`, "made-up"));
    gate.resolve(setOf("a"));
    await Promise.all(waiting);
    assert.equal(state.fetches, askedAtOnceMax);
    state.now += tryMs;
    assert.notEqual(await keeper.find("c999", "a"), null, "and the next one is asked for again");
  });
});

forEachDialect((_dialect, open) => {
  test("the store keeps the last keys of each issuer and records each change of them once", async () => {
    const store = await open<TrustCommands>({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    const place = { tenant: "main", environment: "production", owner: "ci" };
    assert.equal(await store.run("readIssuerKeys", place), null);
    const keys = [{ kid: "a", alg: "ES256", jwk: { kty: "EC", crv: "P-256", x: "x", y: "y" } }] as const;
    await store.run("changeIssuerKeys", { ...place, source: "s", keys, fetchedAt: 5, added: ["t"], removed: [] });
    await store.run("confirmIssuerKeys", { ...place, fetchedAt: 9 });
    // A node whose clock is behind does not make the keys older than they are.
    await store.run("confirmIssuerKeys", { ...place, fetchedAt: 7 });
    assert.deepEqual(await store.run("readIssuerKeys", place), { source: "s", keys, fetchedAt: 9 });
    assert.equal(await store.run("readIssuerKeys", { ...place, environment: "staging" }), null);
  });

  test("two control nodes on one store: gateways are never sent back to keys that the other node saw replaced", async () => {
    const store = await open<TrustCommands>({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    const changed: string[] = [];
    let set = setOf("a");
    const node = (name: string) => {
      const trusted = createTrustedIssuers("https://id.example/main/production", {
        ...{ tenant: "main", environment: "production", store, fetchJwks: async () => set },
        clock: { now: () => now, monotonic: () => now },
        random: { bytes: (length) => new Uint8Array(length).fill(127) },
        issuerKeysChanged: () => changed.push(name),
        fault: (error) => assert.fail(String(error)),
      });
      const { gateways: _, ...traded } = realm;
      trusted.use([realm, { ...traded, id: "ci", url: "https://ci.example" }], []);
      return trusted;
    };
    let now = 1_800_000_000_000;
    const [one, two] = [node("one"), node("two")];
    await one.tick();
    assert.deepEqual(changed, ["one"], "only of the issuer whose tokens may be presented");
    await two.tick();
    now += tryMs;
    set = setOf("b");
    two.look("ci");
    one.look("realm");
    await two.tick();
    await one.tick();
    const held = (trusted: TrustedIssuers) => trusted.publishedKeys("realm").map(({ kid }) => kid);
    assert.deepEqual([held(one), held(two)], [["b"], ["a"]]);
    const [traded] = two.publishedKeys("ci");
    assert.equal(traded?.kid, "a", "no gateway makes control fetch for an issuer whose tokens may not be presented");
    await two.takeKept();
    assert.deepEqual(held(two), ["b"]);
    const third = node("three");
    await third.takeKept();
    assert.deepEqual(held(third), ["b"], "one that starts compiles with what was seen, before it fetched anything");
    const [, state] = third.states({ state: () => null });
    assert.deepEqual(
      [state?.issuer, state?.keys, state?.fetchedAt, state?.believedUntil, state?.failure],
      ["realm", 1, now, now + staleMaxMs, null],
    );
  });
});
