// Rotation of the data-encryption keys over a real store, on both dialects: one transaction with its record, all or nothing, and nothing is lost.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { ControlCommands } from "../commands.ts";
import { openControlSecrets } from "./control-secrets.ts";
import { createDataKeyActions } from "./data-key-actions.ts";

const commands = new URL("../commands.ts", import.meta.url);
const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const clock = { now: () => Date.UTC(2026, 10, 30), monotonic: () => 0 };
const tenant = "main";
const folder = mkdtempSync(join(tmpdir(), "sallyport-data-keys-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let keys = 0;

forEachDialect((_dialect, open) => {
  async function installation() {
    const place = open.newPlace();
    keys += 1;
    const kekFile = join(folder, `${keys}.key`);
    /** As one control node has it. */
    const node = async () => {
      const store = await open<ControlCommands>({ commands, place, clock });
      const secrets = await openControlSecrets({ store, kekFile, clock, random });
      return { store, secrets, actions: createDataKeyActions({ tenant, store, keyring: secrets.keyring }) };
    };
    return { node };
  }
  const never = () => assert.fail("it is there already");

  test("new versions of every key in one act, on record with its reason; secrets of before and after open in every node and after a restart", async () => {
    const { node } = await installation();
    const one = await node();
    const two = await node();
    const made = await one.secrets.secret(tenant, "ca", () => random.bytes(32));
    await one.secrets.keyring.seal("token-key", { tenant }, random.bytes(4));
    assert.deepEqual(
      (await one.actions.dataKeys()).map(({ purpose, version, older }) => [purpose, version, older]),
      [
        ["tenant", 1, 0],
        ["control-secret", 1, 0],
        ["token-key", 1, 0],
      ],
    );
    const rotated = await one.actions.rotateDataKeys("operator:ada", "the yearly change");
    assert.deepEqual(
      rotated.map(({ purpose, version, older, since }) => [purpose, version, older, since]),
      [
        ["tenant", 2, 1, clock.now()],
        ["control-secret", 2, 1, clock.now()],
        ["token-key", 2, 1, clock.now()],
      ],
    );
    const later = await one.secrets.secret(tenant, "nonces", () => random.bytes(32));
    const sealed = await one.store.run("readSealed", { tenant, name: "nonces" });
    assert.equal(sealed?.[13], 2, "sealed under the new version");
    // Another node of the store, which missed it, and one that starts.
    for (const { secrets } of [two, await node()]) {
      assert.ok(Buffer.from(later).equals(await secrets.secret(tenant, "nonces", never)));
      assert.ok(Buffer.from(made).equals(await secrets.secret(tenant, "ca", never)));
    }
    const { rows } = await one.store.run("claimOutbox", { node: "n", limit: 100, leaseMs: 1_000 });
    const [act, ...more] = rows.filter(({ action }) => action === "data-encryption-key.rotate");
    assert.deepEqual(
      [act?.actor, act?.object, act?.facts, more.length],
      ["operator:ada", "data-encryption-key/tenant", { version: 2, keys: 3, reason: "the yearly change" }, 0],
    );
  });

  test("nodes that rotate at the same moment each make a whole rotation", async () => {
    const { node } = await installation();
    const [one, two] = [await node(), await node()];
    await one.secrets.secret(tenant, "ca", () => random.bytes(32));
    await Promise.all([one, two].map(({ actions }) => actions.rotateDataKeys("operator:ada", "twice")));
    for (const { version, older } of await two.actions.dataKeys()) assert.deepEqual([version, older], [3, 2]);
  });

  test("attack: a rotation that would leave a purpose behind, or write over a version, changes nothing and leaves no record", async () => {
    const { node } = await installation();
    const { store, secrets, actions } = await node();
    await secrets.secret(tenant, "ca", () => random.bytes(32));
    const row = (purpose: string, version: number) => ({
      ...{ tenant, purpose, version, wrapped: random.bytes(118), createdAtMs: clock.now() },
    });
    const before = await store.run("listWrappedKeys", null);
    for (const wrong of [
      [row("tenant", 2)],
      [row("tenant", 2), row("control-secret", 1)],
      [row("tenant", 2), row("control-secret", 3)],
      [row("tenant", 2), row("control-secret", 2), row("strange", 1)],
      [row("tenant", 2), row("tenant", 2)],
    ])
      assert.equal(
        await store.run("rotateDataKeys", { tenant, keys: wrong, actor: "operator:ada", reason: "x" }),
        false,
      );
    assert.deepEqual(await store.run("listWrappedKeys", null), before);
    const { rows } = await store.run("claimOutbox", { node: "n", limit: 100, leaseMs: 1_000 });
    assert.ok(!rows.some(({ action }) => action === "data-encryption-key.rotate"));
    assert.deepEqual(
      (await actions.dataKeys()).map(({ version }) => version),
      [1, 1],
    );
  });
});
