// Tokens behind handles: what leaves, what leads back, and where it does not (docs/identity/token-forms.md). Real listener, store and keyring.
import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import { isHandle, printHandle } from "@sallyport/protocol/token/handle.ts";
import type { ControlCommands } from "../../commands.ts";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import { clock, random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { tokenExchange } from "../exchange/exchange-grant.ts";
import { isRevokedIn } from "../exchange/revoked.ts";
import { accessTokenUrn, jwtUrn } from "../exchange/subject-token.ts";
import { assertion, dpopProof, form, send, type TestAnswer, type TestKey, testKey } from "../issuer.test-support.ts";
import { mint } from "../mint.ts";
import { TokenForms } from "./forms.ts";
import { introspection } from "./introspection.ts";
import type { JudgePorts } from "./judge-token.ts";
import { revocation } from "./revocation.ts";

const digestOf = (handle: string) => hash("sha256", handle, "base64url");

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  let store: Store<ControlCommands>;
  let aheadMs = 0;
  const late = { now: () => Date.now() + aheadMs, monotonic: () => performance.now() };
  const handles = new Map<string, TokenForms>();
  const of = (environment: string): TokenForms => {
    const found = handles.get(environment);
    assert.ok(found !== undefined);
    return found;
  };
  const billing: TestKey = testKey();

  before(async () => {
    store = await open<ControlCommands>({ commands: new URL("../../commands.ts", import.meta.url), clock: late });
    estate = await startEstate(store, ({ issuer, place, keyring, directory }) => {
      const own = new TokenForms({ place, issuer, store, keyring, random, clock, directory });
      handles.set(place.environment, own);
      const crypto = createTokenCrypto();
      const { read } = own;
      const ring = () => estate[place.environment === "staging" ? "staging" : "production"].ring.view();
      const judging: JudgePorts = { ...place, issuer, ring, directory, store, crypto, clock, read };
      const isRevoked = (token: Parameters<typeof isRevokedIn>[2]) => isRevokedIn(store, place, token);
      const trusted = { read: async () => ({ kind: "refused" as const, code: "issuer-unknown" as const }) };
      return {
        present: own.present,
        endpoints: [
          ({ signer }) => introspection({ ...judging, signer }),
          () => revocation({ ...judging, store, revoked: async () => undefined }),
        ],
        grants: [tokenExchange({ issuer, keys: () => ring().keys, trusted, crypto, read, isRevoked })],
      };
    });
    for (const environment of [estate.production, estate.staging]) {
      const former = environment.directory;
      const service = { id: "billing", system: "billing", keys: [{ jwk: billing.jwk }], certificates: [] };
      const rest = { grantTypes: ["client_credentials"], isPublic: false, redirectUris: [], lives: defaultTokens };
      environment.directory = {
        ...former,
        version: `${former.version}+`,
        clients: new Map([...former.clients, ["billing", { ...service, ...rest }]]),
        tokenForm: (system) => (system === "billing" ? "opaque" : "jwt"),
      };
    }
  });
  after(() => estate.close());

  const fresh = async (): Promise<string> => String((await estate.token()).body["access_token"]);
  const ask = (path: string, by: "billing" | "orders", token: string, issuer = estate.production.issuer) => {
    const body = form(by, assertion(by, issuer, by === "billing" ? billing : estate.orders), { token });
    body.delete("grant_type");
    return send(`${issuer}${path}`, estate.ca, { body: body.toString() });
  };
  const isActive = async (token: string): Promise<unknown> =>
    (await ask("/introspect", "billing", token)).body["active"];

  test("a provider whose tokens are opaque: its callers get handles of one form, other providers' callers get tokens as ever", async () => {
    const { body } = await estate.token();
    const handle = String(body["access_token"]);
    assert.ok(isHandle(handle), handle);
    assert.deepEqual([body["token_type"], body["expires_in"]], ["DPoP", 300]);
    const inside = await of("production").handles.open(digestOf(handle));
    const claims = JSON.parse(Buffer.from(inside?.split(".")[1] ?? "", "base64url").toString());
    assert.equal(claims.aud, `${estate.production.issuer}/systems/billing`);
    assert.equal(claims.cnf.jkt.length, 43);
    const over = { resource: `${estate.production.issuer}/systems/reports` };
    const other = await estate.token({ proof: null, form: over });
    assert.equal(String(other.body["access_token"]).split(".").length, 3, other.text);
    assert.notEqual(await fresh(), await fresh());
  });

  test("introspection says of a handle what it says of the token, to its audience alone; revocation ends it", async () => {
    const handle = await fresh();
    const { body } = await ask("/introspect", "billing", handle);
    assert.deepEqual([body["active"], body["client_id"], body["token_type"]], [true, "orders", "DPoP"]);
    assert.deepEqual((await ask("/introspect", "orders", handle)).body, { active: false });
    assert.equal((await ask("/revoke", "billing", handle)).body["error"], "invalid_grant", "not its own");
    assert.equal((await ask("/revoke", "orders", handle)).status, 200);
    assert.equal(await isActive(handle), false);
  });

  test("token exchange takes a handle as an access token and not as a JWT", async () => {
    const { issuer, ring, record } = estate.production;
    const { signer } = ring.view();
    assert.ok(signer !== null);
    const decision = {
      issuer,
      client: "orders",
      audience: `${issuer}/systems/billing`,
      scopes: null,
      ceiling: new Set(["billing:invoice.read"]),
      binding: { kind: "dpop", jkt: estate.holder.kid } as const,
      lifetimeSeconds: 120,
      subject: { id: "usr_ana" },
      grants: ["grt_1"],
      clearance: { grantType: "authorization_code" as const, policies: [] },
      integrations: ["orders-to-billing"],
    };
    const { token: handle } = await mint(decision, signer, {
      clock,
      random,
      record,
      present: of("production").present,
    });
    const former = estate.production.directory;
    const billingUses = {
      integration: "billing-to-orders",
      scopes: ["orders:order.read"],
      proof: ["dpop"] as const,
      exchange: [
        {
          subject: "own",
          as: "delegate" as const,
          operations: ["orders:order.read"],
          depth: 1,
          binding: "keep" as const,
        },
      ],
    };
    const client = former.clients.get("billing");
    assert.ok(client !== undefined);
    const grantTypes = [...client.grantTypes, "urn:ietf:params:oauth:grant-type:token-exchange"];
    estate.production.directory = {
      ...former,
      version: `${former.version}+`,
      clients: new Map([...former.clients, ["billing", { ...client, grantTypes }]]),
      grants: (from, to) => (from === "billing" && to === "orders" ? [billingUses] : former.grants(from, to)),
    };
    const exchange = async (subjectToken: string, type: string): Promise<TestAnswer> => {
      const body = form("billing", assertion("billing", issuer, billing), {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token: subjectToken,
        subject_token_type: type,
        resource: `${issuer}/systems/orders`,
        scope: "orders:order.read",
      });
      const proof = dpopProof(estate.holder, `${issuer}/token`, await estate.nonce());
      return send(`${issuer}/token`, estate.ca, { body: body.toString(), headers: { dpop: proof } });
    };
    try {
      const done = await exchange(handle, accessTokenUrn);
      assert.equal(done.status, 200, done.text);
      const claims = JSON.parse(
        Buffer.from(String(done.body["access_token"]).split(".")[1] ?? "", "base64url").toString(),
      );
      assert.deepEqual([claims.sub, claims.act.sub], ["usr_ana", "billing"]);
      assert.equal((await exchange(handle, jwtUrn)).body["error"], "invalid_request");
      assert.equal((await exchange(printHandle(random.bytes(32)), accessTokenUrn)).body["error"], "invalid_request");
    } finally {
      estate.production.directory = former;
    }
  });

  test("attack: a handle of production at staging, by its text, by its digest, and with its row copied over", async () => {
    const handle = await fresh();
    const digest = digestOf(handle);
    assert.equal(await of("staging").handles.open(digest), null);
    assert.equal(await of("staging").read(handle), null);
    const sealed = await store.run("readHandle", { tenant: "main", environment: "production", digest });
    assert.ok(sealed !== null);
    const expiresAt = Date.now() + 60_000;
    await store.run("keepHandle", { tenant: "main", environment: "staging", digest, expiresAt, sealed });
    await assert.rejects(of("staging").handles.open(digest), "sealed for production");
    const other = digestOf(await fresh());
    await store.run("keepHandle", {
      tenant: "main",
      environment: "production",
      digest: digestOf("x"),
      expiresAt,
      sealed,
    });
    await assert.rejects(of("production").handles.open(digestOf("x")), "sealed for its own digest");
    assert.notEqual(await of("production").handles.open(other), null);
  });

  test("attack: what the store holds is neither the handle nor the token", async () => {
    const handle = await fresh();
    const digest = digestOf(handle);
    const sealed = await store.run("readHandle", { tenant: "main", environment: "production", digest });
    const inside = (await of("production").handles.open(digest)) ?? "";
    const row = Buffer.from(sealed ?? []).toString("latin1") + digest;
    for (const text of [handle, handle.slice(5, 30), inside, inside.split(".")[1] ?? "?"])
      assert.equal(row.includes(text), false);
  });

  test("attack: guessed, cut and misspelt handles lead nowhere, here as at gateways", async () => {
    const handle = await fresh();
    const guess = printHandle(new Uint8Array(randomBytes(32)));
    for (const text of [
      guess,
      handle.slice(0, -1),
      `${handle}=`,
      handle.toLowerCase(),
      `spt1_${"A".repeat(48)}`,
      "spt1_",
    ]) {
      assert.equal(await of("production").read(text), null, text);
      assert.equal(await isActive(text), false, text);
    }
    assert.equal(await isActive(handle), true);
  });

  test("a handle ends with its token and is then forgotten", async () => {
    const handle = await fresh();
    aheadMs = 301_000;
    try {
      assert.equal(await of("production").read(handle), null);
      assert.ok((await store.run("purgeHandles", null)) > 0);
      aheadMs = 0;
      assert.equal(await of("production").read(handle), null, "gone");
    } finally {
      aheadMs = 0;
    }
  });

  test("without a record no handle leaves", async () => {
    estate.production.logBroken = true;
    try {
      const answer = await estate.token();
      assert.equal(answer.status, 503);
      assert.equal(answer.text.includes("spt1_"), false);
    } finally {
      estate.production.logBroken = false;
    }
  });
});
