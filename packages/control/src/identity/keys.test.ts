import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { LegacyAlgorithm, SigningAlgorithm } from "@sallyport/protocol/token/claims.ts";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { clock, memoryKeyring, startEstate } from "./estate.test-support.ts";
import { assertion, dpopProof, form, send } from "./issuer.test-support.ts";
import { type KeyRing, type KeyRingOptions, openKeyRing, RingFault } from "./keys.ts";
import type { IdentityCommands } from "./store.ts";

type Commands = IdentityCommands & typeof outboxCommands;
const commands = new URL("./commands.test-support.ts", import.meta.url);

forEachDialect((dialect, open) => {
  let store: Store<Commands>;
  let keyring: Keyring;
  let environments = 0;
  before(async () => {
    store = await open<Commands>({ commands });
    keyring = memoryKeyring();
  });

  const gateways = { seq: Number.POSITIVE_INFINITY };
  /** A ring of an environment of its own, unless told which. */
  const ringOf = (over: Partial<KeyRingOptions> = {}): Promise<KeyRing> =>
    openKeyRing({
      tenant: "main",
      environment: `e${environments++}`,
      store,
      keyring,
      clock,
      alg: () => "ES256",
      acknowledgedKeySeq: () => gateways.seq,
      rotateEveryMs: () => Number.POSITIVE_INFINITY,
      onChange: () => undefined,
      ...over,
    });
  const states = (ring: KeyRing) =>
    ring
      .view()
      .keys.map((key) => key.state)
      .sort();

  test("a new ring has one active and one next key, named by their thumbprints", async () => {
    const ring = await ringOf();
    assert.deepEqual(states(ring), ["active", "next"]);
    for (const key of ring.view().keys) assert.match(key.kid, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(ring.view().signer?.kid, ring.view().keys.find((key) => key.state === "active")?.kid);
  });

  test("no key signs before every live gateway has acknowledged its sequence", async () => {
    let acknowledged = 0;
    const ring = await ringOf({ acknowledgedKeySeq: () => acknowledged });
    assert.equal(ring.view().signer, null);
    assert.deepEqual(states(ring), ["next"]);
    acknowledged = ring.view().seq;
    await ring.tick();
    const first = ring.view().signer?.kid;
    assert.ok(first);
    assert.deepEqual(await ring.rotate("operator:admin"), {
      kind: "refused",
      code: "next-not-acknowledged",
      waitsForSeq: ring.view().seq,
    });
    assert.equal(ring.view().signer?.kid, first);
    acknowledged = ring.view().seq;
    assert.equal((await ring.rotate("operator:admin")).kind, "done");
    assert.notEqual(ring.view().signer?.kid, first);
    assert.deepEqual(states(ring), ["active", "next", "retiring"]);
  });

  test("RSA keys for an audience that wants them: acknowledged before they sign, rotated, killed and retired like the others, in a list of their own", async () => {
    let acknowledged = 0;
    let wanted: readonly LegacyAlgorithm[] = [];
    const environment = "legacy";
    const ring = await ringOf({ environment, legacy: () => wanted, acknowledgedKeySeq: () => acknowledged });
    acknowledged = ring.view().seq;
    await ring.tick();
    assert.deepEqual(ring.view().legacy?.keys, []);
    wanted = ["RS256", "PS256"];
    await ring.tick();
    const shown = () =>
      ring
        .view()
        .legacy?.keys.map(({ alg, state }) => `${alg} ${state}`)
        .sort();
    assert.deepEqual(shown(), ["PS256 next", "RS256 next"]);
    assert.equal(ring.view().legacy?.signers.size, 0, "no gateway holds them yet");
    acknowledged = ring.view().seq;
    await ring.tick();
    assert.deepEqual(shown(), ["PS256 active", "PS256 next", "RS256 active", "RS256 next"]);
    assert.deepEqual(states(ring), ["active", "next"], "those of everybody are untouched");
    const first = ring.view().legacy?.signers.get("RS256");
    assert.equal(ring.view().legacy?.keys.find(({ kid }) => kid === first?.kid)?.alg, "RS256");
    assert.equal(String(ring.view().legacy?.keys[0]?.jwk["n"]).length, 342, "2,048 bits");
    assert.equal((await ring.rotate("operator:admin")).kind, "refused", "next keys of RSA are waited for too");
    acknowledged = ring.view().seq;
    assert.equal((await ring.rotate("operator:admin")).kind, "done");
    assert.notEqual(ring.view().legacy?.signers.get("RS256")?.kid, first?.kid);
    acknowledged = ring.view().seq;
    await ring.kill(String(ring.view().legacy?.signers.get("RS256")?.kid), "operator:admin", "a copy");
    const { entries } = await store.run("readRevocations", { tenant: "main", environment, from: 0 });
    assert.deepEqual(
      entries.map(({ kind }) => kind),
      ["kid"],
    );
    const again = await ringOf({ environment, legacy: () => wanted, acknowledgedKeySeq: () => acknowledged });
    assert.equal(again.view().legacy?.signers.get("PS256")?.kid, ring.view().legacy?.signers.get("PS256")?.kid);
    wanted = ["PS256"];
    await ring.tick();
    assert.equal(ring.view().legacy?.signers.has("RS256"), false);
    assert.equal(ring.view().legacy?.signers.has("PS256"), true);
    assert.deepEqual(
      shown()?.filter((text) => text.startsWith("RS256")),
      ["RS256 retiring", "RS256 retiring"],
    );
    const stored = await store.run("readKeyRing", { tenant: "main", environment });
    const text = stored.keys.map(({ sealed }) => Buffer.from(sealed ?? []).toString("latin1")).join();
    assert.equal(text.includes("PRIVATE"), false, "sealed like every key");
  });

  test("private halves are sealed at rest, bound to their ring, and gone with their key", async () => {
    const ring = await ringOf({ environment: "sealed" });
    const stored = await store.run("readKeyRing", { tenant: "main", environment: "sealed" });
    for (const key of stored.keys) {
      assert.ok(key.sealed !== null && !Buffer.from(key.sealed).toString("latin1").includes("PRIVATE"));
      const context = { tenant: "main", environment: "sealed", kid: key.kid };
      assert.match(Buffer.from(await keyring.open("token-key", context, key.sealed)).toString(), /BEGIN PRIVATE KEY/);
      await assert.rejects(keyring.open("token-key", { ...context, environment: "elsewhere" }, key.sealed));
    }
    const again = await ringOf({ environment: "sealed" });
    assert.equal(again.view().signer?.kid, ring.view().signer?.kid, "a restart signs with the same key");
    await assert.rejects(
      ringOf({ environment: "sealed", keyring: memoryKeyring() }),
      (fault) => fault instanceof RingFault && fault.code === "ring-key-unreadable",
    );
  });

  test("three nodes that rotate one ring at once leave it with one active and one next key", async () => {
    const nodes = await Promise.all(Array.from({ length: 3 }, () => ringOf({ environment: "crowded" })));
    await Promise.allSettled(Array.from({ length: 9 }, (_, index) => nodes[index % 3]?.rotate("operator:admin")));
    for (const node of nodes) {
      await node.refresh();
      assert.deepEqual(
        states(node).filter((state) => state !== "retiring"),
        ["active", "next"],
      );
    }
    assert.equal(new Set(nodes.map((node) => node.view().signer?.kid)).size, 1);
  });

  test("killing a kid takes it out of the ring and revokes it in one transaction, recorded with its actor", async () => {
    const ring = await ringOf({ environment: "killed" });
    const kid = String(ring.view().signer?.kid);
    assert.equal((await ring.kill(kid, "operator:admin")).kind, "done");
    assert.ok(ring.view().keys.every((key) => key.kid !== kid));
    assert.ok(ring.view().signer !== null && ring.view().signer?.kid !== kid);
    const { entries } = await store.run("readRevocations", { tenant: "main", environment: "killed", from: 0 });
    assert.deepEqual(
      entries.map(({ seq, kind, value }) => ({ seq, kind, value })),
      [{ seq: 1, kind: "kid", value: kid }],
    );
    assert.ok((entries[0]?.until ?? 0) > Date.now() + 300_000);
    const { rows } = await store.run("claimOutbox", { node: "t", limit: 1000, leaseMs: 1000 });
    const acts = rows.filter((row) => row.object === "ring/main/killed" && row.actor === "operator:admin");
    assert.deepEqual(
      acts.map((row) => row.facts["gone"]),
      [kid],
    );
  });

  test("a revocation and its cause are one: sequences have no gap and no double under concurrency", async () => {
    const order = {
      tenant: "main",
      environment: "revoked",
      kind: "jti",
      notBefore: 1,
      until: Date.now() + 60_000,
      actor: "operator:admin",
    } as const;
    await Promise.all(Array.from({ length: 20 }, (_, index) => store.run("revoke", { ...order, value: `t${index}` })));
    const { seq, entries } = await store.run("readRevocations", { tenant: "main", environment: "revoked", from: 0 });
    // Each ends a token and, as a grant, whatever was exchanged for it.
    assert.equal(seq, 40);
    assert.deepEqual(
      entries.map((entry) => entry.seq),
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
    assert.deepEqual(
      entries.map((entry) => entry.kind),
      Array.from({ length: 20 }, () => ["grant", "jti"]).flat(),
    );
    assert.deepEqual(
      (await store.run("readRevocations", { tenant: "main", environment: "revoked", from: 38 })).entries.map(
        (entry) => entry.seq,
      ),
      [39, 40],
    );
  });

  test("a replay id is claimed once however many ask at once, and forgotten only after its end", async () => {
    const id = { domain: "dpop", digest: "d1", until: Date.now() + 60_000 } as const;
    const answers = await Promise.all(Array.from({ length: 20 }, () => store.run("claimReplayId", id)));
    assert.equal(answers.filter((first) => first).length, 1);
    await store.run("claimReplayId", { ...id, digest: "old", until: Date.now() - 1 });
    assert.equal(await store.run("purgeReplayIds", null), 1);
    assert.equal(await store.run("claimReplayId", id), false);
  });

  test("a ring rotates on schedule by its clock, by the age in force when it is asked, and waits for gateways even then", async () => {
    const day = 86_400_000;
    const moved = { now: () => moved.at, monotonic: () => 0, at: Date.UTC(2027, 0, 1) };
    let [everyMs, acknowledged] = [30 * day, Number.POSITIVE_INFINITY];
    const ring = await ringOf({ clock: moved, rotateEveryMs: () => everyMs, acknowledgedKeySeq: () => acknowledged });
    // The store stamps activations with its own clock; a ring is as old as that says.
    const born = Date.now();
    const signs = async (at: number) => {
      moved.at = at;
      await ring.tick();
      return ring.view().signer?.kid;
    };
    const first = await signs(born);
    assert.equal(await signs(born + 29 * day), first);
    acknowledged = 0;
    assert.equal(await signs(born + 31 * day), first, "no gateway holds the next key");
    acknowledged = Number.POSITIVE_INFINITY;
    assert.notEqual(await signs(born + 31 * day), first);
    const second = ring.view().signer?.kid;
    everyMs = 90 * day;
    assert.equal(await signs(born + 60 * day), second, "the estate says ninety days now");
  });

  test("a ring that is asked for another algorithm moves to it as by a rotation, on a restart too", async () => {
    let alg: SigningAlgorithm = "ES256";
    let acknowledged = Number.POSITIVE_INFINITY;
    const options = { environment: "moving", alg: () => alg, acknowledgedKeySeq: () => acknowledged };
    const ring = await ringOf(options);
    const first = ring.view().signer?.kid;
    alg = "EdDSA";
    acknowledged = ring.view().seq;
    await ring.tick();
    await ring.tick();
    assert.equal(ring.view().signer?.kid, first, "gateways do not hold the new key yet");
    acknowledged = ring.view().seq;
    await ring.tick();
    assert.deepEqual([ring.view().signer?.alg, states(ring).join()], ["EdDSA", "active,next,retiring"]);
    const again = await ringOf(options);
    assert.equal(again.view().signer?.kid, ring.view().signer?.kid);
  });

  test("rotating three times and moving to EdDSA under parallel clients fails no request, and every token verifies with the published keys", {
    timeout: 120_000,
  }, async (context) => {
    let alg: SigningAlgorithm = "ES256";
    const estate = await startEstate(await open<Commands>({ commands }), undefined, () => alg);
    let running = true;
    // Also when something fails: what runs on would keep the process alive.
    context.after(() => {
      running = false;
      return estate.close();
    });
    const { issuer, ring } = estate.production;
    const kids = new Map<string, string>();
    const failures: string[] = [];
    const loop = async () => {
      while (running) {
        // Of its own each time: one lives a minute, which may be over before the last turn.
        const nonce = await estate.nonce();
        const body = form("orders", assertion("orders", issuer, estate.orders), {
          resource: `${issuer}/systems/billing`,
        }).toString();
        const answer = await estate.post(issuer, body, {
          headers: { dpop: dpopProof(estate.holder, `${issuer}/token`, nonce) },
        });
        if (answer.status !== 200) failures.push(answer.text);
        const published = (await send(`${issuer}/jwks`, estate.ca)).body as unknown as JSONWebKeySet;
        await jwtVerify(String(answer.body["access_token"]), createLocalJWKSet(published), {
          issuer,
          typ: "at+jwt",
        }).then(
          ({ protectedHeader }) => kids.set(String(protectedHeader.kid), protectedHeader.alg),
          (error: unknown) => failures.push(String(error)),
        );
      }
    };
    const loops = Array.from({ length: 4 }, loop);
    const seen = async (count: number) => {
      while (kids.size < count && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    for (let turn = 1; turn <= 3; turn += 1) {
      await seen(turn);
      assert.equal((await ring.rotate("operator:admin")).kind, "done");
    }
    // The key of the last rotation signs before the algorithm moves on.
    await seen(4);
    alg = "EdDSA";
    while (ring.view().signer?.alg !== "EdDSA") await ring.tick();
    const last = ring.view().signer?.kid ?? "";
    while (!kids.has(last) && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    running = false;
    await Promise.all(loops);
    assert.deepEqual(failures, []);
    assert.deepEqual([kids.size, kids.get(last)], [5, "EdDSA"], dialect);
    const { body } = await send(`${issuer}/.well-known/openid-configuration`, estate.ca);
    assert.deepEqual(body["id_token_signing_alg_values_supported"], ["ES256", "EdDSA"], "both while old keys retire");
  });
});
