import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { startEstate, type TestEstate } from "./estate.test-support.ts";
import { assertion, form, send } from "./issuer.test-support.ts";
import { type ClientEndpoint, type GrantRequest, refuseGrant } from "./seams.ts";

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  const asked: GrantRequest[] = [];
  const echo = (): ClientEndpoint => ({
    path: "/echo",
    parameters: ["word"],
    handle: async (request) => {
      asked.push(request);
      if (request.parameters["word"] === "no") return refuseGrant("access_denied", "echo-no", "not this word");
      return { kind: "answer", status: 200, body: { word: request.parameters["word"] ?? null } };
    },
  });
  before(async () => {
    const store = await open({ commands: new URL("./commands.test-support.ts", import.meta.url) });
    estate = await startEstate(store, () => ({
      endpoints: [echo],
      routes: [
        {
          method: "GET",
          path: "/page/",
          query: true,
          serve: async (req, res, below) => void res.end(`${below} ${req.url?.split("?")[1] ?? ""}`),
        },
      ],
    }));
  });
  after(() => estate.close());

  const echoForm = (over: Record<string, string> = {}, client = "orders") => {
    const { issuer } = estate.production;
    const body = form(client, assertion(client, issuer, estate.orders), over);
    body.delete("grant_type");
    return body.toString();
  };
  const post = (path: string, body: string) => send(`${estate.production.issuer}${path}`, estate.ca, { body });
  const lastCode = () => {
    const leaf = estate.production.leaves.at(-1);
    return leaf?.t === "issuance" ? leaf.code : null;
  };

  test("an endpoint beside the token endpoint is for clients that have proven who they are", async () => {
    const answer = await post("/echo", echoForm({ word: "hello", further: "ignored" }));
    assert.deepEqual([answer.status, answer.body], [200, { word: "hello" }]);
    const request = asked.at(-1);
    assert.equal(request?.clientId, "orders");
    assert.deepEqual(request?.parameters, { word: "hello" });
    assert.equal(request?.url, `${estate.production.issuer}/echo`);
    const stranger = await post("/echo", "word=hello");
    assert.equal(stranger.status, 400);
    const liar = await post("/echo", echoForm({ word: "hello" }, "analytics"));
    assert.equal(liar.status, 401);
    assert.equal(asked.length, 1);
  });

  test("an assertion used at one endpoint is used up for all of them", async () => {
    const body = echoForm({ word: "once" });
    assert.equal((await post("/echo", body)).status, 200);
    assert.equal((await post("/echo", body)).status, 401);
    assert.equal((await post("/token", `${body}&grant_type=client_credentials`)).status, 401);
  });

  test("a refusal of an endpoint is recorded with its code and answered with its text", async () => {
    const answer = await post("/echo", echoForm({ word: "no" }));
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, { error: "access_denied", error_description: "not this word" });
    assert.equal(lastCode(), "echo-no");
  });

  test("the name under which an endpoint shares the token endpoint's authentication opens it to nobody", async () => {
    const before = asked.length;
    const named = await post("/token", `${echoForm({ word: "hello" })}&grant_type=urn:sallyport:endpoint:echo`);
    assert.equal(named.body["error"], "unsupported_grant_type");
    const smuggled = await post("/echo", `${echoForm({ word: "hello" })}&grant_type=client_credentials`);
    assert.equal(smuggled.body["error"], "invalid_request");
    const json = await send(`${estate.production.issuer}/echo`, estate.ca, {
      body: "{}",
      headers: { "content-type": "application/json" },
    });
    assert.equal(json.status, 400);
    assert.equal(asked.length, before);
  });

  test("a route takes one more segment of harmless characters, and a query only where it says so", async () => {
    const { issuer } = estate.production;
    assert.equal((await send(`${issuer}/page/abc?x=1`, estate.ca)).text, "abc x=1");
    for (const path of ["/page/", "/page", "/page/a/b", "/page/a%2e", "/page/..", "/jwks?x=1", "/token?x=1"])
      assert.equal((await send(`${issuer}${path}`, estate.ca)).status, 404, path);
    const wrong = await post("/page/abc", "");
    assert.deepEqual([wrong.status, wrong.headers["allow"]], [405, "GET"]);
  });

  test("a grant type that is served but not this client's is unauthorized_client, recorded as such", async () => {
    const former = estate.production.directory;
    const orders = former.clients.get("orders");
    assert.ok(orders !== undefined);
    const clients = new Map([...former.clients, ["orders", { ...orders, grantTypes: [] }]]);
    estate.production.directory = { ...former, version: `${former.version}-none`, clients };
    const answer = await estate.token({ proof: null });
    estate.production.directory = former;
    assert.equal(answer.body["error"], "unauthorized_client");
    assert.equal(lastCode(), "grant-type-not-allowed");
  });
});
