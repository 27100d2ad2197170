// What a restore ends, and what brings an integration back: on both dialects, from the commands alone.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../commands.ts";
import { isRevokedIn } from "../identity/exchange/revoked.ts";
import { restoreEpoch } from "./restore-epoch.ts";

const commands = new URL("../commands.ts", import.meta.url);
const tenant = "main";
const environment = "production";
const monday = 1_800_000_000_000;
const operator = "operator:ada";

const wanted = (id: string) => {
  const json = JSON.stringify({ id });
  return { environment, kind: "integration", id, json, hash: createHash("sha256").update(json).digest("hex") };
};

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let now: number;
  beforeEach(async () => {
    now = monday;
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => now } });
  });

  const apply = (ids: readonly string[], estate = "shop") =>
    store.run("applyObjects", {
      tenant,
      actor: `config:${estate}`,
      managedBy: `config:${estate}`,
      approvals: { [environment]: "none" },
      objects: ids.map(wanted),
    });
  const change = (command: "activateIntegration" | "suspendIntegration", id: string) =>
    store.run(command, { tenant, environment, id, actor: operator, reason: "because" });
  const fence = async (states: "hold" | "keep") => {
    now += 86_400_000;
    const epoch = restoreEpoch(now, new Uint8Array(2), await store.run("highestNumber", null));
    return store.run("fenceRestore", { tenant, epoch, backup: "b1", backupAt: monday, states, actor: "local:root" });
  };
  const states = async () => {
    const objects = await store.run("listObjects", { tenant, environment, kind: "integration" });
    return Object.fromEntries(objects.map(({ id, state }) => [id, state]));
  };
  const confirm = () => store.run("confirmRestore", { tenant, actor: operator, reason: "looked" });

  test("nothing comes back before its estate is applied, and then not before an operator looked", async () => {
    await apply(["a", "b", "c"]);
    await change("suspendIntegration", "c");
    assert.equal((await fence("hold")).integrations, 2);
    assert.deepEqual(await states(), { a: "suspended", b: "suspended", c: "suspended" });
    // Neither one by one nor all at once while the estate is the one of the backup.
    const early = await change("activateIntegration", "a");
    assert.ok(early.kind === "refused" && early.why.includes("config:shop was not applied since"));
    assert.deepEqual((await confirm()).activated, []);
    // The estate of today has no b any more, and a new d.
    await apply(["a", "c", "d"]);
    assert.deepEqual(await states(), { a: "suspended", c: "suspended", d: "suspended" });
    assert.deepEqual((await confirm()).activated, ["production/a", "production/d"]);
    // What was suspended before the backup stays so, and nobody is asked a second time.
    assert.deepEqual(await states(), { a: "active", c: "suspended", d: "active" });
    assert.deepEqual(await store.run("listHeld", { tenant }), []);
    await apply(["e"], "other");
    assert.equal((await states())["e"], "active", "an estate that comes later is a new one");
  });

  test("attack: what an operator suspends after a restore is not let go by the confirmation", async () => {
    await apply(["a", "b"]);
    await fence("hold");
    await apply(["a", "b"]);
    assert.deepEqual(await change("suspendIntegration", "a"), { kind: "done", state: "suspended", changed: true });
    assert.deepEqual((await confirm()).activated, ["production/b"]);
    assert.deepEqual(await states(), { a: "suspended", b: "active" });
  });

  test("one estate of two is applied: only its integrations can be confirmed", async () => {
    await apply(["a"]);
    await apply(["b"], "other");
    await fence("hold");
    await apply(["a"]);
    const report = await confirm();
    assert.deepEqual(report.activated, ["production/a"]);
    assert.deepEqual(
      report.waiting.map(({ id, managedBy }) => [id, managedBy]),
      [["b", "config:other"]],
    );
    assert.deepEqual(await states(), { a: "active", b: "suspended" });
  });

  test("with --keep-states the apply alone brings back what was active at the backup, and only that", async () => {
    await apply(["a", "b"]);
    await change("suspendIntegration", "b");
    await fence("keep");
    assert.deepEqual(await states(), { a: "suspended", b: "suspended" });
    await apply(["a", "b"]);
    assert.deepEqual(await states(), { a: "active", b: "suspended" });
  });

  test("nodes, join tokens, operators, keys and snapshots of before are ended; numbers go on above every one of before", async () => {
    const group = { tenant, id: "production-default", environment, region: "default" };
    await store.run("ensureGroup", { ...group, actor: "built-in" });
    for (const secretHash of ["a".repeat(64), "b".repeat(64)])
      await store.run("createJoinToken", {
        tenant,
        group: group.id,
        secretHash,
        lifetimeMs: 604_800_000,
        actor: operator,
      });
    await store.run("useJoinToken", { secretHash: "a".repeat(64), node: "gw-1", spki: "s", sealKey: "k" });
    await store.run("addNodeCertificate", { node: "gw-1", thumbprint: "t", notAfter: monday + 9e9 });
    const key = { kid: "k1", alg: "ES256", jwk: {}, sealed: new Uint8Array([1]) } as const;
    const place = { tenant, environment };
    await store.run("writeKeyRing", {
      ...place,
      expectedSeq: 0,
      actor: "built-in",
      created: [key],
      moved: [],
      revoked: [],
    });
    await store.run("insertSealed", { tenant, name: "nonces", envelope: new Uint8Array([1]) });
    await store.run("insertSealed", { tenant, name: "snapshot-production-default", envelope: new Uint8Array([1]) });
    await store.run("insertSealed", { tenant, name: "log-references", envelope: new Uint8Array([1]) });
    const roles = ["admin"] as const;
    const first = { tenant, id: "admin", kid: "o1", jwk: {}, roles, actor: "built-in", onlyFirst: true };
    assert.ok(await store.run("addOperator", first));
    const shop = { ...place, client: "shop", ...{ actor: operator, reason: "test" } };
    await store.run("addClientSecret", { ...shop, id: "s1", digest: "d", notAfter: null, overlapMs: 0 });
    await store.run("addClientKey", { ...shop, kid: "k9", jwk: {}, notBefore: null, notAfter: null });
    const made = { ...place, ...{ actor: operator, reason: "test" }, id: "0000000001", digest: "d", system: "vendor" };
    await store.run("addApiKey", {
      ...made,
      integrations: ["vendor-to-billing"],
      notAfter: monday + 9e9,
      overlapMs: 0,
    });
    const report = await fence("hold");
    assert.deepEqual(
      { ...report, integrations: 0 },
      { nodes: 1, keys: 1, operators: 1, joinTokens: 2, grants: 0, users: 0, integrations: 0 },
    );
    const rows = await store.run("readClientCredentials", place);
    const ended = [...rows.secrets, ...rows.keys].map(({ endedAt }) => endedAt !== null);
    assert.deepEqual(ended, [true, true], "a secret or key that was ended after the backup would live again");
    const keys = await store.run("readApiKeys", { tenant });
    assert.deepEqual(
      keys.map(({ endedAt }) => endedAt !== null),
      [true],
      "as above",
    );
    const unused = { secretHash: "b".repeat(64), node: "gw-2", spki: "s", sealKey: "k" };
    assert.equal(await store.run("useJoinToken", unused), null, "a join token nobody had used at the backup");
    assert.equal(await store.run("nodeByThumbprint", { thumbprint: "t" }), null);
    assert.deepEqual(
      (await store.run("listNodes", { tenant })).map(({ state }) => state),
      ["revoked"],
    );
    const ring = await store.run("readKeyRing", place);
    assert.deepEqual(ring.keys, []);
    const [restore] = await store.run("listRestores", null);
    const [grown] = await store.run("listGroups", { tenant });
    assert.ok(restore !== undefined && ring.seq === restore.epoch && grown?.epoch === restore.epoch);
    const revoked = await store.run("readRevocations", { ...place, from: 0 });
    assert.deepEqual(revoked.entries.map(({ kind, value }) => `${kind} ${value}`).sort(), ["kid k1", "node gw-1"]);
    assert.ok(revoked.seq >= restore.epoch, "a gateway that held more than the backup takes new entries all the same");
    const read = (name: string) => store.run("readSealed", { tenant, name });
    assert.deepEqual([await read("nonces"), await read("snapshot-production-default")], [null, null]);
    assert.notEqual(await read("log-references"), null, "history stays readable");
    // The operator of before is out for good; there is one first operator again, and only one.
    assert.deepEqual(await store.run("readOperators", { tenant }), []);
    assert.equal(await store.run("addOperator", first), false, "a key that was ended never comes back");
    now += 1;
    assert.ok(await store.run("addOperator", { ...first, kid: "o2" }));
    await store.run("removeOperatorKey", { tenant, kid: "o2", actor: operator });
    assert.equal(await store.run("addOperator", { ...first, kid: "o3" }), false, "removing all is no way back in");
  });

  test("attack: what a user allowed before, a refresh token revoked after the backup included, is good for nothing after a restore", async () => {
    const place = { tenant, environment };
    const sealed = new Uint8Array([1]);
    const expiresAt = monday + 30 * 86_400_000;
    const kept = { ...place, client: "shop", expiresAt, sealed };
    await store.run("keepOAuthRequest", { ...kept, kind: "par", digest: "pushed" });
    await store.run("keepOAuthRequest", { ...kept, kind: "interaction", digest: "page" });
    const grant = {
      id: "grt_1",
      client: "shop",
      subject: "usr_1",
      session: null,
      authenticatedAt: now,
      expiresAt,
      sealed,
    };
    const code = { digest: "code", expiresAt, sealed };
    const refresh = { digest: "refresh", expiresAt, sealed };
    assert.ok(
      await store.run("allowAuthorization", {
        ...place,
        interaction: "page",
        pushed: null,
        grant,
        code,
        consent: null,
      }),
    );
    assert.equal(
      await store.run("redeemCode", { ...place, kind: "code", client: "shop", digest: "code", refresh }),
      "redeemed",
    );
    assert.ok(await store.run("keepDevice", { ...kept, digest: "device", userCode: "digest of a code" }));
    const consent = { ...place, user: "usr_1", client: "shop", providers: ["billing"], scopes: null };
    await store.run("giveConsent", consent);
    const isThere = async (kind: "refresh" | "par" | "device", digest: string) =>
      (await store.run("readOAuthObject", { ...place, kind, digest })) !== null;
    const asked = async () => [
      await isThere("refresh", "refresh"),
      await isThere("par", "pushed"),
      await isThere("device", "device"),
      await store.run("hasConsent", consent),
    ];
    assert.deepEqual(await asked(), [true, true, true, true]);
    assert.equal((await fence("hold")).grants, 1);
    assert.deepEqual(await asked(), [false, false, false, false]);
    const next = { digest: "next", expiresAt, sealed };
    const rotation = { ...place, client: "shop", digest: "refresh", next, holder: "h", asked: "a", answer: sealed };
    assert.deepEqual(await store.run("rotateRefresh", rotation), { kind: "gone" });
  });

  test("attack: an outside token of before a restore is exchanged by somebody who was revoked in the time that is lost", async () => {
    const place = { tenant, environment };
    const at = (iat: number) =>
      isRevokedIn(store, place, { kind: "outside", subject: "ext_a", id: "t", iat: iat / 1_000 });
    assert.equal(await at(now), false);
    await fence("hold");
    assert.equal(await at(now - 1_000), true);
    assert.equal(await at(now + 4_000), true, "its clock may run ahead");
    assert.equal(await at(now + 6_000), false);
  });

  test("attack: an environment of which the backup knows nothing begins its streams above the epoch, not at one", async () => {
    await fence("hold");
    const [restore] = await store.run("listRestores", null);
    const place = { tenant, environment: "made-on-tuesday" };
    const key = { kid: "k1", alg: "ES256", jwk: {}, sealed: new Uint8Array([1]) } as const;
    const ring = { ...place, expectedSeq: 0, actor: "built-in", created: [key], moved: [], revoked: [] };
    const written = await store.run("writeKeyRing", ring);
    const order = { ...place, kind: "jti", value: "x", notBefore: now, until: now, actor: operator } as const;
    const entry = await store.run("revoke", order);
    assert.ok(restore !== undefined && written.kind === "written");
    assert.ok(written.seq > restore.epoch && entry.seq > restore.epoch);
    assert.deepEqual(await store.run("writeKeyRing", ring), { kind: "conflict" });
  });

  test("attack: an assertion of before the restore, used after the backup, is not used a second time", async () => {
    await fence("hold");
    const claim = (digest: string, issuedAt: number | null, until: number) =>
      store.run("claimReplayId", { domain: "assertion", digest, until, issuedAt });
    assert.equal(await claim("before", now - 2_000, now + 300_000), false);
    assert.equal(await claim("says nothing", null, now + 300_000), false);
    assert.equal(await claim("after", now + 1_000, now + 300_000), true);
    assert.equal(await claim("after", now + 1_000, now + 300_000), false);
  });
});

test("an epoch is above every number of before and above that of any earlier restore; two restores at one moment differ", () => {
  const at = (ms: number, chance = 0, highest = 1) => restoreEpoch(ms, new Uint8Array([chance >> 8, chance]), highest);
  assert.ok(at(monday) > 1 && at(monday + 1) > at(monday, 1_023));
  assert.notEqual(at(monday, 1), at(monday, 2));
  assert.equal(
    at(monday, 0, Number.MAX_SAFE_INTEGER - 1),
    Number.MAX_SAFE_INTEGER,
    "also with a clock that was set back",
  );
  assert.ok(Number.isSafeInteger(at(Date.UTC(2248, 0, 1), 1_023)));
});
