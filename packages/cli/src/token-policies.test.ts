// Policies about tokens as an operator and a client meet them: applied to a real control plane, asked at its identity listener, told by `why`.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import {
  assertion,
  dpopProof,
  form,
  send,
  type TestAnswer,
  testKey,
} from "@sallyport/control/identity/issuer.test-support.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { Bench, type Files } from "./control-bench.test-support.ts";
import { CommandEnd } from "./exit.ts";
import { type CrossingReport, crossingWords, readReport } from "./why/crossing-words.ts";

const bounded = { timeout: 120_000 };
const client = testKey();
const holder = testKey();
const jkt = holder.kid;
const estate: Files = {
  ...soundEstate(),
  "systems/orders.jwks.json": JSON.stringify({ keys: [{ ...client.jwk, kid: client.kid }] }),
};
const policies: Files = {
  "policies/tokens.cedar": `// who may have a token
@id("no-creating")
forbid (principal, action == Action::"token:issue", resource in System::"billing")
when { context.operations.contains("billing:invoice.create") };
`,
};
const reason = "a test";

forEachDialect((_dialect, open) => {
  let bench: Bench;
  beforeEach(async () => {
    bench = new Bench(open);
    await bench.start();
  });
  afterEach(() => bench.stop());

  const ask = async (scope?: string): Promise<TestAnswer> => {
    const issuer = bench.issuer();
    const once = (nonce?: string) => {
      const more = { resource: `${issuer}/systems/billing`, ...(scope === undefined ? {} : { scope }) };
      const body = form("orders", assertion("orders", issuer, client), more).toString();
      return send(`${issuer}/token`, bench.ca, {
        body,
        headers: { dpop: dpopProof(holder, `${issuer}/token`, nonce) },
      });
    };
    const first = await once();
    return first.body["error"] === "use_dpop_nonce" ? once(String(first.headers["dpop-nonce"])) : first;
  };

  test(
    "a policy holds from its apply on and until it is taken back; why tells a refusal with the policy's file and line",
    bounded,
    async () => {
      await bench.apply(estate);
      assert.equal((await ask()).status, 200);
      await bench.apply({ ...estate, ...policies });
      const refused = await ask();
      assert.deepEqual([refused.status, refused.body["error"]], [400, "unauthorized_client"]);
      assert.ok(!refused.text.includes("no-creating"), "the client does not learn which policy");
      assert.equal((await ask("billing:invoice.read")).status, 200);
      const id = String(refused.headers["sallyport-record"]);
      const report = await bench.call<CrossingReport>("GET", `/v1/crossings/${id}`);
      const words = crossingWords(readReport(report)).join("\n");
      for (const line of [
        /^code +policy-denied$/m,
        /^policies +no-creating$/m,
        /^declared +policies\/tokens\.cedar:2$/m,
        /^grantType +client_credentials$/m,
      ])
        assert.match(words, line);
      assert.match(words, /decision\.operations +\["billing:invoice\.create","billing:invoice\.read"\]/);
      const order = { environment: "production", client: "orders", to: "billing", jkt, reason };
      await assert.rejects(bench.call("POST", "/v1/tokens/issue", order), (end) => {
        assert.ok(end instanceof CommandEnd && /policy does not allow/.test(end.message), String(end));
        return true;
      });
      await bench.apply(estate);
      assert.equal((await ask()).status, 200);
      await bench.call("POST", "/v1/tokens/issue", order);
      assert.deepEqual(bench.faults, []);
    },
  );

  test(
    "attack: an estate whose policy names an operation that was renamed issues no token until the policy is right",
    bounded,
    async () => {
      await bench.apply({ ...estate, ...policies });
      const renamed: Record<string, string> = { ...estate, ...policies };
      for (const file of ["systems/billing.yaml", "systems/orders.yaml"])
        renamed[file] = (renamed[file] ?? "").replaceAll("invoice.create", "invoice.make");
      await bench.apply(renamed).catch((end: unknown) => assert.ok(end instanceof CommandEnd, String(end)));
      const answer = await ask("billing:invoice.make");
      assert.notEqual(answer.status, 200, "either the estate was not taken, or the policy breaks its slice");
      await bench.apply({
        ...renamed,
        "policies/tokens.cedar": (policies["policies/tokens.cedar"] ?? "").replace("create", "make"),
      });
      assert.equal((await ask("billing:invoice.make")).body["error"], "unauthorized_client");
      assert.equal((await ask("billing:invoice.read")).status, 200);
    },
  );
});
