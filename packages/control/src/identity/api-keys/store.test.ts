// Rows of API keys on every store: two live at most, whoever adds at once; an end is one transaction with its revocation and its record.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { EnvironmentConfig } from "../../registry/config/estate.ts";
import { compileApiKeys } from "../../snapshot/compile-api-keys.ts";
import type { IdentityCommands } from "../store.ts";
import type { ApiKeyCommands } from "./store.ts";

const day = 86_400_000;
const monday = Date.parse("2026-11-23T09:00:00Z");
const tenant = "main";
const environment = "production";

forEachDialect((_dialect, open) => {
  let store: Store<ApiKeyCommands & IdentityCommands & typeof outboxCommands>;
  let now = monday;
  before(async () => {
    const clock = { now: () => now, monotonic: () => now };
    store = await open({ commands: new URL("./commands.test-support.ts", import.meta.url), clock });
  });

  const by = { actor: "operator:ada", reason: "rotation" };
  const add = (system: string, id: string, integrations: readonly string[] = ["a"], notAfter = now + 90 * day) =>
    store.run("addApiKey", {
      ...{ tenant, environment, system, id, digest: `digest-${id}`, integrations, notAfter, overlapMs: 7 * day },
      ...by,
    });
  const rows = async (system: string) =>
    (await store.run("readApiKeys", { tenant })).filter((one) => one.system === system);

  test("the next key lets the one for the same integrations end after the overlap, never later than it would have; a third is refused", async () => {
    assert.deepEqual(await add("vendor", "0000000001", ["a"], now + 5 * day), { kind: "added", follows: null });
    const follows = { id: "0000000001", notAfter: monday + 5 * day };
    assert.deepEqual(await add("vendor", "0000000002"), { kind: "added", follows });
    assert.deepEqual(await add("vendor", "0000000003"), { kind: "full", live: ["0000000001", "0000000002"] });
    // Any of the integrations counts, others do not.
    assert.equal((await add("vendor", "0000000003", ["a", "b"])).kind, "full");
    assert.deepEqual(await add("vendor", "0000000004", ["b"]), { kind: "added", follows: null });
    now += 5 * day;
    assert.equal((await add("vendor", "0000000003")).kind, "added");
  });

  test("of many keys added at once two live, however the adds meet", async () => {
    const ids = Array.from({ length: 6 }, (_, index) => `000000001${index}`);
    const outcomes = await Promise.all(ids.map((id) => add("racer", id)));
    assert.equal(outcomes.filter(({ kind }) => kind === "added").length, 2);
    assert.equal((await rows("racer")).length, 2);
  });

  test("an end is one transaction with its revocation, good until no snapshot can hold the key; twice, or past its own end, there is none", async () => {
    const notAfter = now + 30 * day;
    await add("leaky", "0000000021", ["a"], notAfter);
    const { seq } = await store.run("readRevocations", { tenant, environment, from: 0 });
    const end = { tenant, environment, id: "0000000021", ...by };
    assert.equal(await store.run("endApiKey", end), true);
    const { entries } = await store.run("readRevocations", { tenant, environment, from: seq });
    assert.deepEqual(
      entries.map(({ kind, value, until }) => [kind, value, until]),
      [["jti", "key_0000000021", notAfter]],
    );
    assert.equal(await store.run("endApiKey", end), false);
    assert.equal(await store.run("endApiKey", { ...end, id: "ffffffffff" }), false);
    await add("leaky", "0000000022", ["a"], now + 1);
    now += 1;
    assert.equal(await store.run("endApiKey", { ...end, id: "0000000022" }), false);
  });

  test("no other environment's key is ended, and what ended long ago is forgotten with the next one", async () => {
    await add("old", "0000000031");
    assert.equal(await store.run("endApiKey", { tenant, environment: "staging", id: "0000000031", ...by }), false);
    now += 200 * day;
    await add("old", "0000000032");
    assert.deepEqual(
      (await store.run("readApiKeys", { tenant })).map(({ id }) => id),
      ["0000000032"],
    );
  });
});

test("gateways get digests of what counts now: live, of systems that have keys, for integrations that take them", () => {
  const row = {
    ...{ environment, digest: "d", system: "vendor", createdAt: 0, endedAt: null, notAfter: monday + day },
    integrations: ["vendor-to-billing", "vendor-to-ledger"],
  };
  const integration = (id: string, until: number, proof = ["api-key"]) => ({
    id,
    from: "vendor",
    proof,
    bearerUntilMs: until,
  });
  const compile = (
    rows: readonly (typeof row & { id: string })[],
    systems: readonly object[] = [{ id: "vendor", apiKeys: {} }],
  ) => {
    const integrations = [
      integration("vendor-to-billing", monday + day),
      integration("vendor-to-ledger", monday),
      integration("vendor-to-other", monday + day, ["dpop"]),
    ];
    // The members that are read of it.
    const estate = { systems, integrations } as unknown as Pick<EnvironmentConfig, "systems" | "integrations">;
    return compileApiKeys(estate, rows, monday);
  };
  const one = { ...row, id: "0000000001" };
  assert.deepEqual(compile([one])?.keys, [
    { id: "0000000001", digest: "d", system: "vendor", integrations: ["vendor-to-billing"], notAfterMs: monday + day },
  ]);
  assert.deepEqual(compile([{ ...one, notAfter: monday }])?.keys, []);
  assert.deepEqual(compile([{ ...one, system: "nobody" }])?.keys, []);
  assert.deepEqual(compile([{ ...one, integrations: ["vendor-to-ledger", "vendor-to-other"] }])?.keys, []);
  assert.equal(compile([one], [{ id: "vendor" }]), null);
});
