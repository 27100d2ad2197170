// Attacks of one proven node on the other nodes, their names and their history.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign, X509Certificate } from "node:crypto";
import { before, test } from "node:test";
import { sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { createRecipientKeyPair } from "@sallyport/kernel/seal/recipient.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { printCheckpointBody } from "@sallyport/protocol/audit/checkpoint.ts";
import { printVerifierKey, signNote } from "@sallyport/protocol/audit/note.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { hopKeyProofText } from "@sallyport/protocol/token/hop-token.ts";
import type { AdminLog } from "../audit/admin-log.ts";
import { originsPerNodeMax } from "../audit/store.ts";
import type { ControlCommands } from "../commands.ts";
import { EnvironmentIdentity } from "../identity/environment-identity.ts";
import { clock, memoryKeyring, random } from "../identity/estate.test-support.ts";
import { createPasswords } from "../identity/people/password.ts";
import type { Authorities } from "../pki/authorities.ts";
import { defaultTokens } from "../registry/config/tokens-schema.ts";
import type { EnvironmentInForce } from "../registry/estate-state.ts";
import { proofOf, spkiOf, testAuthority, testKey } from "./channel.test-support.ts";
import { ChannelService, type ChannelServiceOptions } from "./channel-service.ts";
import { Hub } from "./hub.ts";

const commands = new URL("../commands.ts", import.meta.url);
const addressOf = (region: string) => ({
  tenant: "main",
  environment: "production",
  group: `production-${region}`,
  node: `gw-${region}`,
});
const eu = addressOf("eu");
const us = addressOf("us");

/** A log key and the checkpoints it signs. */
function testLog(node: string) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  return (size: number, root = size, origin = `sallyport/main/production/${node}/gateway/2026`) => {
    const signer = { name: origin, publicKey: raw, sign: (m: Uint8Array) => new Uint8Array(sign(null, m, privateKey)) };
    const note = signNote(sha256, printCheckpointBody(origin, size, new Uint8Array(32).fill(root)), signer);
    return { t: "checkpoint", origin, note, key: printVerifierKey(sha256, origin, raw) } as const;
  };
}

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  let recorded: Parameters<AdminLog["record"]>[0][];
  let recordFault: Error | null;
  let identity: EnvironmentIdentity;
  let service: ChannelService;
  before(async () => {
    store = await open<ControlCommands>({ commands });
    const sealKey = Buffer.from(createRecipientKeyPair(random).publicKey).toString("base64url");
    for (const { environment, group, node } of [eu, us]) {
      const region = group.slice(-2);
      await store.run("ensureGroup", { tenant: "main", id: group, environment, region, actor: "operator:ana" });
      const secretHash = Buffer.from(sha256(Buffer.from(node))).toString("hex");
      const token = { tenant: "main", group, secretHash, lifetimeMs: 60_000, actor: "operator:ana" };
      await store.run("createJoinToken", token);
      await store.run("useJoinToken", { secretHash, node, spki: "c3BraQ", sealKey });
    }
    [recorded, recordFault] = [[], null];
    const pseudonyms = { key: async () => ({ epoch: "2026", key: new Uint8Array(32) }), now: () => null };
    identity = await EnvironmentIdentity.open({
      geo: null,
      compiler: createSliceCompiler(),
      engine: () => assert.fail("no policy names a token action here"),
      fetchJwks: () => Promise.reject(new Error("no issuer outside is trusted here")),
      issuerKeysChanged: () => assert.fail("no issuer outside is trusted here"),
      postForm: () => Promise.reject(new Error("no issuer outside is asked here")),
      fetchProvider: () => Promise.reject(new Error("nobody signs in here")),
      sendLogout: () => Promise.reject(new Error("nobody is told here")),
      tenant: "main",
      environment: "production",
      region: "eu",
      node: "control",
      identityUrl: "https://issuer.test",
      store,
      keyring: memoryKeyring(),
      log: { append: async () => ({ index: 0 }) },
      // No token is issued here.
      pseudonyms: pseudonyms as never,
      recipient: createRecipientKeyPair(random).publicKey,
      nonceSecret: random.bytes(32),
      pageSecret: random.bytes(32),
      passwords: createPasswords({ random }),
      nextId: () => "control-01KAMZZZZZ0000000000000000",
      clock,
      random,
      tokens: () => defaultTokens,
      acknowledgedKeySeq: () => Number.POSITIVE_INFINITY,
      push: () => undefined,
      fault: () => undefined,
    });
    const ca = testAuthority("workloads");
    const listeners = ["eu", "us", null].map((region) => ({
      serves: "gateway",
      region,
      url: `https://${region ?? "any"}.gateway.test`,
    }));
    const authorities: Pick<Authorities, "authority" | "certify"> = {
      authority: async () => ca,
      certify: (by, publicKey, leaf) => {
        const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
        return issueLeaf({ ca: by, publicKeySpki, ...leaf, notBeforeMs: clock.now(), random });
      },
    };
    // Only what the attacked paths touch is there.
    service = new ChannelService({
      dataKey: async () => new Uint8Array(32).fill(7),
      tenant: "main",
      hub: new Hub(),
      store,
      authorities,
      snapshotSigner: async () => generateSigner("EdDSA").signer,
      identity: () => identity,
      environment: () => ({ config: { listeners } }) as unknown as EnvironmentInForce,
      epoch: () => 1,
      ...{ pseudonyms, recipient: { publicKey: createRecipientKeyPair(random).publicKey, id: "control" } },
      adminLog: {
        record: async (act: Parameters<AdminLog["record"]>[0]) => {
          if (recordFault !== null) throw recordFault;
          recorded.push(act);
        },
      },
      clock,
      random,
      fault: () => undefined,
    } as unknown as ChannelServiceOptions);
  });

  const announce = (address: typeof eu, hop: TokenSigner, prover = hop, node = address.node) =>
    service.receive(address, {
      t: "hop-key",
      jwk: { ...hop.jwk },
      proof: Buffer.from(prover.sign(Buffer.from(hopKeyProofText(node, hop.kid)))).toString("base64url"),
    });

  test("attack: a node announces a hop key it does not hold, or another node's with that node's proof", async () => {
    const [own, foreign] = [generateSigner("ES256").signer, generateSigner("ES256").signer];
    await announce(eu, own);
    assert.equal(identity.hopKeys.of(eu.node)?.kid, own.kid);
    await announce(us, foreign, own);
    await announce(us, own, own, eu.node);
    assert.equal(identity.hopKeys.of(us.node), null, "no proof, no key");
    await announce(us, own);
    assert.equal(identity.hopKeys.of(us.node), null, "a key is one node's");
    await announce(us, foreign);
    assert.equal(identity.hopKeys.of(us.node)?.kid, foreign.kid);
    assert.equal(identity.hopKeys.of(eu.node)?.kid, own.kid);
  });

  test("attack: a node asks for a certificate and gets the listener names of another region", async () => {
    const key = testKey();
    const spki = spkiOf(key);
    const { listenerCertificate } = await service.ports();
    const answer = await listenerCertificate(us, { spki, proof: proofOf(key, `sallyport-listener/v1\n${spki}`) });
    const certificate = new X509Certificate(answer?.certificate ?? "");
    assert.equal(certificate.subjectAltName, "DNS:us.gateway.test, DNS:any.gateway.test");
    const [{ environment, actor, action, facts } = assert.fail("it is on record")] = recorded;
    assert.deepEqual(
      [environment, actor, action, facts?.["names"]],
      ["production", `gateway:${us.node}`, "gateway.listener", "us.gateway.test any.gateway.test"],
    );
  });

  test("attack: a log that takes no records: no certificate, no key to decrypt with and no log keys leave, and the node is told everything else", async () => {
    const key = testKey();
    const spki = spkiOf(key);
    const { kid } = await identity.forms.keys.current();
    [recorded, recordFault] = [[], new Error("log-closed")];
    const { listenerCertificate, tokenKey, opening } = await service.ports();
    const wanted = { spki, proof: proofOf(key, `sallyport-listener/v1\n${spki}`) };
    await assert.rejects(listenerCertificate(us, wanted), /log-closed/);
    await assert.rejects(tokenKey(us, kid), /log-closed/);
    const told = (await opening(us, { keySeq: 0, revocationSeq: 0 })).map(({ t }) => t);
    assert.ok(told.includes("keys") && told.includes("revocations") && !told.includes("log-keys"), told.join());
    assert.deepEqual(recorded, []);
    recordFault = null;
    await tokenKey(us, kid);
    await opening(us, { keySeq: 0, revocationSeq: 0 });
    assert.deepEqual(
      recorded.map(({ action, object }) => [action, object]),
      [
        ["encryption-key.release", `encryption-key/${kid}`],
        ["gateway.log-keys", `gateway/${us.node}`],
      ],
    );
  });

  const kept = async (node: string) =>
    (await store.run("listCheckpoints", null)).filter((one) => one.node === node).map((one) => one.note);
  const refused = async (node: string) =>
    (await store.run("listRefusedCheckpoints", null)).filter((one) => one.node === node);

  test("attack: a node taken over replaces its checkpoint by a shorter, a forked, an unsigned or a newly keyed one", async () => {
    const log = testLog(eu.node);
    await service.receive(eu, log(900));
    await service.receive(eu, log(1_000));
    await service.receive(eu, log(1_000));
    assert.deepEqual(await refused(eu.node), []);
    await service.receive(eu, log(10));
    await service.receive(eu, log(11));
    await service.receive(eu, log(1_000, 9));
    await service.receive(eu, testLog(eu.node)(2_000));
    await service.receive(eu, { ...log(3_000), note: log(3_000).note.replace("3000", "4000") });
    assert.deepEqual(await kept(eu.node), [log(1_000).note]);
    assert.deepEqual(
      (await refused(eu.node)).map(({ code, note }) => [code, note.split("\n")[1]]),
      [
        ["bad-signature", "4000"],
        ["forked", "1000"],
        ["key-changed", "2000"],
        ["rolled-back", "10"],
      ],
    );
    const { rows } = await store.run("claimOutbox", { node: "control", limit: 1_000, leaseMs: 1 });
    const acts = rows.filter(({ action }) => action === "checkpoint.refuse");
    assert.deepEqual(
      acts.map(({ actor, object, facts }) => [actor, object, facts["code"]]),
      ["rolled-back", "forked", "key-changed", "bad-signature"].map((code) => [
        `gateway:${eu.node}`,
        `gateway/${eu.node}`,
        code,
      ]),
      "each kind once",
    );
    const raised = await store.run("listFindings", { tenant: "main" });
    assert.deepEqual(raised.map(({ rule, severity, count }) => [rule, severity, count]).sort(), [
      ["log-bad-signature", "high", 1],
      ["log-forked", "critical", 1],
      ["log-key-changed", "high", 1],
      ["log-rolled-back", "critical", 1],
    ]);
  });

  test("attack: a node claims the origins of another, or as many of its own as it likes", async () => {
    const log = testLog(us.node);
    await service.receive(us, log(1, 1, `sallyport/main/production/${eu.node}/gateway/2027`));
    await service.receive(us, log(1, 1, `sallyport/main/production/${us.node}/gateway/2026/x`));
    assert.deepEqual(await kept(us.node), []);
    for (let at = 0; at < originsPerNodeMax + 3; at += 1)
      await service.receive(us, log(1, 1, `sallyport/main/production/${us.node}/gateway/${2026 + at}`));
    assert.equal((await kept(us.node)).length, originsPerNodeMax);
    assert.deepEqual(
      (await refused(us.node)).map(({ code }) => code),
      ["foreign-origin", "too-many-origins"],
    );
  });
});
