import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { accessTokenHash } from "@sallyport/protocol/token/dpop.ts";
import { parsePublicJwk } from "@sallyport/protocol/token/jwk.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import { clock, memoryKeyring, random, startEstate, testRecorder } from "./estate.test-support.ts";
import { assertion, dpopProof, form, type TestKey, testKey } from "./issuer.test-support.ts";
import { type KeyRing, openKeyRing } from "./keys.ts";
import { createNonceBook } from "./nonce.ts";
import { operatorKeyFile, parseKeyFile } from "./operator-key.ts";
import {
  createFirstOperator,
  createOperatorIssuer,
  declaredOperators,
  type OperatorIssuer,
  operatorEnvironment,
} from "./operators.ts";
import { createReplayGuard } from "./replay.ts";
import type { IdentityCommands } from "./store.ts";

const commands = new URL("./commands.test-support.ts", import.meta.url);
const adminUrl = "https://127.0.0.1:9443";

forEachDialect((_dialect, open) => {
  let store: Store<IdentityCommands>;
  let operators: OperatorIssuer;
  let ring: KeyRing;
  const folder = mkdtempSync(join(tmpdir(), "sallyport-operators-"));
  const log = { leaves: [] as Leaf[], logBroken: false };
  const nonces = createNonceBook({ secret: random.bytes(32), domain: adminUrl, clock });
  const crypto = createTokenCrypto();
  const admin = testKey();
  const holder = testKey();
  const generated = generateSigner("EdDSA");
  /** What the configuration declares besides. */
  const declared: Parameters<typeof declaredOperators>[0][number][] = [];

  before(async () => {
    store = await open<IdentityCommands>({ commands });
    ring = await openKeyRing({
      tenant: "main",
      environment: operatorEnvironment,
      store,
      keyring: memoryKeyring(),
      clock,
      alg: () => "ES256",
      acknowledgedKeySeq: () => Number.POSITIVE_INFINITY,
      rotateEveryMs: () => Number.POSITIVE_INFINITY,
      onChange: () => undefined,
    });
    operators = createOperatorIssuer({
      tenant: "main",
      adminUrl,
      ring: () => ring.view(),
      store,
      replay: createReplayGuard(store),
      nonces,
      crypto,
      clock,
      random,
      record: testRecorder(log, operatorEnvironment),
      declared: () =>
        declaredOperators(
          [...declared, { id: "cy", keys: [generated.signer.jwk], roles: ["viewer"] as const }],
          crypto,
        ),
    });
    await store.run("addOperator", {
      tenant: "main",
      id: "ana",
      kid: admin.kid,
      jwk: admin.jwk,
      roles: ["admin"],
      actor: "built-in",
      onlyFirst: false,
    });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const tokenUrl = `${adminUrl}/operators/token`;
  const ask = (over: { assertion?: string; proof?: string; form?: Record<string, string> } = {}) =>
    operators.token({
      form: form("ana", over.assertion ?? assertion("ana", operators.issuer, admin), over.form).toString(),
      proofs: [over.proof ?? dpopProof(holder, tokenUrl, nonces.issue())],
      address: "127.0.0.1",
    });
  const tokenOf = async () => String((await ask()).body["access_token"]);
  const act = (
    token: string,
    over: { key?: TestKey; claims?: Record<string, unknown>; proof?: string; scheme?: string; url?: string } = {},
  ) =>
    operators.authenticate({
      method: "POST",
      url: `${adminUrl}/v1/integrations`,
      address: "127.0.0.1",
      authorizations: [`${over.scheme ?? "DPoP"} ${token}`],
      proofs: [
        over.proof ??
          dpopProof(over.key ?? holder, over.url ?? `${adminUrl}/v1/integrations`, nonces.issue(), {
            ath: accessTokenHash(token, crypto),
            ...over.claims,
          }),
      ],
    });
  const codeOf = async (verdict: ReturnType<typeof act>) => {
    const result = await verdict;
    return result.kind === "refused" ? result.code : "let in";
  };

  test("an operator with a registered key gets a five-minute DPoP token for the admin origin and is let in with it", async () => {
    const answer = await ask();
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body["expires_in"], 300);
    assert.deepEqual(await act(String(answer.body["access_token"])), {
      ...{ kind: "operator", id: "ana", tenant: "main" },
      ...{ kid: admin.kid, roles: ["admin"] },
    });
    const leaf = log.leaves.at(-1);
    assert.ok(leaf?.t === "issuance" && leaf.verdict === "allow" && leaf.audience === adminUrl);
  });

  test("twenty concurrent uses of one operator assertion, of one proof for a token, of one proof for a request: one each", async () => {
    const one = assertion("ana", operators.issuer, admin);
    const assertions = await Promise.all(Array.from({ length: 20 }, () => ask({ assertion: one })));
    assert.equal(assertions.filter((answer) => answer.status === 200).length, 1);
    const proof = dpopProof(holder, tokenUrl, nonces.issue());
    const proofs = await Promise.all(Array.from({ length: 20 }, () => ask({ proof })));
    assert.equal(proofs.filter((answer) => answer.status === 200).length, 1);
    const token = await tokenOf();
    const used = dpopProof(holder, `${adminUrl}/v1/integrations`, nonces.issue(), {
      ath: accessTokenHash(token, crypto),
    });
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => act(token, { proof: used })));
    assert.equal(verdicts.filter((verdict) => verdict.kind === "operator").length, 1);
  });

  test("a stranger's key, another audience, an old assertion and a made-up operator get the same 401", async () => {
    const stranger = testKey();
    const faces = new Set<string>();
    const texts = [
      assertion("ana", operators.issuer, stranger),
      assertion("ana", operators.issuer, { ...stranger, kid: admin.kid }),
      assertion("eve", operators.issuer, admin),
      assertion("ana", tokenUrl, admin),
      assertion("ana", [operators.issuer], admin),
      assertion("ana", operators.issuer, admin, { exp: Math.floor(Date.now() / 1000) - 60 }),
      "not.a.jwt",
    ];
    for (const text of texts) {
      const answer = await ask({ assertion: text });
      assert.equal(answer.status, 401);
      faces.add(JSON.stringify(answer.body));
    }
    assert.equal(faces.size, 1);
  });

  test("a stolen operator token is worth nothing with another key, another URL, another method, as Bearer or without a fresh nonce", async () => {
    const token = await tokenOf();
    assert.equal(await codeOf(act(token, { key: testKey() })), "dpop-key-mismatch");
    assert.equal(await codeOf(act(token, { url: `${adminUrl}/v1/other` })), "dpop-url");
    assert.equal(await codeOf(act(token, { claims: { htm: "GET" } })), "dpop-method");
    assert.equal(await codeOf(act(token, { claims: { ath: "x" } })), "dpop-token-hash");
    assert.equal(await codeOf(act(token, { claims: { nonce: "old" } })), "dpop-nonce");
    assert.equal(await codeOf(act(token, { scheme: "Bearer" })), "credentials-missing");
    const bare = await operators.authenticate({
      method: "GET",
      url: adminUrl,
      authorizations: [],
      proofs: [],
      address: "127.0.0.1",
    });
    assert.ok(bare.kind === "refused" && bare.headers["DPoP-Nonce"] !== undefined);
  });

  test("an operator's token is nothing to a data-plane verifier, and a data-plane token nothing to the admin listener", async () => {
    const estate = await startEstate(await open<IdentityCommands>({ commands }));
    const view = (environment: { ring: KeyRing }) => ({
      find: (kid: string) => {
        const jwk = parsePublicJwk(environment.ring.view().keys.find((key) => key.kid === kid)?.jwk);
        return jwk === null ? undefined : (crypto.importKey(jwk) ?? undefined);
      },
    });
    const foreign = readAccessToken(await tokenOf(), {
      issuer: estate.production.issuer,
      keys: view(estate.production),
      lifetimeSecondsMax: 300,
    });
    assert.equal(foreign.kind === "deny" && foreign.code, "token-key-unknown");
    // Even if the rings were mixed up, the issuer stands between.
    const mixed = readAccessToken(await tokenOf(), {
      issuer: estate.production.issuer,
      keys: view({ ring }),
      lifetimeSecondsMax: 300,
    });
    assert.equal(mixed.kind === "deny" && mixed.code, "token-issuer");
    const data = await estate.token();
    assert.equal(data.status, 200);
    assert.equal(await codeOf(act(String(data.body["access_token"]), { key: estate.holder })), "token-key-unknown");
    await estate.close();
  });

  test("an operator declared in the configuration is as good as one in a row, with an Ed25519 key too", async () => {
    const { signer } = generated;
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: "cy", sub: "cy", aud: operators.issuer, iat: now, exp: now + 60, jti: "cy-1" };
    const text = signCompactJws({ alg: "EdDSA", kid: signer.kid }, claims, signer);
    const answer = await ask({ assertion: text });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const verdict = await act(String(answer.body["access_token"]));
    assert.deepEqual(verdict, {
      kind: "operator",
      id: "cy",
      tenant: "main",
      kid: generated.signer.kid,
      roles: ["viewer"],
    });
  });

  test("a removed operator is out at once, not when the last token ends", async () => {
    const key = testKey();
    await store.run("addOperator", {
      tenant: "main",
      id: "bob",
      kid: key.kid,
      jwk: key.jwk,
      roles: ["admin"],
      actor: "operator:ana",
      onlyFirst: false,
    });
    const answer = await operators.token({
      form: form("bob", assertion("bob", operators.issuer, key)).toString(),
      proofs: [dpopProof(holder, tokenUrl, nonces.issue())],
      address: "",
    });
    const token = String(answer.body["access_token"]);
    assert.equal(await codeOf(act(token)), "let in");
    assert.equal(await store.run("removeOperatorKey", { tenant: "main", kid: key.kid, actor: "operator:ana" }), true);
    assert.equal(await codeOf(act(token)), "client-unknown");
  });

  test("attack: whoever stole a key goes on with its token after that key was removed and another of the operator stays", async () => {
    const [stolen, other] = [testKey(), testKey()];
    const roles = ["admin"] as const;
    for (const key of [stolen, other]) {
      const row = {
        tenant: "main",
        id: "dee",
        kid: key.kid,
        jwk: key.jwk,
        roles,
        actor: "operator:ana",
        onlyFirst: false,
      };
      await store.run("addOperator", row);
    }
    const tokenWith = async (key: TestKey) => {
      const answer = await operators.token({
        form: form("dee", assertion("dee", operators.issuer, key)).toString(),
        proofs: [dpopProof(holder, tokenUrl, nonces.issue())],
        address: "",
      });
      return String(answer.body["access_token"]);
    };
    const tokens = { stolen: await tokenWith(stolen), other: await tokenWith(other) };
    assert.equal(await codeOf(act(tokens.stolen)), "let in");
    await store.run("removeOperatorKey", { tenant: "main", kid: stolen.kid, actor: "operator:ana" });
    assert.equal(await codeOf(act(tokens.stolen)), "client-unknown");
    assert.equal(await codeOf(act(tokens.other)), "let in");
  });

  const verdictOf = async (id: string, key: TestKey) => {
    const answer = await operators.token({
      form: form(id, assertion(id, operators.issuer, key)).toString(),
      proofs: [dpopProof(holder, tokenUrl, nonces.issue())],
      address: "",
    });
    return act(String(answer.body["access_token"]));
  };
  const rolesOf = async (verdict: ReturnType<typeof act>) => {
    const result = await verdict;
    return result.kind === "operator" ? result.roles : result.code;
  };

  test("roles are those of the row or the estate at the moment of the request, not of the token", async () => {
    const key = testKey();
    const jwk = parsePublicJwk(key.jwk);
    assert.ok(jwk !== null);
    declared.push({ id: "eve", keys: [jwk], roles: ["admin"] });
    const answer = await operators.token({
      form: form("eve", assertion("eve", operators.issuer, key)).toString(),
      proofs: [dpopProof(holder, tokenUrl, nonces.issue())],
      address: "",
    });
    const token = String(answer.body["access_token"]);
    assert.deepEqual(await rolesOf(act(token)), ["admin"]);
    declared[declared.length - 1] = { id: "eve", keys: [jwk], roles: ["auditor", "viewer"] };
    assert.deepEqual(await rolesOf(act(token)), ["auditor", "viewer"]);
  });

  test("attack: an auditor's key is declared a second time with more: it may do what both declarations allow", async () => {
    const key = testKey();
    const jwk = parsePublicJwk(key.jwk);
    assert.ok(jwk !== null);
    declared.push({ id: "finn", keys: [jwk], roles: ["auditor"] }, { id: "finn", keys: [jwk], roles: ["admin"] });
    assert.deepEqual(await rolesOf(verdictOf("finn", key)), ["auditor"]);
    declared.push({ id: "finn", keys: [jwk], roles: ["viewer"] });
    assert.deepEqual(await rolesOf(verdictOf("finn", key)), []);
  });

  test("a row keeps the roles it was added with", async () => {
    const key = testKey();
    const row = { tenant: "main", id: "gus", kid: key.kid, jwk: key.jwk, actor: "operator:ana", onlyFirst: false };
    await store.run("addOperator", { ...row, roles: ["auditor"] });
    assert.deepEqual(await rolesOf(verdictOf("gus", key)), ["auditor"]);
  });

  test("what an estate says of its operators is on record when it changes, and only then; who is gone has no roles", async () => {
    const order = { tenant: "main", managedBy: "config:shop", actor: "config:shop" };
    const ada = { id: "ada", roles: "admin", keys: "k1" };
    const bob = { id: "bob", roles: "auditor", keys: "k2" };
    const declare = (...said: (typeof ada)[]) => store.run("declareOperators", { ...order, operators: said });
    assert.equal(await declare(ada, bob), 2);
    assert.equal(await declare(ada, bob), 0);
    assert.equal(await declare({ ...ada, roles: "viewer" }, bob), 1);
    assert.equal(await declare({ ...ada, roles: "viewer" }), 1);
    assert.equal(await store.run("declareOperators", { ...order, managedBy: "config:other", operators: [bob] }), 1);
    assert.equal(await declare(bob), 2);
  });

  test("the first start writes one private key file (0600), later starts none, and of five starts at once one wins", async () => {
    const fresh = await open<IdentityCommands>({ commands });
    const folders = Array.from({ length: 5 }, () => mkdtempSync(join(folder, "start-")));
    const results = await Promise.all(
      folders.map((dir) => createFirstOperator(dir, { tenant: "main", adminUrl, store: fresh, random, pin: "cGlu" })),
    );
    const made = results.filter((result) => result !== null);
    assert.equal(made.length, 1);
    const path = String(made[0]?.path);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(folders.flatMap((dir) => readdirSync(dir)).filter((name) => name === operatorKeyFile).length, 1);
    const { operator, signer, pin } = parseKeyFile(readFileSync(path), path);
    assert.deepEqual([operator, pin], ["admin", "cGlu"]);
    const rows = await fresh.run("readOperators", { tenant: "main" });
    assert.deepEqual(
      rows.map((row) => [row.id, row.kid]),
      [["admin", signer.kid]],
    );
    assert.equal("d" in (rows[0]?.jwk ?? {}), false);
    assert.equal(
      await createFirstOperator(folder, { tenant: "main", adminUrl, store: fresh, random, pin: "cGlu" }),
      null,
    );
  });
});
