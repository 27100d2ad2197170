import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { clock, directoryWith, random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, dpopProof, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import { createNonceBook } from "../nonce.ts";
import { createReplayGuard } from "../replay.ts";
import type { IdentityCommands } from "../store.ts";
import { ClientCredentials } from "./credentials.ts";
import { enrolmentRoute } from "./enrolment.ts";
import type { EnrolmentCommands } from "./enrolment-commands.ts";
import { makeCode } from "./secret.ts";
import { type ClientsCommands, liveKeysMax } from "./store.ts";

type Commands = IdentityCommands & ClientsCommands & EnrolmentCommands & typeof outboxCommands;
const by = { actor: "operator:kim", reason: "a new host" };
const minute = 60_000;

forEachDialect((_dialect, open) => {
  let store: Store<Commands>;
  let estate: TestEstate;
  let client = "orders";
  let count = 0;
  /** Ids of proofs that were kept. */
  let written = 0;

  before(async () => {
    store = await open<Commands>({ commands: new URL("commands.test-support.ts", import.meta.url) });
    estate = await startEstate(store, ({ issuer, place, record }) => {
      const credentials = new ClientCredentials({ ...place, store, onFault: (fault) => assert.fail(String(fault)) });
      const guard = createReplayGuard(store);
      const nonces = createNonceBook({ secret: random.bytes(32), domain: issuer, clock });
      return {
        routes: [
          enrolmentRoute({
            ...place,
            issuer,
            store,
            crypto: createTokenCrypto(),
            ports: {
              ...{ clock, nonces, record },
              replay: {
                ...guard,
                claim: (...asked) => {
                  written += 1;
                  return guard.claim(...asked);
                },
              },
            },
            enrolled: async () => {
              await credentials.refresh();
              estate.production.directory = directoryWith("production", credentials.keys());
            },
          }),
        ],
      };
    });
  });
  after(() => estate.close());
  beforeEach(() => {
    // Eight keys are all one may have: each test has a client of its own.
    client = `c${count++}`;
  });

  const codeFor = async (over: { lifetimeMs?: number; keyLifetimeMs?: number | null; environment?: string } = {}) => {
    const { code, digest } = makeCode(random);
    const place = { tenant: "main", environment: over.environment ?? "production", client };
    const { lifetimeMs = minute, keyLifetimeMs = null } = over;
    await store.run("createEnrolmentCode", { ...place, digest, lifetimeMs, keyLifetimeMs, ...by });
    return code;
  };
  interface Over {
    readonly issuer?: string;
    readonly jwk?: object;
    readonly proof?: string | string[];
    readonly ath?: string;
    readonly htu?: string;
    readonly nonce?: string;
    readonly headers?: Record<string, string>;
  }
  const hashOf = (text: string) => createHash("sha256").update(text).digest("base64url");
  const post = (code: string, key: TestKey, over: Over = {}): Promise<TestAnswer> => {
    const issuer = over.issuer ?? estate.production.issuer;
    const body = new URLSearchParams({ code, jwk: JSON.stringify(over.jwk ?? key.jwk) }).toString();
    const url = over.htu ?? `${issuer}/client-keys`;
    const dpop = over.proof ?? dpopProof(key, url, over.nonce, { ath: over.ath ?? hashOf(code) });
    return send(`${issuer}/client-keys`, estate.ca, { method: "POST", body, headers: { dpop, ...over.headers } });
  };
  const nonceFor = async (issuer: string) =>
    String((await post(makeCode(random).code, testKey(), { issuer })).headers["dpop-nonce"]);
  const enrol = async (code: string, key: TestKey, over: Over = {}) =>
    post(code, key, { ...over, nonce: over.nonce ?? (await nonceFor(over.issuer ?? estate.production.issuer)) });
  const refused = async (answer: Promise<TestAnswer>, error: string) => {
    const { status, body, headers } = await answer;
    assert.deepEqual([status, body["error"]], [400, error], JSON.stringify(body));
    assert.equal(headers["cache-control"], "no-store");
  };
  const rows = async () =>
    (await store.run("readClientCredentials", { tenant: "main", environment: "production" })).keys.filter(
      (key) => key.client === client,
    );

  test("a workload with a code brings its own key in, and gets a token with it at once", async () => {
    client = "orders";
    const key = testKey();
    const answer = await enrol(await codeFor(), key);
    assert.deepEqual([answer.status, answer.body], [201, { client_id: "orders", kid: key.kid, not_after: null }]);
    const { issuer } = estate.production;
    const asked = await estate.token({ assertion: assertion("orders", issuer, key), proof: null });
    assert.notEqual(asked.body["error"], "invalid_client", "known; the grant wants a proof");
    const stranger = await estate.token({ assertion: assertion("orders", issuer, testKey()), proof: null });
    assert.equal(stranger.body["error"], "invalid_client");
    const { rows: records } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1 });
    assert.deepEqual(
      records.filter(({ object }) => object === "client/orders").map(({ action }) => action),
      ["client.key.code", "client.key.enrol"],
    );
    assert.equal(JSON.stringify(records).includes("spe1_"), false, "no code in a record");
  });

  test("a key is good as long as its code says", async () => {
    const before = Date.now();
    const { body } = await enrol(await codeFor({ keyLifetimeMs: minute }), testKey());
    const notAfter = Number(body["not_after"]);
    assert.ok(notAfter >= before + minute && notAfter <= Date.now() + minute);
    assert.deepEqual(
      (await rows()).map((row) => row.notAfter),
      [notAfter],
    );
  });

  test("attack: a code is used once, also by two at the same time", async () => {
    const code = await codeFor();
    const nonce = await nonceFor(estate.production.issuer);
    const tried = await Promise.all(Array.from({ length: 6 }, () => enrol(code, testKey(), { nonce })));
    assert.deepEqual(tried.map(({ status }) => status).sort(), [201, 400, 400, 400, 400, 400]);
    await refused(enrol(code, testKey()), "invalid_grant");
    assert.equal((await rows()).length, 1);
  });

  test("attack: an old, an earlier, a guessed and another environment's code open nothing", async () => {
    await refused(enrol(await codeFor({ lifetimeMs: -1 }), testKey()), "invalid_grant");
    const earlier = await codeFor();
    await codeFor();
    await refused(enrol(earlier, testKey()), "invalid_grant");
    await refused(enrol(makeCode(random).code, testKey()), "invalid_grant");
    await refused(enrol("spe1_short", testKey()), "invalid_grant");
    await refused(enrol(await codeFor({ environment: "staging" }), testKey()), "invalid_grant");
    assert.deepEqual(await rows(), []);
  });

  test("attack: whoever has the code and not the key, or a proof for something else, brings nothing in", async () => {
    const code = await codeFor();
    const [key, other] = [testKey(), testKey()];
    const { issuer } = estate.production;
    const invalid = "invalid_dpop_proof";
    await refused(enrol(code, key, { jwk: other.jwk }), invalid);
    await refused(enrol(code, key, { ath: hashOf("another code") }), invalid);
    await refused(enrol(code, key, { htu: `${issuer}/token` }), invalid);
    await refused(enrol(code, key, { htu: `${estate.staging.issuer}/client-keys` }), invalid);
    await refused(post(code, key), "use_dpop_nonce");
    await refused(enrol(code, key, { nonce: "1.AAAA" }), "use_dpop_nonce");
    const nonce = await nonceFor(issuer);
    const proofs = [0, 1].map(() => dpopProof(key, `${issuer}/client-keys`, nonce, { ath: hashOf(code) }));
    await refused(post(code, key, { proof: proofs }), invalid);
    const secret = key.privateKey.export({ format: "jwk" });
    await refused(enrol(code, key, { jwk: secret }), "invalid_request");
    await refused(enrol(code, key, { headers: { origin: "https://evil.example" } }), "invalid_request");
    assert.deepEqual(await rows(), []);
    assert.equal((await enrol(code, key)).status, 201, "none of it used the code up");
  });

  test("attack: a proof that was seen is not good again, whatever code comes with it", async () => {
    const key = testKey();
    assert.equal((await enrol(await codeFor(), key)).status, 201);
    const code = await codeFor();
    const nonce = await nonceFor(estate.production.issuer);
    const proof = dpopProof(key, `${estate.production.issuer}/client-keys`, nonce, { ath: hashOf(code) });
    await refused(post(code, key, { proof }), "invalid_request");
    await refused(post(code, key, { proof }), "invalid_dpop_proof");
  });

  test("attack: a stranger with proofs of its own and made-up codes has nothing written", async () => {
    const nonce = await nonceFor(estate.production.issuer);
    const before = written;
    for (let n = 0; n < 5; n += 1) await refused(enrol(makeCode(random).code, testKey(), { nonce }), "invalid_grant");
    await refused(enrol(await codeFor({ lifetimeMs: -1 }), testKey(), { nonce }), "invalid_grant");
    assert.equal(written, before);
    assert.equal((await enrol(await codeFor(), testKey(), { nonce })).status, 201);
    assert.equal(written, before + 1);
  });

  test("attack: a key that was ended, or is another client's, does not come in by a code, which stays good for a new one", async () => {
    const spent = testKey();
    assert.equal((await enrol(await codeFor(), spent)).status, 201);
    const place = { tenant: "main", environment: "production", client };
    const end = { ...place, name: spent.kid, published: null, revokeTokens: true, ...by };
    assert.equal(await store.run("endClientKey", end), true);
    const code = await codeFor();
    await refused(enrol(code, spent), "invalid_request");
    client = "another";
    await refused(enrol(await codeFor(), spent), "invalid_request");
    assert.equal((await enrol(code, testKey())).status, 201);
  });

  test("a client has at most eight keys that were brought in", async () => {
    for (let at = 0; at < liveKeysMax; at += 1) assert.equal((await enrol(await codeFor(), testKey())).status, 201);
    await refused(enrol(await codeFor(), testKey()), "invalid_request");
  });
});
