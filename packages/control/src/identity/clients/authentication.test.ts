import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { createLocalCa, issueLeaf, type LocalCa } from "@sallyport/kernel/x509/issue.ts";
import { compileTrust } from "@sallyport/kernel/x509/peer-policy.ts";
import * as client from "openid-client";
import type { ClientAuthentication } from "../../registry/config/estate.ts";
import { defaultTokens } from "../../registry/config/tokens-schema.ts";
import { testCertificate } from "../certificates.test-support.ts";
import type { IdentityClient } from "../directory.ts";
import { random, startEstate, type TestEstate } from "../estate.test-support.ts";
import { assertion, dpopProof, form, send, type TestAnswer, type TestSend } from "../issuer.test-support.ts";
import { fetchOver } from "../openid-client.test-support.ts";
import { createClientAuthentication } from "./authentication.ts";
import { makeSecret } from "./secret.ts";

const hour = 3_600_000;
const now = Date.now();

function ca(): LocalCa {
  return createLocalCa({
    tenant: "main",
    environment: "test",
    random,
    notBeforeMs: now - hour,
    notAfterMs: now + 24 * hour,
  });
}

function leaf(
  from: LocalCa,
  names: { uri?: string; dns?: string[] },
  over: { notAfterMs?: number; usage?: "server" } = {},
) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { pem } = issueLeaf({
    ca: from,
    publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
    names,
    usage: over.usage ?? "client",
    notBeforeMs: now - hour,
    notAfterMs: over.notAfterMs ?? now + hour,
    random,
  });
  return { cert: pem, key: String(privateKey.export({ format: "pem", type: "pkcs8" })) };
}

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  const ours = ca();
  const theirs = ca();
  const own = testCertificate([{ type: "dns", value: "pinned.internal" }]);
  const first = makeSecret(random);
  const second = makeSecret(random);
  const used: string[] = [];
  let until = now + 24 * hour;
  const x5t = createHash("sha256").update(new X509Certificate(own.cert).raw).digest("base64url");
  const ways = (): Readonly<Record<string, ClientAuthentication>> => ({
    shop: { method: "client_secret_basic", reason: "test", untilMs: until },
    mesh: { method: "tls_client_auth", identity: { trust: "ours", kind: "uri", value: "spiffe://main/mesh" } },
    pinned: { method: "self_signed_tls_client_auth", x5t: [x5t] },
  });

  /** Clients of the system orders, each with one way. */
  const useClients = (secrets: IdentityClient["secrets"] = [first, second]) => {
    const former = estate.production.directory;
    const more = Object.entries(ways()).map(([id, authentication]): [string, IdentityClient] => [
      id,
      {
        id,
        system: "orders",
        keys: [],
        grantTypes: ["client_credentials"],
        isPublic: false,
        lives: defaultTokens,
        redirectUris: [],
        authentication,
        certificates: [],
        secrets: secrets ?? [],
      },
    ]);
    const clients = new Map([...former.clients, ...more]);
    estate.production.directory = { ...former, version: `${former.version}+`, clients };
  };

  before(async () => {
    const store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    const bundles = new Map([
      ["ours", compileTrust({ name: "ours", roots: [ours.certificatePem] })],
      ["theirs", compileTrust({ name: "theirs", roots: [theirs.certificatePem] })],
    ]);
    const authentication = createClientAuthentication({
      clock: { now: () => Date.now() },
      directory: () => estate.production.directory,
      bundles: () => bundles,
      secretUsed: (id, secret) => used.push(`${id} ${secret}`),
    });
    estate = await startEstate(store, () => ({ authentication }));
    estate.listener.setRoots([ours.certificatePem, theirs.certificatePem]);
    useClients();
  });
  after(() => estate.close());

  const basic = (id: string, secret: string) => ({
    authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}`,
  });
  /** A client_credentials request without any client authentication of its own. */
  const ask = async (
    id: string | null,
    over: TestSend = {},
    more: Record<string, string> = {},
  ): Promise<TestAnswer> => {
    const { issuer } = estate.production;
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      resource: `${issuer}/systems/billing`,
      ...(id === null ? {} : { client_id: id }),
      ...more,
    });
    const dpop = dpopProof(estate.holder, `${issuer}/token`, await estate.nonce());
    return estate.post(issuer, body.toString(), { ...over, headers: { dpop, ...over.headers } });
  };
  const refusedAs = async (answer: Promise<TestAnswer>, code: string, status = 401) => {
    const { status: given, body } = await answer;
    assert.equal(given, status, JSON.stringify(body));
    assert.equal("access_token" in body, false);
    const record = estate.production.leaves.at(-1);
    assert.deepEqual(record?.t === "issuance" && [record.verdict, record.code, record.client], ["deny", code, null]);
  };

  test("a client with a secret gets a token by it, by either of two live ones, and the use is noted by its id", async () => {
    for (const { secret, id } of [first, second]) {
      const answer = await ask(null, { headers: basic("shop", secret) });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body["token_type"], "DPoP");
      assert.equal(used.at(-1), `shop ${id}`);
    }
  });

  test("openid-client gets a token by client_secret_basic", async () => {
    const { issuer } = estate.production;
    const over = fetchOver(estate.ca);
    const config = await client.discovery(new URL(issuer), "shop", undefined, client.ClientSecretBasic(first.secret), {
      [client.customFetch]: over,
    });
    config[client.customFetch] = over;
    const handle = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
    const tokens = await client.clientCredentialsGrant(
      config,
      { resource: `${issuer}/systems/billing` },
      { DPoP: handle },
    );
    assert.equal(tokens.token_type, "dpop");
  });

  test("a wrong, an ended and another client's secret are one and the same refusal, with the scheme named", async () => {
    const wrong = await ask(null, { headers: basic("shop", makeSecret(random).secret) });
    const stranger = await ask(null, { headers: basic("nobody", first.secret) });
    assert.deepEqual(wrong.body, stranger.body);
    for (const { headers } of [wrong, stranger]) assert.equal(headers["www-authenticate"], 'Basic realm="sallyport"');
    await refusedAs(ask(null, { headers: basic("shop", `${first.secret}x`) }), "client-secret-wrong");
    await refusedAs(ask(null, { headers: basic("nobody", first.secret) }), "client-unknown");
    useClients([{ ...first, notAfterMs: Date.now() - 1 }]);
    await refusedAs(ask(null, { headers: basic("shop", first.secret) }), "client-secret-wrong");
    useClients([first]);
    assert.equal((await ask(null, { headers: basic("shop", first.secret) })).status, 200);
    await refusedAs(ask(null, { headers: basic("shop", second.secret) }), "client-secret-wrong");
    useClients();
  });

  test("after the day its file names no secret of a client is accepted, however fresh", async () => {
    until = Date.now() - 1;
    useClients();
    await refusedAs(ask(null, { headers: basic("shop", second.secret) }), "client-secret-wrong");
    until = now + 24 * hour;
    useClients();
  });

  test("downgrade: a client cannot use a way that is not its own, whatever proof of another client's it holds", async () => {
    const { issuer } = estate.production;
    const method = "client-authentication-method";
    await refusedAs(ask(null, { headers: basic("orders", first.secret) }), method);
    await refusedAs(ask(null, { headers: basic("mesh", first.secret) }), method);
    await refusedAs(ask("orders"), method);
    await refusedAs(ask("orders", leaf(ours, { uri: "spiffe://main/orders" })), method);
    await refusedAs(ask("shop", leaf(ours, { uri: "spiffe://main/mesh" })), method);
    const signed = form("mesh", assertion("mesh", issuer, estate.orders)).toString();
    await refusedAs(estate.post(issuer, signed, leaf(ours, { uri: "spiffe://main/mesh" })), method);
    const inBody = await ask("shop", {}, { client_secret: first.secret });
    assert.notEqual(inBody.status, 200);
    const both = await ask("shop", { headers: basic("shop", first.secret) }, { client_assertion: "x" });
    assert.equal(both.body["error"], "invalid_request");
  });

  test("a client is known by a chain into its bundle and the one declared name, and gets a token", async () => {
    const answer = await ask("mesh", leaf(ours, { uri: "spiffe://main/mesh" }));
    assert.equal(answer.status, 200, answer.text);
  });

  test("another name, another root, another bundle, a server's certificate and no certificate are refused", async () => {
    await refusedAs(ask("mesh", leaf(ours, { uri: "spiffe://main/orders" })), "certificate-unknown");
    await refusedAs(ask("mesh", leaf(ours, { dns: ["mesh.internal"] })), "certificate-unknown");
    await refusedAs(ask("mesh", leaf(theirs, { uri: "spiffe://main/mesh" })), "certificate-untrusted");
    await refusedAs(ask("mesh", leaf(ca(), { uri: "spiffe://main/mesh" })), "certificate-untrusted");
    await refusedAs(
      ask("mesh", leaf(ours, { uri: "spiffe://main/mesh" }, { usage: "server" })),
      "certificate-untrusted",
    );
    const ended = leaf(ours, { uri: "spiffe://main/mesh" }, { notAfterMs: now - 60_000 });
    await refusedAs(ask("mesh", ended), "certificate-expired");
    await refusedAs(ask("mesh"), "certificate-missing");
    const selfMade = testCertificate([{ type: "uri", value: "spiffe://main/mesh" }]);
    await refusedAs(ask("mesh", selfMade), "certificate-untrusted");
  });

  test("forged certificate header: what a proxy would have written into a field is nothing here (identity.md §4.20)", async () => {
    const { cert } = leaf(ours, { uri: "spiffe://main/mesh" });
    const headers = {
      "x-client-cert": encodeURIComponent(cert),
      "x-forwarded-client-cert": `URI=spiffe://main/mesh`,
      "client-cert": ":x:",
    };
    await refusedAs(ask("mesh", { headers }), "certificate-missing");
  });

  test("a declared certificate is accepted whole, and no other of the same name", async () => {
    assert.equal((await ask("pinned", own)).status, 200);
    const again = testCertificate([{ type: "dns", value: "pinned.internal" }]);
    await refusedAs(ask("pinned", again), "certificate-unknown");
    await refusedAs(ask("mesh", own), "certificate-untrusted");
  });

  test("sloppy Authorization: another case, a tab, two fields and another scheme are refused before anything is compared (CVE-2026-0707)", async () => {
    const { authorization } = basic("shop", first.secret);
    for (const field of [
      authorization.replace("Basic", "basic"),
      authorization.replace(" ", "\t"),
      authorization.replace(" ", "  "),
      `${authorization} `.concat("x"),
      "Bearer abc",
      "Basic",
      "Basic !!!!",
    ])
      await refusedAs(ask(null, { headers: { authorization: field } }), "authorization-field", 400);
    const twice = { authorization: [authorization, basic("shop", second.secret).authorization] };
    await refusedAs(ask(null, { headers: twice }), "authorization-field", 400);
  });

  test("the metadata names the ways there are, `none` of public clients included, and no other", async () => {
    const { body } = await send(`${estate.production.issuer}/.well-known/openid-configuration`, estate.ca);
    assert.deepEqual(body["token_endpoint_auth_methods_supported"], [
      "private_key_jwt",
      "tls_client_auth",
      "self_signed_tls_client_auth",
      "client_secret_basic",
      "none",
    ]);
  });
});
