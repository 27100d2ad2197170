// The registry's promises about groups, join tokens, nodes and snapshots, on both dialects.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { beforeEach, describe, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { ControlCommands } from "../commands.ts";
import type { PublishRequest } from "./snapshot-commands.ts";

const commands = new URL("../commands.ts", import.meta.url);
const sha256 = (text: string | Uint8Array) => createHash("sha256").update(text).digest("hex");
const group = { tenant: "main", id: "production-eu", environment: "production", region: "eu" };
const actor = "operator:root";

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let now = 0;
  beforeEach(async () => {
    now = 1_800_000_000_000;
    store = await open<ControlCommands>({ commands, clock: { now: () => now, monotonic: () => now } });
    await store.run("ensureGroup", { ...group, actor });
  });
  const token = (secret: string, lifetimeMs = 3_600_000) =>
    store.run("createJoinToken", { tenant: "main", group: group.id, secretHash: sha256(secret), lifetimeMs, actor });
  const join = (secret: string, node = "eu-1") =>
    store.run("useJoinToken", { secretHash: sha256(secret), node, spki: "c3BraQ", sealKey: "c2VhbA" });

  describe("joining", () => {
    test("a group is made once and never changes its environment or region", async () => {
      assert.deepEqual(await store.run("ensureGroup", { ...group, actor }), { ...group, epoch: 1, version: 0 });
      assert.equal(await store.run("ensureGroup", { ...group, environment: "staging", actor }), null);
      assert.equal(await store.run("ensureGroup", { ...group, region: "us", actor }), null);
      assert.equal((await store.run("listGroups", { tenant: "main" })).length, 1);
    });

    test("of ten gateways with one token exactly one joins, as what the token says", async () => {
      await token("s");
      const joined = await Promise.all(Array.from({ length: 10 }, (_, index) => join("s", `eu-${index}`)));
      const [node, ...others] = joined.filter((one) => one !== null);
      assert.deepEqual(others, []);
      assert.deepEqual(
        [node?.tenant, node?.environment, node?.region, node?.group, node?.state],
        ["main", "production", "eu", "production-eu", "active"],
      );
      assert.equal((await store.run("listNodes", { tenant: "main" })).length, 1);
    });

    test("an unknown, a used and an expired token are the same no", async () => {
      await token("used");
      await join("used");
      await token("old", 1_000);
      now += 1_000;
      assert.deepEqual(
        [await join("never made", "x"), await join("used", "y"), await join("old", "z")],
        [null, null, null],
      );
    });

    test("a token for a group that is not there is not made", async () => {
      assert.equal(
        await store.run("createJoinToken", {
          tenant: "main",
          group: "nowhere",
          secretHash: sha256("s"),
          lifetimeMs: 1,
          actor,
        }),
        null,
      );
    });

    test("a secret itself, in place of its hash, is refused", async () => {
      await assert.rejects(
        store.run("createJoinToken", {
          tenant: "main",
          group: group.id,
          secretHash: "spj1_secret",
          lifetimeMs: 1,
          actor,
        }),
        { code: "command-failed" },
      );
    });
  });

  describe("nodes", () => {
    const certificate = (thumbprint: string) =>
      store.run("addNodeCertificate", { node: "eu-1", thumbprint, notAfter: now + 90_000_000 });
    const who = async (thumbprint: string) => (await store.run("nodeByThumbprint", { thumbprint }))?.node ?? null;
    beforeEach(async () => {
      await token("s");
      await join("s");
    });

    test("a certificate stands for its node until it ends", async () => {
      await certificate("t1");
      assert.equal(await who("t1"), "eu-1");
      assert.equal(await who("t2"), null);
      now += 90_000_000;
      assert.equal(await who("t1"), null);
    });

    test("after the first use of a new certificate the former ones end within the grace", async () => {
      await certificate("t1");
      now += 1;
      await certificate("t2");
      assert.equal(await who("t1"), "eu-1");
      await store.run("retireEarlierCertificates", { thumbprint: "t2", graceMs: 300_000 });
      now += 299_999;
      assert.equal(await who("t1"), "eu-1");
      // Calling it again must not make the grace longer.
      await store.run("retireEarlierCertificates", { thumbprint: "t2", graceMs: 300_000 });
      now += 1;
      assert.deepEqual([await who("t1"), await who("t2")], [null, "eu-1"]);
    });

    test("a revoked node is nobody at once, gets no certificate again, and its revocation is in the sequence", async () => {
      await certificate("t1");
      assert.equal(await store.run("revokeNode", { tenant: "main", node: "eu-1", actor, reason: "stolen" }), true);
      assert.equal(await who("t1"), null);
      assert.equal(await certificate("t2"), false);
      assert.equal(await store.run("revokeNode", { tenant: "main", node: "eu-1", actor, reason: "again" }), false);
      const { entries } = await store.run("readRevocations", { tenant: "main", environment: "production", from: 0 });
      assert.deepEqual(
        entries.map(({ seq, kind, value }) => [seq, kind, value]),
        [[1, "node", "eu-1"]],
      );
    });

    test("a node of another tenant cannot be revoked from here", async () => {
      assert.equal(await store.run("revokeNode", { tenant: "other", node: "eu-1", actor, reason: "x" }), false);
    });

    test("the time of last sight only goes forward", async () => {
      now += 5_000;
      await store.run("touchNode", { node: "eu-1" });
      now -= 3_000;
      await store.run("touchNode", { node: "eu-1" });
      assert.deepEqual(
        (await store.run("listNodes", { tenant: "main" })).map(({ lastSeenAt }) => lastSeenAt),
        [now + 3_000],
      );
    });
  });

  describe("snapshots", () => {
    const blob = (text: string) => ({ id: sha256(text), bytes: new TextEncoder().encode(text) });
    const publish = (version: number, texts: readonly string[], more: Partial<PublishRequest> = {}) =>
      store.run("publishSnapshot", {
        tenant: "main",
        group: group.id,
        epoch: 1,
        version,
        signed: { manifest: `m${version}`, kid: "k", sig: "s" },
        expiresAt: now + 1,
        blobs: texts.map(blob),
        actor: "built-in",
        ...more,
      });
    const read = async (text: string, of = group.id) =>
      (await store.run("readBlob", { tenant: "main", group: of, id: sha256(text) })) !== null;

    test("versions only go up, one at a time", async () => {
      assert.deepEqual(await publish(1, ["a"]), { kind: "published" });
      for (const version of [0, 1, 3])
        assert.deepEqual(await publish(version, ["a"]), { kind: "conflict", epoch: 1, version: 1 });
      assert.deepEqual(await publish(2, ["a"], { epoch: 2 }), { kind: "conflict", epoch: 1, version: 1 });
      assert.deepEqual(await publish(2, ["b"]), { kind: "published" });
      assert.deepEqual(await store.run("newestSnapshot", { tenant: "main", group: group.id }), {
        epoch: 1,
        version: 2,
        signed: { manifest: "m2", kid: "k", sig: "s" },
        expiresAt: now + 1,
      });
    });

    test("of two control nodes that publish at once one wins and the other is told", async () => {
      const outcomes = await Promise.all(["a", "b", "c"].map((text) => publish(1, [text])));
      assert.equal(outcomes.filter(({ kind }) => kind === "published").length, 1);
      assert.equal(outcomes.filter(({ kind }) => kind === "conflict").length, 2);
    });

    test("a group reads the blobs of its newest two snapshots and of no other group", async () => {
      await store.run("ensureGroup", { ...group, id: "staging-eu", environment: "staging", actor });
      await publish(1, ["one", "kept"]);
      await publish(2, ["two", "kept"]);
      assert.deepEqual([await read("one"), await read("two"), await read("kept")], [true, true, true]);
      assert.equal(await read("two", "staging-eu"), false);
      await publish(3, ["three", "kept"]);
      assert.deepEqual(
        [await read("one"), await read("two"), await read("three"), await read("kept")],
        [false, true, true, true],
      );
    });

    test("a blob that another group still names is kept", async () => {
      await store.run("ensureGroup", { ...group, id: "production-us", region: "us", actor });
      await publish(1, ["shared"], { group: "production-us" });
      for (const version of [1, 2, 3]) await publish(version, version === 1 ? ["shared"] : ["other"]);
      assert.deepEqual([await read("shared"), await read("shared", "production-us")], [false, true]);
    });

    test("known blobs need not be sent again, unknown ones are asked for, and a wrong name is refused", async () => {
      await publish(1, ["a"]);
      const without = { id: sha256("b"), bytes: null };
      assert.deepEqual(await publish(2, [], { blobs: [{ id: sha256("a"), bytes: null }, without] }), {
        kind: "missing-blobs",
        ids: [without.id],
      });
      assert.deepEqual(await publish(2, [], { blobs: [{ id: sha256("a"), bytes: null }] }), { kind: "published" });
      await assert.rejects(publish(3, [], { blobs: [{ id: sha256("a"), bytes: new Uint8Array([1]) }] }), {
        code: "command-failed",
      });
    });

    test("a restore goes on in a higher epoch, for every group", async () => {
      await publish(1, ["a"]);
      assert.equal(await store.run("raiseEpoch", { tenant: "main", actor }), 2);
      assert.deepEqual(await publish(2, ["a"]), { kind: "conflict", epoch: 2, version: 0 });
      assert.deepEqual(await publish(1, ["b"], { epoch: 2 }), { kind: "published" });
      assert.equal((await store.run("newestSnapshot", { tenant: "main", group: group.id }))?.epoch, 2);
    });
  });
});
