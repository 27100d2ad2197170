// What a record keeps sealed is what this very crossing was decided by, as control reads it, also where the caller, the token and the connection are the ones of before.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { after, before, test } from "node:test";
import { createRecipientKeyPair, createRecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import { batchContext, findInReference } from "@sallyport/protocol/audit/reference.ts";
import { type CountingUpstream, startCountingUpstream } from "../testing/counting-upstream.ts";
import { openTestLog } from "../testing/open-test-log.ts";
import { startTestGateway, type TestGateway } from "../testing/start-test-gateway.ts";
import { TestCaller } from "../testing/test-caller.ts";
import { environment, tenant } from "../testing/test-estate.ts";

const opener = createRecipientOpener(createRecipientKeyPair({ bytes: randomBytes }).privateKey);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
let upstream: CountingUpstream;
let bed: TestGateway;
let portal: TestCaller;

before(async () => {
  upstream = await startCountingUpstream();
  const cedar =
    '@id("fresh") forbid(principal, action == Action::"billing:read", resource) unless { context has authAge && context.authAge <= 300 };';
  bed = await startTestGateway({
    openLog: openTestLog,
    changes: {
      logKeys: {
        epoch: "2026",
        pseudonymKey: new Uint8Array(randomBytes(32)),
        referenceRecipient: opener.publicKey,
        referenceKeyId: "test",
        dataKey: new Uint8Array(randomBytes(32)),
      },
    },
    estate: {
      systems: [
        { id: "portal", clients: ["portal"] },
        {
          id: "billing",
          url: upstream.url,
          operations: [
            { name: "read", method: "GET", path: "/v1/read", cedar },
            { name: "list", method: "GET", path: "/v1/list" },
            { name: "rare", method: "GET", path: "/v1/rare", changes: { declaredAt: "systems/billing.yaml:11" } },
            {
              ...{ name: "write", method: "POST", path: "/v1/write" },
              body: { content: "json", contentType: "application/json" },
              changes: { declaredAt: "systems/billing.yaml:14", bodyBytesMax: 64 },
            },
          ],
        },
      ],
      integrations: [
        {
          ...{ id: "portal-to-billing", from: "portal", to: "billing" },
          operations: [{ name: "read" }, { name: "list" }, { name: "rare" }, { name: "write", bodyBytesMax: 32 }],
          limits: [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 1, operations: ["rare"] }],
        },
      ],
    },
  });
  portal = new TestCaller(bed.feed, "portal", () => bed.clock.now());
});
after(async () => {
  agent.destroy();
  await bed?.close();
  await upstream?.close();
});

/** The sealed inputs of a crossing, as control reads them. */
async function inputsOf(id: string) {
  const [record] = await bed.log.find(id);
  assert.ok(record !== undefined && record.reference !== null);
  const opened = opener.open(batchContext({ tenant, environment, node: "gw-test" }), record.reference);
  const inputs = findInReference(Buffer.from(opened).toString("utf8"), id) as {
    readonly principal: { readonly tokenId: string };
    readonly facts?: Readonly<Record<string, string>>;
    readonly decision: { readonly context: { readonly authAge?: number } };
  } | null;
  return inputs ?? assert.fail("the reference does not hold this crossing");
}

test("the age of a log-in is recorded as it was at each crossing, and not as it was when its token first came", async () => {
  const user = { sub: "usr_anna", sid: "ses_1", auth_time: Math.floor(bed.clock.now() / 1_000) - 30 };
  const token = portal.token("billing", { ...user, acr: "urn:sallyport:acr:mfa", amr: ["pwd", "otp"] });
  const ages: (number | undefined)[] = [];
  for (let n = 0; n < 3; n++) {
    const answer = await portal.send(`${bed.addresses[0]?.url}/billing/v1/read`, { token, agent });
    assert.equal(answer.status, 200);
    ages.push((await inputsOf(answer.id)).decision.context.authAge);
    bed.clock.shiftMs += 10_000;
  }
  const [first = 0] = ages;
  assert.ok(ages[1] !== undefined && ages[2] !== undefined);
  assert.ok(ages[1] >= first + 10 && ages[2] >= ages[1] + 10, ages.join(", "));
});

test("each crossing of tokens that come one after the other names its own, in the leaf and in what is sealed", async () => {
  const jtis = ["first-of-these-tokens", "second-of-these-tokens", "third-of-these-tokens", "first-of-these-tokens"];
  const pseudonyms: (string | undefined)[] = [];
  for (const jti of jtis) {
    const token = portal.token("billing", { jti });
    const answer = await portal.send(`${bed.addresses[0]?.url}/billing/v1/list`, { token, agent });
    assert.equal(answer.status, 200);
    assert.equal((await inputsOf(answer.id)).principal.tokenId, jti);
    const [leaf] = await bed.leaves(answer.id);
    assert.ok(leaf?.t === "crossing");
    pseudonyms.push(leaf.token);
  }
  assert.equal(pseudonyms[3], pseudonyms[0]);
  assert.equal(new Set(pseudonyms).size, 3);
});

test("a denial by a limit names file and line of its integration, one by content those of its operation, or of the integration where that decides", async () => {
  const refusedBy = async (code: string, path: string, body?: string, type = "application/json") => {
    const answer = await portal.send(`${bed.addresses[0]?.url}${path}`, {
      ...(body === undefined ? {} : { method: "POST", body, headers: { "content-type": type } }),
      agent,
    });
    assert.equal(answer.code, code, answer.text);
    return (await inputsOf(answer.id)).facts?.["declaredAt"];
  };
  assert.equal((await portal.send(`${bed.addresses[0]?.url}/billing/v1/rare`, { agent })).status, 200);
  assert.equal(await refusedBy("rate-limited", "/billing/v1/rare"), "systems/portal.yaml:4");
  assert.equal(await refusedBy("content-type", "/billing/v1/write", "a=1", "text/plain"), "systems/billing.yaml:14");
  assert.equal(await refusedBy("body-malformed", "/billing/v1/write", "{"), "systems/billing.yaml:14");
  const large = JSON.stringify("x".repeat(48));
  assert.equal(await refusedBy("body-too-large", "/billing/v1/write", large), "systems/portal.yaml:4");
});
