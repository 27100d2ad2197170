// Two client libraries of other people drive every flow, each from what the metadata says: oauth4webapi, which shows each message, and openid-client.
// openid-client's authorization code and refresh: authorization-code.test.ts; its introspection and revocation: tokens/endpoints.test.ts; its device flow:
// device/device-flow.test.ts; its client credentials: provider.test.ts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { answer as answerDevice, base, movableClock, openidClient } from "../device/device.test-support.ts";
import { tokenExchangeGrantType } from "../exchange/decide-exchange.ts";
import { accessTokenUrn } from "../exchange/subject-token.ts";
import { fetchOver, type TestKey, webKey } from "../issuer.test-support.ts";
import type { TestBrowser } from "../people/browser.test-support.ts";
import { jwtBearerGrantType } from "../trust/assertion-grant.ts";
import type { IndependentCommands } from "./commands.test-support.ts";
import { bye, ciAssertion, type IndependentPlace, startIndependents } from "./independent-clients.test-support.ts";
import { portalCallback } from "./portal.test-support.ts";

/** A client as oauth4webapi is told of it; the key of its proofs is the library's. */
interface Party {
  readonly client: oauth.Client;
  readonly auth: oauth.ClientAuth;
  readonly DPoP: oauth.DPoPHandle;
  readonly proofKey: Awaited<ReturnType<typeof oauth.generateKeyPair>>;
}

async function partyOf(id: string, key: TestKey | null): Promise<Party> {
  const client: oauth.Client = { client_id: id };
  const proofKey = await oauth.generateKeyPair("ES256");
  const auth = key === null ? oauth.None() : oauth.PrivateKeyJwt({ key: await webKey(key), kid: key.kid });
  return { client, auth, DPoP: oauth.DPoP(client, proofKey), proofKey };
}

/** Every library says it: ask again with the nonce of the answer, once (RFC 9449 §8). */
async function withNonce<T>(ask: () => Promise<T>): Promise<T> {
  return ask().catch((error: unknown) => {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return ask();
  });
}

forEachDialect((_dialect, open) => {
  let at: IndependentPlace;
  let as: oauth.AuthorizationServer;
  let fetching: { readonly [oauth.customFetch]: never };
  /** What was answered, in order: `token 400 use_dpop_nonce`. */
  const seen: string[] = [];
  before(async () => {
    const clock = movableClock();
    const commands = new URL("./commands.test-support.ts", import.meta.url);
    at = await startIndependents(await open<IndependentCommands>({ commands, clock }), clock);
    const over = fetchOver(at.estate.ca);
    const watched: typeof over = async (url, options) => {
      const response = await over(url, options);
      const error = response.ok ? "" : (/"error":"(\w+)"/.exec(await response.clone().text())?.[1] ?? "");
      seen.push(`${url.slice(at.issuer.length + 1)} ${response.status} ${error}`.trim());
      return response;
    };
    // The libraries' types say what each kind of request sends; one function sends them all.
    fetching = { [oauth.customFetch]: watched as never };
    as = await oauth.processDiscoveryResponse(
      new URL(at.issuer),
      await oauth.discoveryRequest(new URL(at.issuer), fetching),
    );
  });
  after(() => at.estate.close());

  const clientToken = async ({ client, auth, DPoP }: Party, resource: string): Promise<string> => {
    const ask = async () => {
      const parameters = { resource: at.resource(resource) };
      const options = { DPoP, ...fetching };
      const response = await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, options);
      return oauth.processClientCredentialsResponse(as, client, response);
    };
    return (await withNonce(ask)).access_token;
  };
  /** The browser of somebody who is signed in: the address of the client in, its answer out. */
  const allowIn = async (browser: TestBrowser, url: URL): Promise<URL> => {
    const begun = await browser.get(`${url.pathname}${url.search}`);
    const location = begun.location ?? "";
    assert.ok(location.startsWith(`${at.issuer}/interaction/`), begun.text);
    const page = await browser.get(location.slice(at.estate.url.length));
    return new URL((await browser.submit(page, "/consent", { answer: "allow" })).location ?? "");
  };
  /** A pushed request of the portal up to a token for the user of `browser`. */
  const codeFlow = async ({ client, auth, DPoP }: Party, browser: TestBrowser) => {
    const [verifier, state, nonce] = [
      oauth.generateRandomCodeVerifier(),
      oauth.generateRandomState(),
      oauth.generateRandomNonce(),
    ];
    const parameters = {
      response_type: "code",
      redirect_uri: portalCallback,
      scope: "openid orders:order.list",
      resource: at.resource("orders"),
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce,
    };
    const options = { DPoP, ...fetching };
    const pushed = await withNonce(async () => {
      const response = await oauth.pushedAuthorizationRequest(as, client, auth, parameters, options);
      return oauth.processPushedAuthorizationResponse(as, client, response);
    });
    const url = new URL(as.authorization_endpoint ?? "");
    url.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri }).toString();
    const back = await allowIn(browser, url);
    assert.equal(back.searchParams.get("iss"), at.issuer);
    const callback = oauth.validateAuthResponse(as, client, back, state);
    return withNonce(async () => {
      const response = await oauth.authorizationCodeGrantRequest(
        ...([as, client, auth, callback, portalCallback, verifier, options] as const),
      );
      const checks = { expectedNonce: nonce, requireIdToken: true };
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, checks);
      await oauth.validateApplicationLevelSignature(as, response, fetching);
      return tokens;
    });
  };
  const claimsOf = (token: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());

  test("oauth4webapi: a machine's token by a signed assertion and a DPoP proof with a nonce, taken by a service that checks it with that library", async () => {
    seen.length = 0;
    const portal = await partyOf("portal", at.key);
    const token = await clientToken(portal, "orders");
    assert.deepEqual(seen, ["token 400 use_dpop_nonce", "token 200"]);
    const url = new URL("https://orders.example/orders");
    const headers = new Headers();
    await oauth.protectedResourceRequest(token, "GET", url, headers, null, {
      DPoP: portal.DPoP,
      [oauth.customFetch]: async (_url, options) => {
        for (const [name, value] of Object.entries(options.headers)) headers.set(name, value);
        return new Response();
      },
    });
    const options = { requireDPoP: true, signingAlgorithms: ["ES256"], ...fetching };
    const request = new Request(url, { headers });
    const claims = await oauth.validateJwtAccessToken(as, request, at.resource("orders"), options);
    assert.deepEqual([claims.sub, claims.client_id], ["portal", "portal"]);
    await assert.rejects(oauth.validateJwtAccessToken(as, request, at.resource("billing"), options), /"aud"/);
  });

  test("oauth4webapi: a service looks a token up as JSON and as a signed answer; given back by its client, it is good no more", async () => {
    const portal = await partyOf("portal", at.key);
    const orders = await partyOf("orders", at.ordersKey);
    const token = await clientToken(portal, "orders");
    const look = async (requestJwtResponse: boolean) => {
      const options = { requestJwtResponse, ...fetching };
      const response = await oauth.introspectionRequest(as, orders.client, orders.auth, token, options);
      const state = await oauth.processIntrospectionResponse(as, orders.client, response);
      if (requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response, fetching);
      return state;
    };
    for (const signed of [false, true]) {
      const { active, client_id, cnf } = await look(signed);
      assert.deepEqual([active, client_id, cnf?.jkt], [true, "portal", await portal.DPoP.calculateThumbprint()]);
    }
    const given = await oauth.revocationRequest(as, portal.client, portal.auth, token, fetching);
    await oauth.processRevocationResponse(given);
    for (const signed of [false, true]) assert.deepEqual((await look(signed)).active, false);
  });

  test("oauth4webapi: a pushed request, a person's yes on the page, a code with its issuer, a token and a signed ID token, then a refresh", async () => {
    const portal = await partyOf("portal", at.key);
    const { browser, user } = await at.person();
    const tokens = await codeFlow(portal, browser);
    const claims = claimsOf(tokens.access_token);
    assert.deepEqual([claims["sub"], claims["scope"]], [user, "orders:order.list"]);
    assert.equal(oauth.getValidatedIdTokenClaims(tokens)?.sub, user);
    const { client, auth, DPoP } = portal;
    const options = { DPoP, ...fetching };
    const former = tokens.refresh_token ?? "";
    const ask = async () => {
      const response = await oauth.refreshTokenGrantRequest(as, client, auth, former, options);
      return oauth.processRefreshTokenResponse(as, client, response);
    };
    const fresh = await withNonce(ask);
    assert.notEqual(fresh.refresh_token, former);
    assert.deepEqual(claimsOf(fresh.access_token)["gid"], claims["gid"]);
  });

  test("oauth4webapi: a request that the library signs is taken where the client must sign, and the same in the open is not", async () => {
    const { client, auth } = await partyOf("portal", at.key);
    const { production } = at.estate;
    const former = production.directory;
    const own = former.clients.get("portal");
    assert.ok(own !== undefined);
    const clients = new Map([...former.clients, ["portal", { ...own, signsRequests: true as const }]]);
    production.directory = { ...former, version: `${former.version} signing`, clients };
    const parameters = {
      response_type: "code",
      redirect_uri: portalCallback,
      resource: at.resource("orders"),
      code_challenge: await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier()),
      code_challenge_method: "S256",
    };
    const push = async (sent: Record<string, string>) =>
      oauth.processPushedAuthorizationResponse(
        as,
        client,
        await oauth.pushedAuthorizationRequest(as, client, auth, sent, fetching),
      );
    const key = { key: await webKey(at.key), kid: at.key.kid };
    const request = await oauth.issueRequestObject(as, client, parameters, key);
    assert.match((await push({ request })).request_uri, /^urn:ietf:params:oauth:request_uri:/);
    await assert.rejects(
      push(parameters),
      (error) => error instanceof oauth.ResponseBodyError && error.error === "invalid_request",
    );
    production.directory = former;
    assert.match((await push(parameters)).request_uri, /^urn:/);
  });

  test("oauth4webapi: a response of another issuer, and one whose state is another's, are not taken for ours", async () => {
    const { client } = await partyOf("portal", at.key);
    const back = (over: Record<string, string>) =>
      new URL(`${portalCallback}?${new URLSearchParams({ code: "c", state: "s", iss: at.issuer, ...over })}`);
    oauth.validateAuthResponse(as, client, back({}), "s");
    assert.throws(() => oauth.validateAuthResponse(as, client, back({ iss: "https://evil.example" }), "s"), /"iss"/);
    const silent = back({});
    silent.searchParams.delete("iss");
    assert.throws(() => oauth.validateAuthResponse(as, client, silent, "s"), /"iss"/, "the metadata promises it");
    assert.throws(() => oauth.validateAuthResponse(as, client, back({ state: "t" }), "s"), /"state"/);
  });

  const exchangeOf = (subject: string) => ({
    subject_token: subject,
    subject_token_type: accessTokenUrn,
    resource: at.resource("billing"),
  });
  const generic = ({ client, auth, DPoP }: Party, grantType: string, parameters: () => Record<string, string>) =>
    withNonce(async () => {
      const sent = [as, client, auth, grantType, parameters(), { DPoP, ...fetching }] as const;
      return oauth.processGenericTokenEndpointResponse(as, client, await oauth.genericTokenEndpointRequest(...sent));
    });

  test("oauth4webapi: a user's token exchanged for one of the next system, which names who acts for whom; by another key it is not", async () => {
    const portal = await partyOf("portal", at.key);
    const { browser, user } = await at.person();
    const subject = (await codeFlow(portal, browser)).access_token;
    const tokens = await generic(portal, tokenExchangeGrantType, () => exchangeOf(subject));
    const claims = claimsOf(tokens.access_token);
    assert.deepEqual(
      [claims["sub"], claims["act"], claims["scope"]],
      [user, { sub: "portal" }, "billing:invoice.read"],
    );
    assert.equal(tokens["issued_token_type"], accessTokenUrn);
    const thief = await partyOf("portal", at.key);
    await assert.rejects(
      generic(thief, tokenExchangeGrantType, () => exchangeOf(subject)),
      (error) => error instanceof oauth.ResponseBodyError && error.status === 400,
    );
  });

  test("oauth4webapi: an assertion of the build system is all a job needs for a token of its own", async () => {
    const batch = await partyOf("batch", null);
    const parameters = () => ({ assertion: ciAssertion(at.issuer), resource: at.resource("orders") });
    const tokens = await generic(batch, jwtBearerGrantType, parameters);
    assert.deepEqual([tokens.token_type, claimsOf(tokens.access_token)["client_id"]], ["dpop", "batch"]);
    const theirs = () => ({ ...parameters(), assertion: ciAssertion("https://other.example") });
    await assert.rejects(
      generic(batch, jwtBearerGrantType, theirs),
      (error) => error instanceof oauth.ResponseBodyError && error.error === "invalid_grant",
    );
  });

  test("oauth4webapi: a device is told to wait while its person thinks, and gets a token for them once they have said yes", async () => {
    const { client, auth, DPoP } = await partyOf("portal", at.key);
    const parameters = { resource: at.resource("orders"), scope: "openid orders:order.list" };
    const response = await oauth.deviceAuthorizationRequest(as, client, auth, parameters, fetching);
    const begun = await oauth.processDeviceAuthorizationResponse(as, client, response);
    const poll = () =>
      withNonce(async () => {
        const options = { DPoP, ...fetching };
        const polled = await oauth.deviceCodeGrantRequest(as, client, auth, begun.device_code, options);
        return oauth.processDeviceCodeResponse(as, client, polled);
      });
    await assert.rejects(
      poll(),
      (error) => error instanceof oauth.ResponseBodyError && error.error === "authorization_pending",
    );
    const { browser, user } = await at.person();
    assert.equal((await answerDevice(browser, begun.user_code, "allow")).status, 200);
    const tokens = await poll();
    assert.deepEqual([claimsOf(tokens.access_token)["sub"], tokens.token_type], [user, "dpop"]);
    assert.equal(oauth.getValidatedIdTokenClaims(tokens)?.sub, user);
  });

  test("openid-client 6: a user's token exchanged, then the user sent here to sign out, and back, with which the token ends", async () => {
    const portal = await partyOf("portal", at.key);
    const { browser, user } = await at.person();
    const tokens = await codeFlow(portal, browser);
    const config = await openidClient(at, "portal");
    const DPoP = openid.getDPoPHandle(config, portal.proofKey);
    const subject = exchangeOf(tokens.access_token);
    const next = await openid.genericGrantRequest(config, tokenExchangeGrantType, subject, { DPoP });
    const claims = claimsOf(next.access_token);
    assert.deepEqual([claims["sub"], claims["act"]], [user, { sub: "portal" }]);
    const leave = openid.buildEndSessionUrl(config, {
      id_token_hint: tokens.id_token ?? "",
      post_logout_redirect_uri: bye,
      state: "out",
    });
    const page = await browser.get(`${leave.pathname}${leave.search}`);
    assert.match(page.text, /portal asks to sign you out here/);
    const done = await browser.submit(page, "/session/end/decide", { answer: "yes" });
    assert.equal(done.location, `${bye}?state=out`);
    assert.equal((await browser.get(`${base}/account`)).status, 303, "signed out");
    await assert.rejects(
      openid.genericGrantRequest(config, tokenExchangeGrantType, subject, { DPoP }),
      (error) => error instanceof openid.ResponseBodyError && error.error === "invalid_request",
    );
  });

  test("openid-client 6: an assertion of the build system for a token", async () => {
    const config = await openid.discovery(new URL(at.issuer), "batch", undefined, openid.None(), {
      [openid.customFetch]: fetchOver(at.estate.ca),
    });
    config[openid.customFetch] = fetchOver(at.estate.ca);
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("ES256"));
    // The library repeats a request for its nonce as it stands: the assertion was not used up by the first.
    const parameters = { assertion: ciAssertion(at.issuer), resource: at.resource("orders") };
    const tokens = await openid.genericGrantRequest(config, jwtBearerGrantType, parameters, { DPoP });
    assert.equal(claimsOf(tokens.access_token)["client_id"], "batch");
  });
});
