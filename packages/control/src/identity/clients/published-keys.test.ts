import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import { after, before, beforeEach, test } from "node:test";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Resolver } from "@sallyport/kernel/dial/resolver.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { KeysUri } from "../../registry/config/estate.ts";
import { testCertificate } from "../certificates.test-support.ts";
import { type Directory, directoryOf } from "../directory.ts";
import { random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, dpopProof, form, jws, send, type TestKey, testKey } from "../issuer.test-support.ts";
import type { IdentityCommands } from "../store.ts";
import { createFetchJwks } from "../trust/fetch-jwks.ts";
import { staleMaxMs, tryMs } from "../trust/jwks-keeper.ts";
import { createClientAuthentication } from "./authentication.ts";
import { PublishedKeys } from "./published-keys.ts";
import type { ClientsCommands } from "./store.ts";

type Commands = IdentityCommands & ClientsCommands & typeof outboxCommands;

forEachDialect((_dialect, open) => {
  let store: Store<Commands>;
  let estate: TestEstate;
  let keys: PublishedKeys;
  let clockMs = Date.now();
  let asked: string[] = [];
  let answer = (res: ServerResponse): void => void res.end();
  let uri = "";
  const faults: string[] = [];
  const ended = new Set<string>();
  const tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  const server = createServer({ cert: tls.cert, key: tls.key }, (req, res) => {
    asked.push(`${req.method} ${req.url}`);
    answer(res);
  });
  const named = (key: TestKey) => ({ ...key.jwk, kid: key.kid });
  const publish = (...published: readonly object[]) => {
    const text = JSON.stringify({ keys: published });
    answer = (res) => void res.writeHead(200, { "content-type": "application/json" }).end(text);
  };

  const keeper = (resolver?: Resolver): PublishedKeys =>
    new PublishedKeys({
      tenant: "main",
      environment: "production",
      store,
      clock: { now: () => clockMs, monotonic: () => clockMs },
      random,
      fetchJwks: createFetchJwks(createDialer(resolver === undefined ? {} : { resolver })),
      changed: () => renew(),
      fault: (fault) => faults.push(String(fault)),
    });
  const use = (over: Partial<KeysUri> = {}) => {
    const published = { uri, allowPrivate: true, trust: "partner", ...over };
    const roots = [{ name: "partner", roots: [tls.cert], declaredAt: { file: "", line: 1, column: 1, path: "$" } }];
    keys.use([{ clients: [{ id: "orders", published }] }], roots);
  };
  let renew = (): void => undefined;
  const directory = (): Directory =>
    directoryOf({
      systems: [
        { id: "orders", clients: [{ id: "orders", keys: [] }], certificates: [] },
        { id: "analytics", clients: [{ id: "analytics", keys: [estate.analytics.jwk] }], certificates: [] },
        { id: "billing", clients: [], certificates: [] },
      ],
      integrations: [
        { id: "i", from: "orders", to: "billing", proof: ["dpop"], operations: [{ name: "invoice.read" }] },
      ],
      isActive: () => true,
      published: keys.keys(ended),
    });

  before(async () => {
    store = await open<Commands>({ commands: new URL("commands.test-support.ts", import.meta.url) });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    uri = `https://127.0.0.1:${typeof address === "object" ? address?.port : ""}/jwks`;
    const authentication = createClientAuthentication({
      clock: { now: () => Date.now() },
      directory: () => estate.production.directory,
      bundles: () => new Map(),
      secretUsed: () => undefined,
      published: {
        get isEmpty() {
          return keys.isEmpty;
        },
        find: (client, kid) => keys.find(client, kid),
      },
    });
    keys = keeper();
    estate = await startEstate(store, () => ({ authentication }));
    renew = () => {
      estate.production.directory = directory();
    };
  });
  after(async () => {
    server.close();
    await estate.close();
  });
  beforeEach(() => {
    // Each test begins at a place nobody fetched from, long after the last.
    clockMs += 2 * staleMaxMs;
    asked = [];
    faults.length = 0;
    ended.clear();
    keys = keeper();
    keys.use([], []);
    use();
    renew();
  });

  /** A nonce costs a request by another client, so that this one is asked for nothing but what a test asks. */
  const post = async (client: string, signed: string) => {
    const { issuer } = estate.production;
    const url = `${issuer}/token`;
    const first = form("analytics", assertion("analytics", issuer, estate.analytics)).toString();
    const { headers } = await estate.post(issuer, first, {
      headers: { dpop: dpopProof(estate.holder, url, undefined) },
    });
    const body = form(client, signed, { resource: `${issuer}/systems/billing` }).toString();
    const dpop = dpopProof(estate.holder, url, String(headers["dpop-nonce"]));
    return estate.post(issuer, body, { headers: { dpop } });
  };
  const ask = (key: TestKey, over: { header?: Record<string, unknown> } = {}) =>
    post("orders", assertion("orders", estate.production.issuer, key, {}, over.header));
  const refused = async (key: TestKey, over = {}) => {
    const answered = await ask(key, over);
    assert.deepEqual([answered.status, answered.body["error"]], [401, "invalid_client"], answered.text);
  };

  test("a client is known by a key it publishes, which is fetched for the first request that names it", async () => {
    const key = testKey();
    publish(named(key));
    const answered = await ask(key);
    assert.equal(answered.status, 200, answered.text);
    assert.deepEqual(asked, ["GET /jwks"]);
  });

  test("a new key is taken up at its first use, one that is no longer shown is refused, and both are records", async () => {
    const [old, next] = [testKey(), testKey()];
    publish(named(old));
    await keys.tick();
    publish(named(next));
    clockMs += tryMs;
    assert.equal((await ask(next)).status, 200);
    await refused(old);
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1 });
    const last = rows.filter(({ action }) => action === "client.keys").at(-1);
    assert.equal(last?.object, "client/orders");
    assert.equal(last?.facts["keys"], 1);
    for (const word of ["added", "removed"]) assert.match(String(last?.facts[word]), /^[A-Za-z0-9_-]{22}$/);
  });

  test("a signed authorization request is enough to look its key up", async () => {
    const key = testKey();
    publish(named(key));
    const { issuer } = estate.production;
    const request = jws({ alg: "ES256", kid: key.kid, typ: "oauth-authz-req+jwt" }, { iss: "orders" }, key.privateKey);
    await estate.post(issuer, new URLSearchParams({ client_id: "orders", request }).toString());
    assert.deepEqual([asked.length, keys.keys(ended).get("orders")?.length], [1, 1]);
  });

  test("fetch storm: fifty forged assertions with fifty names cost the client's server one fetch in thirty seconds", async () => {
    const key = testKey();
    publish(named(key));
    await keys.tick();
    asked = [];
    clockMs += tryMs;
    const forged = Array.from({ length: 50 }, (_, at) => refused(testKey(), { header: { kid: `made-up-${at}` } }));
    await Promise.all(forged);
    assert.equal(asked.length, 1);
    assert.equal((await ask(key)).status, 200, "the client itself is not held up");
  });

  test("fetch storm: a name that is no client's, or a client's that publishes nothing, fetches nothing", async () => {
    publish(named(testKey()));
    for (const client of ["nobody", "analytics", "billing"]) {
      const forged = assertion(client, estate.production.issuer, testKey());
      assert.notEqual((await post(client, forged)).status, 200);
    }
    assert.deepEqual(asked, []);
  });

  test("SSRF: no private address without the word, no redirect, no other certificate, no name that leads inside", async () => {
    const key = testKey();
    publish(named(key));
    for (const over of [
      { allowPrivate: false },
      { allowPrivate: false, uri: "https://169.254.169.254/latest/meta-data" },
      { allowPrivate: false, uri: uri.replace("127.0.0.1", "[::ffff:127.0.0.1]") },
      { allowPrivate: false, uri: uri.replace("127.0.0.1", "2130706433") },
    ]) {
      use(over);
      clockMs += tryMs;
      await refused(key);
      assert.deepEqual(asked, [], `never dialled: ${JSON.stringify(over)}`);
      assert.match(faults.join(), /keys of client orders could not be fetched/);
    }
    const elsewhere = new URL(uri);
    answer = (res) => void res.writeHead(302, { location: `https://${elsewhere.host}/inside` }).end();
    use();
    clockMs += tryMs;
    await refused(key);
    assert.deepEqual(asked, ["GET /jwks"], "a redirect is not followed");
    publish(named(key));
    use({ trust: "gone" });
    clockMs += tryMs;
    await refused(key);
    assert.equal(asked.length, 1, "without its bundle nobody is believed");
  });

  test("DNS rebinding: a public name that resolves to an inside address is not dialled", async () => {
    const key = testKey();
    publish(named(key));
    const resolver: Resolver = { resolve: async () => ["127.0.0.1"] };
    keys = keeper(resolver);
    use({ allowPrivate: false, uri: uri.replace("127.0.0.1", "keys.partner.example") });
    await refused(key);
    assert.deepEqual(asked, []);
    assert.match(faults.join(), /could not be fetched/);
  });

  test("algorithm confusion: a published RSA, symmetric or private key verifies nothing, and an algorithm is the key's own", async () => {
    const key = testKey();
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
    const leaked = key.privateKey.export({ format: "jwk" });
    publish({ ...rsa, kid: "rsa", alg: "ES256" }, { kty: "oct", k: "AAAA", kid: "oct" }, { ...leaked, kid: key.kid });
    await refused(key);
    publish(named(key), { ...named(testKey()), alg: "RS256", kid: "other" });
    clockMs += tryMs;
    await keys.tick();
    assert.equal((await ask(key)).status, 200);
    assert.deepEqual(
      [...(keys.keys(ended).get("orders") ?? [])].map(({ jwk }) => jwk["kid"]),
      [key.kid],
    );
    const hmac = jws({ alg: "HS256", kid: key.kid }, { iss: "orders", sub: "orders" }, key.privateKey);
    assert.equal((await post("orders", hmac)).status, 401);
  });

  test("a key that an operator ended is refused though the client goes on showing it, and its row outlives a restart", async () => {
    const key = testKey();
    publish(named(key));
    assert.equal((await ask(key)).status, 200);
    const by = { actor: "operator:kim", reason: "its host was lost", revokeTokens: true };
    const end = { tenant: "main", environment: "production", client: "orders", name: key.kid, ...by };
    const { kty = "", crv = "", x = "", y = "" } = key.jwk;
    assert.equal(await store.run("endClientKey", { ...end, published: { kty, crv, x, y } }), true);
    assert.equal(await store.run("endClientKey", { ...end, published: { kty, crv, x, y } }), false, "it ends once");
    const read = await store.run("readClientCredentials", { tenant: "main", environment: "production" });
    for (const { kid, endedAt } of read.keys) if (endedAt !== null) ended.add(kid);
    renew();
    await refused(key);
    clockMs += tryMs;
    await keys.tick();
    await refused(key);
  });

  test("after a restart beside an unreachable server the keys of before are good, for a day and no longer", async () => {
    const key = testKey();
    publish(named(key));
    await keys.tick();
    const seenAt = clockMs;
    answer = (res) => void res.destroy();
    keys = keeper();
    use();
    clockMs += 60_000;
    await keys.tick();
    assert.equal((await ask(key)).status, 200);
    assert.deepEqual(keys.placeOf("orders"), { uri, seenAt });
    clockMs = seenAt + staleMaxMs;
    await keys.tick();
    await refused(key);
  });

  test("oidc-provider is told keys and never where they are published: it has nothing to fetch", () => {
    publish(named(testKey()));
    const authentication = createClientAuthentication({
      clock: { now: () => Date.now() },
      directory,
      bundles: () => new Map(),
      secretUsed: () => undefined,
    });
    const client = directory().clients.get("orders");
    assert.ok(client !== undefined);
    const key = testKey();
    const shown = authentication.metadataOf({ ...client, keys: [{ jwk: named(key), isPublished: true }] }, clockMs);
    assert.deepEqual(Object.keys(shown ?? {}).sort(), ["jwks", "token_endpoint_auth_method"]);
  });

  test("the metadata document is served while a client's server hangs: only who names the key waits", async () => {
    const held: ServerResponse[] = [];
    answer = (res) => void held.push(res);
    const waiting = ask(testKey());
    const { status } = await send(`${estate.production.issuer}/jwks`, estate.ca);
    assert.equal(status, 200);
    const other = await post("analytics", assertion("analytics", estate.production.issuer, estate.analytics));
    assert.equal(other.body["error"], "invalid_target", "known, and not granted anything");
    const gone = Promise.withResolvers<void>();
    const poll = setInterval(() => {
      if (held.length === 0) return;
      for (const res of held) res.destroy();
      gone.resolve();
    }, 5);
    await gone.promise;
    clearInterval(poll);
    assert.equal((await waiting).status, 401);
  });
});
