// A provider that is called with an access token of its own, at a real control plane and a real gateway: it verifies the token and its proof with the SDK, as a service
// without a gateway in front would, and the hop token beside it (docs/identity/next-hop.md).
import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { Deny } from "@sallyport/protocol/verdict.ts";
import { createDirectVerifier, type VerifiedDirect } from "@sallyport/sdk/verify-direct.ts";
import { createRequestVerifier, type VerifiedRequest } from "@sallyport/sdk/verify-request.ts";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly direct: VerifiedDirect | Deny;
  readonly hop: VerifiedRequest | Deny;
}

let installation: Installation;
let provider: Awaited<ReturnType<typeof startProvider>>;
let issuer: string;
const timeout = 120_000;

/** A service that believes nobody without both. */
async function startProvider() {
  const seen: Seen[] = [];
  let verify: ((headers: IncomingHttpHeaders, method: string, url: string) => Promise<Seen>) | null = null;
  let nonce = () => "";
  const server = createServer(async (request, response) => {
    const one = await (verify ?? assert.fail("nobody verifies yet"))(
      request.headers,
      request.method ?? "",
      request.url ?? "",
    );
    seen.push(one);
    const { direct, hop } = one;
    const isKnown = direct.kind === "verified" && hop.kind === "verified";
    const error = direct.kind === "deny" && direct.code === "dpop-nonce" ? "use_dpop_nonce" : "invalid_token";
    response.writeHead(isKnown ? 200 : 401, {
      "content-type": "application/json",
      "dpop-nonce": nonce(),
      ...(isKnown ? {} : { "www-authenticate": `DPoP error="${error}"` }),
    });
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    seen,
    last: () => seen.at(-1) ?? assert.fail("nothing came"),
    trust(of: string) {
      const options = { issuer: of, audience: `${of}/systems/billing` };
      const direct = createDirectVerifier({ ...options, url });
      const hop = createRequestVerifier(options);
      nonce = direct.nonce;
      verify = async (headers, method, path) => ({
        headers,
        direct: await direct({ headers, method, url: path }),
        hop: await hop(headers),
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const billing = (more: string) =>
  `system: billing\nurl: ${provider.url}\nallowPrivate: true\n${more}operations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n`;

before(async () => {
  installation = await Installation.open();
  provider = await startProvider();
  installation.writeEstate({ "systems/billing.yaml": billing("nextHop: own\n") });
  await installation.startControl();
  installation.trustRoots();
  issuer = `https://127.0.0.1:${installation.ports.identity}/main/production`;
  provider.trust(issuer);
  await installation.startGateway();
});
after(async () => {
  await installation?.close();
  await provider?.close();
});

async function apply(): Promise<void> {
  const applied = await runBinary(["apply", installation.estate, "--operator", installation.operatorKey]);
  assert.equal(applied.exit, 0, applied.err + applied.out);
}

const invoice = "/billing/v1/invoices/in-1";
const gatewayClient = "gateway:production-default";

function claims(): AccessTokenClaims {
  const { direct } = provider.last();
  assert.ok(direct.kind === "verified", JSON.stringify(direct));
  return direct.claims;
}

test("the provider verifies a token for itself, bound to the gateway, with the gateway as actor and the one operation as scope", {
  timeout,
}, async () => {
  const { fetch, token } = installation.caller();
  const answer = await fetch(invoice);
  assert.equal(answer.status, 200, await answer.clone().text());
  const said = claims();
  const theirs = await token();
  const mine = JSON.parse(Buffer.from(theirs.split(".")[1] ?? "", "base64url").toString()) as AccessTokenClaims;
  assert.deepEqual(
    [said.sub, said.client_id, said.scope, said.act],
    ["orders", gatewayClient, "billing:invoice.read", { sub: gatewayClient }],
  );
  assert.ok(said.exp <= mine.exp, "it ends no later");
  assert.deepEqual(said.gid, ["cli_orders", `xch_${mine.jti}`]);
  assert.notEqual(said.cnf?.jkt, mine.cnf?.jkt);
  const { hop, headers } = provider.last();
  assert.ok(hop.kind === "verified");
  assert.equal(hop.principal.caller, "orders");
  assert.ok(!JSON.stringify(headers).includes(theirs), "the caller's token never gets here");
  const reached = provider.seen.length;
  for (let n = 0; n < 3; n += 1) assert.equal((await fetch(invoice)).status, 200);
  assert.equal(provider.seen.length, reached + 3);
  assert.equal(claims().jti, said.jti, "reads of one caller share the token");
});

test("attack: neither at the gateway's own door nor at the token endpoint is the next hop's token worth anything to a provider that keeps it", {
  timeout,
}, async () => {
  const { fetch: call } = installation.caller();
  assert.equal((await call(invoice)).status, 200);
  const kept = /^DPoP (.+)$/.exec(provider.last().headers.authorization ?? "")?.[1] ?? assert.fail();
  const door = `https://127.0.0.1:${installation.ports.gateway}`;
  for (const scheme of ["Bearer", "DPoP"]) {
    const answer = await fetch(`${door}${invoice}`, {
      headers: { authorization: `${scheme} ${kept}`, dpop: String(provider.last().headers["dpop"]) },
    });
    assert.equal(answer.status, 401);
  }
  const state = await installation.operator().call<{ state: string }>("POST", "/v1/tokens/inspect", { token: kept });
  assert.equal(state.state, "active", "control knows it and says so to who introspects it");
});

test("it is on record as issued, with its operation and grants, by the gateway for the caller", {
  timeout,
}, async () => {
  const { fetch } = installation.caller();
  assert.equal((await fetch(invoice)).status, 200);
  const leaf = await installation.issuanceOf(claims().gid?.[1] ?? "");
  assert.deepEqual(
    [leaf["t"], leaf["verdict"], leaf["grantType"], leaf["proof"], leaf["operations"]],
    ["issuance", "allow", "token-exchange", "dpop", ["billing:invoice.read"]],
  );
  assert.equal(leaf["audience"], `${issuer}/systems/billing`);
});

test("a revocation of the caller's token ends what was made from it, and a suspended integration makes no more", {
  timeout,
}, async () => {
  const caller = installation.caller();
  assert.equal((await caller.fetch(invoice)).status, 200);
  const { jti } = claims();
  const text = await caller.token();
  const body = JSON.parse(Buffer.from(text.split(".")[1] ?? "", "base64url").toString()) as AccessTokenClaims;
  const kept = /^DPoP (.+)$/.exec(provider.last().headers.authorization ?? "")?.[1] ?? assert.fail();
  const operator = installation.operator();
  const revocation = { environment: "production", kind: "grant", value: `xch_${body.jti}`, reason: "a test" };
  await operator.call("POST", "/v1/revocations", revocation);
  const { state } = await operator.call<{ state: string }>("POST", "/v1/tokens/inspect", { token: kept });
  assert.equal(state, "revoked");
  await operator.call("POST", "/v1/revocations", { ...revocation, kind: "jti", value: body.jti });
  await until("another token", async () => {
    const answer = await caller.fetch(invoice);
    return answer.status === 200 && claims().jti !== jti;
  });
});

test("attack: policies about `token:exchange` hold here too: a forbid is a 403 with the fix, and nothing reaches the provider", {
  timeout,
}, async () => {
  const policy =
    '@id("no-next-hops")\nforbid(principal, action == Action::"token:exchange", resource in System::"billing");\n';
  installation.writeEstate({ "systems/billing.yaml": billing("nextHop: own\n"), "policies/tokens.cedar": policy });
  await apply();
  const caller = installation.caller();
  let last: Response | undefined;
  await until("a refusal", async () => {
    last = await caller.fetch(invoice);
    return last.status === 403;
  });
  const reached = provider.seen.length;
  const refused = await caller.fetch(invoice);
  const problem = (await refused.json()) as { code: string; detail: string };
  assert.deepEqual([refused.status, problem.code], [403, "next-hop-refused"]);
  assert.match(problem.detail, /policy-denied/);
  assert.equal(provider.seen.length, reached);
});
