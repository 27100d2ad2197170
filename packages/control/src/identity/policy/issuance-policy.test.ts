import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { openGeoFile } from "@sallyport/kernel/geo/geo-file.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import { generatedPermitId } from "@sallyport/kernel/policy/generated-permit.ts";
import { createRecipientOpener } from "@sallyport/kernel/seal/recipient.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { referenceContext } from "@sallyport/protocol/audit/reference.ts";
import { grantWords } from "@sallyport/protocol/token/grant-type.ts";
import { testRecipient } from "../estate.test-support.ts";
import { type TestAnswer, testKey } from "../issuer.test-support.ts";
import type { LoginResult } from "../oauth/interaction.ts";
import { ciAssertion, type EveryCommands, type EveryGrant, startEveryGrant } from "./every-grant.test-support.ts";
import { createIssuanceSignals } from "./issuance-signals.ts";

const file = "policies/tokens.cedar";
const forbid = (action: "issue" | "exchange", condition = "") =>
  `@id("no-tokens")\nforbid (principal, action == Action::"token:${action}", resource) ${condition};\n`;
const text = (answer: TestAnswer): string => `${answer.status} ${answer.body["error"] ?? ""}`.trim();
const claimsOf = ({ body }: TestAnswer): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(body["access_token"]).split(".")[1] ?? "", "base64url").toString());

forEachDialect((_dialect, open) => {
  describe("policies about tokens", () => {
    let on: EveryGrant;
    let store: Store<EveryCommands & typeof outboxCommands>;
    before(async () => {
      store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
      on = await startEveryGrant(store);
    });
    after(() => on.estate.close());

    /** Refused with this error; the one record says which policies and why, and the answer says neither. */
    const refused = async (
      asked: Promise<TestAnswer>,
      expected: { readonly error: string; readonly code?: string; readonly policies?: readonly string[] },
    ) => {
      on.records();
      const answer = await asked;
      const { error, code = "policy-denied", policies = ["no-tokens"] } = expected;
      assert.deepEqual(
        [answer.status, answer.body["error"], answer.body["error_description"], answer.body["access_token"]],
        [400, error, "policy does not allow this client such a token", undefined],
        answer.text,
      );
      const [leaf, ...more] = on.records();
      assert.deepEqual([leaf?.verdict, leaf?.code, leaf?.policies, more], ["deny", code, policies, []]);
      assert.equal(answer.headers["sallyport-record"], leaf?.id, "what the client's operator looks up");
      return leaf ?? assert.fail("one record");
    };
    const grantOf = async (subject: Partial<LoginResult["subject"]> = {}) => {
      on.take({});
      const answer = await on.code(subject);
      assert.equal(answer.status, 200, answer.text);
      return { access: String(answer.body["access_token"]), refresh: String(answer.body["refresh_token"]) };
    };
    const askAll = async (refresh: string, access: string): Promise<readonly TestAnswer[]> => [
      await on.clientCredentials(),
      await on.code(),
      await on.refresh(refresh),
      await on.device(),
      await on.jwtBearer(),
      await on.exchange(access),
    ];

    test("each grant has one record with its grant type, user, lineage, operations, permits and reason, whether given or refused", async () => {
      const before = await grantOf();
      on.records();
      const answers = await askAll(before.refresh, before.access);
      assert.deepEqual(
        answers.map(text),
        grantWords.map(() => "200"),
      );
      const given = on.records();
      assert.deepEqual(
        given.map(({ grantType, verdict }) => `${grantType} ${verdict}`),
        grantWords.map((word) => `${word} allow`),
      );
      const permits = [
        "portal-to-billing",
        "portal-to-orders",
        "portal-to-orders",
        "portal-to-orders",
        "batch-to-billing",
        "portal-to-billing",
      ];
      assert.deepEqual(
        given.map(({ policies }) => policies),
        permits.map((id) => [generatedPermitId(id)]),
      );
      const users = given.map(({ subject }) => subject);
      assert.deepEqual([users[0], users[4]], [null, null], "machines act for themselves");
      assert.match(String(users[1]), /^2026:[A-Za-z0-9_-]{22}$/);
      assert.deepEqual([users[2], users[3], users[5]], [users[1], users[1], users[1]], "one user, one pseudonym");
      for (const [index, answer] of answers.entries()) {
        const { gid = [], scope, jti } = claimsOf(answer) as { gid?: string[]; scope?: string; jti: string };
        assert.deepEqual(given[index]?.grants, gid);
        assert.deepEqual(given[index]?.operations, scope?.split(" ") ?? null);
        assert.ok(!JSON.stringify(given[index]).includes(jti), "of the token only a pseudonym");
      }
      const personal = JSON.stringify(given);
      for (const one of [/usr_/, /ses_/, /eyJ[\w-]+\.eyJ/]) assert.doesNotMatch(personal, one);
      assert.deepEqual(given[5]?.operations, ["billing:invoice.read", "billing:invoice.refund"]);

      const next = await grantOf();
      on.take({ [file]: forbid("issue") + forbid("exchange").replace("no-tokens", "no-exchange") });
      on.records();
      assert.deepEqual((await askAll(next.refresh, next.access)).map(text), [
        "400 unauthorized_client",
        "400 invalid_grant",
        "400 invalid_grant",
        "400 access_denied",
        "400 invalid_grant",
        "400 invalid_target",
      ]);
      const denied = on.records();
      assert.deepEqual(
        denied.map(({ grantType, verdict, code, policies }) => `${grantType} ${verdict} ${code} ${policies}`),
        grantWords.map(
          (word) => `${word} deny policy-denied ${word === "token-exchange" ? "no-exchange" : "no-tokens"}`,
        ),
      );
      assert.deepEqual(
        denied.map(({ subject }) => subject),
        users,
        "a refusal names the user as a token would",
      );
      assert.ok(denied.every(({ audience, token }) => audience !== null && token === null));
    });

    test("trusting an issuer outside leaves pushed and authorization requests as they are: a user still gets to the page", async () => {
      on.take({});
      assert.equal(text(await on.jwtBearer()), "200", "the grant without client authentication is served");
      assert.equal(text(await on.code()), "200");
    });

    test("every change behind a token has one record of its own beside the token's: allowed, redeemed, refreshed, ended, revoked, a new key", async () => {
      on.take({});
      const acts = async (): Promise<readonly string[]> => {
        const claim = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 10_000 });
        assert.ok(claim.kind !== "held");
        await store.run("markDrained", { node: "test", ids: claim.rows.map(({ id }) => id) });
        return claim.rows.map(({ action }) => action);
      };
      await acts();
      const code = await on.code();
      assert.deepEqual(await acts(), ["grant.allow", "grant.redeem"]);
      const first = String(code.body["refresh_token"]);
      const next = await on.refresh(first);
      assert.deepEqual(await acts(), ["grant.refresh"]);
      await on.device();
      assert.deepEqual(await acts(), ["device.ask", "grant.allow", "grant.redeem"]);
      await on.refresh(String(next.body["refresh_token"]));
      assert.deepEqual(await acts(), ["grant.refresh"]);
      on.records();
      assert.equal(text(await on.refresh(first, testKey())), "400 invalid_grant", "used twice");
      assert.deepEqual(
        on.records().map(({ code: word }) => word),
        ["refresh-reused"],
      );
      assert.deepEqual(await acts(), ["grant.end", "grant.refresh"], "the end, and the use that caused it");
      await on.clientCredentials();
      await on.exchange(String(code.body["access_token"]));
      assert.deepEqual(await acts(), [], "a token alone changes nothing in the store");
      const order = {
        tenant: "main",
        environment: "production",
        kind: "client",
        value: "portal",
        notBefore: 0,
      } as const;
      await store.run("revoke", { ...order, until: Date.now() + 60_000, actor: "operator:ana" });
      assert.deepEqual(await acts(), ["revocation.create"]);
      await on.estate.production.ring.rotate("operator:ana");
      assert.deepEqual(await acts(), ["key.rotate"]);
    });

    test("what operators read of a refusal is sealed to control and named by the leaf: the policy with file and line, and what it was asked", async () => {
      const { refresh } = await grantOf();
      on.take({ [file]: `// tokens\n\n${forbid("issue", 'when { context.grantType == "refresh_token" }')}` });
      const leaf = await refused(on.refresh(refresh), { error: "invalid_grant" });
      const sealed = on.estate.production.reference ?? assert.fail("something was sealed");
      assert.equal(leaf.inputs, hash("sha256", sealed, "hex"));
      const opened = createRecipientOpener(testRecipient.privateKey).open(referenceContext(leaf), sealed);
      const said = JSON.parse(Buffer.from(opened).toString());
      assert.deepEqual(said.facts, { why: "forbidden by no-tokens", policies: "no-tokens", declaredAt: `${file}:3` });
      assert.deepEqual(
        [said.id, said.code, said.stage, said.decision.provider],
        [leaf.id, "policy-denied", "token", "orders"],
      );
      assert.deepEqual(
        [said.decision.grantType, said.decision.client, said.decision.address],
        ["refresh_token", "portal", "127.0.0.1"],
      );
      on.take({ [file]: forbid("issue", "when { context has subjct }") });
      await refused(on.clientCredentials(), { error: "unauthorized_client", code: "policy-error", policies: [] });
      const failed = on.estate.production.reference ?? assert.fail("something was sealed");
      assert.ok(!Buffer.from(failed).includes("subjct"), "sealed");
    });

    test("country, risk and the age of the log-in are known where a policy reads them, and told to operators alone", async (t) => {
      const { refresh } = await grantOf({ acr: "urn:sallyport:acr:password" });
      const geo = openGeoFile(geoFileBytes([{ network: "127.0.0.0/8", record: { country: { iso_code: "DE" } } }]));
      const { signals } = on.estate.production;
      on.estate.production.signals = createIssuanceSignals({ geo, clock: { now: () => Date.now() } });
      t.after(() => {
        on.estate.production.signals = signals;
      });
      on.take({ [file]: forbid("issue", 'unless { context has country && context.country == "DE" }') });
      assert.equal(text(await on.clientCredentials()), "200");
      on.take({ [file]: forbid("issue", 'unless { context has country && context.country == "AT" }') });
      const leaf = await refused(on.clientCredentials(), { error: "unauthorized_client" });
      const said = JSON.parse(
        Buffer.from(
          createRecipientOpener(testRecipient.privateKey).open(
            referenceContext(leaf),
            on.estate.production.reference ?? assert.fail("something was sealed"),
          ),
        ).toString(),
      );
      assert.deepEqual([said.decision.country, said.decision.risk], ["DE", undefined]);
      assert.ok(!JSON.stringify(leaf).includes('"DE"'), "nothing of it is in clear");
      on.take({ [file]: forbid("issue", "when { context has risk && context.risk >= 20 }") });
      assert.equal(text(await on.clientCredentials()), "200", "a machine has no risk");
      await refused(on.refresh(refresh), { error: "invalid_grant" });
      on.take({ [file]: forbid("issue", "when { context has authAge && context.authAge > 86400 }") });
      assert.equal(text(await on.refresh(refresh)), "200");
    });

    test("a refusal uses nothing up: code, refresh token and assertion are good once the policy is gone", async () => {
      const { refresh } = await grantOf({ acr: "urn:sallyport:acr:password" });
      const assertion = ciAssertion(on.portal.issuer);
      on.take({ [file]: forbid("issue") });
      assert.equal(text(await on.refresh(refresh)), "400 invalid_grant");
      assert.equal(text(await on.jwtBearer(assertion)), "400 invalid_grant");
      on.take({});
      assert.equal(text(await on.refresh(refresh)), "200");
      assert.equal(text(await on.jwtBearer(assertion)), "200");
    });

    test("attack: a refresh token from before a forbid was written does not get past it, nor does a token exchanged for another", async () => {
      const { refresh, access } = await grantOf();
      on.take({ [file]: forbid("issue", 'when { context.grantType == "refresh_token" }') });
      await refused(on.refresh(refresh), { error: "invalid_grant" });
      assert.equal(text(await on.clientCredentials()), "200");
      on.take({ [file]: forbid("exchange", 'when { context.actors.contains("portal") && context.depth == 1 }') });
      await refused(on.exchange(access), { error: "invalid_target" });
      // The same answer that a concurrent refresh got is asked about again too.
      on.take({});
      assert.equal(text(await on.refresh(refresh)), "200");
      on.take({ [file]: forbid("issue") });
      await refused(on.refresh(refresh), { error: "invalid_grant" });
    });

    test("attack: a policy that fails lets nothing through, and says no more than one that denies", async () => {
      on.take({ [file]: forbid("issue", "when { context.lifetimeSeconds * 9223372036854775807 > 3 }") });
      await refused(on.clientCredentials(), { error: "unauthorized_client", code: "policy-error" });
      on.take({ [file]: "forbid (principal" });
      await refused(on.clientCredentials(), { error: "unauthorized_client", code: "policy-error", policies: [] });
      on.take({ [file]: forbid("issue", "when { context has subjct }") });
      await refused(on.clientCredentials(), { error: "unauthorized_client", code: "policy-error", policies: [] });
    });

    test("attack: leaving the scope out does not hide an operation from a forbid", async () => {
      on.take({ [file]: forbid("issue", 'when { context.operations.contains("billing:invoice.refund") }') });
      await refused(on.clientCredentials(), { error: "unauthorized_client" });
      await refused(on.clientCredentials({ scope: "billing:invoice.refund" }), { error: "unauthorized_client" });
      assert.equal(text(await on.clientCredentials({ scope: "billing:invoice.read" })), "200");
    });

    test("attack: renaming an operation does not slip it past a forbid that names it", async () => {
      const policy = { [file]: forbid("issue", 'when { context.operations.contains("billing:invoice.refund") }') };
      on.take(policy, {
        "systems/billing.yaml":
          "system: billing\nurl: https://billing.example\noperations:\n  invoice.read: GET /invoices/{id}\n  invoice.repay: POST /refunds\n",
        "integrations/portal-to-billing.yaml":
          "integration: portal-to-billing\nfrom: portal\nto: billing\npurpose: Show a customer their invoices\noperations: [invoice.read, invoice.repay]\n",
      });
      await refused(on.clientCredentials({ scope: "billing:invoice.repay" }), {
        error: "unauthorized_client",
        code: "policy-error",
        policies: [],
      });
    });

    test("attack: a client does not choose what policies read: parameters named like the context change nothing", async () => {
      const condition =
        'unless { context.binding == "none" || context.clientAuthentication == "none" || context.lifetimeSeconds < 10 || context has acr || context has subject || context.environment == "staging" }';
      on.take({ [file]: forbid("issue", condition) });
      const lies = {
        binding: "none",
        client_authentication: "none",
        lifetimeSeconds: "5",
        lifetime: "5",
        acr: "urn:sallyport:acr:mfa",
        acr_values: "urn:sallyport:acr:mfa",
        subject: "usr_1",
        environment: "staging",
        context: '{"binding":"none"}',
      };
      await refused(on.clientCredentials(lies), { error: "unauthorized_client" });
    });

    test("attack: impersonation and the user's authentication are what was decided, not what was asked for", async () => {
      const { access } = await grantOf();
      const impersonating = {
        "integrations/portal-to-billing.yaml": `integration: portal-to-billing
from: portal
to: billing
purpose: Show a customer their invoices
operations: [invoice.read, invoice.refund]
exchange:
  - { subject: own, as: impersonate }
`,
      };
      on.take({ [file]: forbid("exchange", 'when { context.as == "impersonate" }') }, impersonating);
      await refused(on.exchange(access, { as: "delegate" }), { error: "invalid_target" });
      on.take({ [file]: forbid("exchange", 'unless { context has amr && context.amr.contains("hwk") }') });
      await refused(on.exchange(access, { amr: "hwk" }), { error: "invalid_target" });
      on.take({ [file]: forbid("exchange", 'unless { context has amr && context.amr.contains("otp") }') });
      assert.equal(text(await on.exchange(access)), "200");
    });

    test("policies read the address of the connection, the calling system's and the provider's attributes, and the client's way to authenticate", async () => {
      const holds = [
        'context has address && context.address.isInRange(ip("127.0.0.0/8"))',
        'principal has region && principal.region == "eu" && resource has tier && resource.tier == "gold"',
        'context.client == "portal" && context.clientAuthentication == "private_key_jwt" && context.binding == "dpop"',
        'context.environment == "production" && context.integrations.contains("portal-to-billing")',
        "context.lifetimeSeconds == 300",
      ];
      for (const condition of holds) {
        on.take({ [file]: forbid("issue", `when { ${condition} }`) });
        await refused(on.clientCredentials(), { error: "unauthorized_client" });
        on.take({ [file]: forbid("issue", `unless { ${condition} }`) });
        assert.equal(text(await on.clientCredentials()), "200", condition);
      }
      on.take({
        [file]: forbid(
          "issue",
          'when { context.clientAuthentication == "assertion" && context has subjectIssuer && context.subjectIssuer == "ci" }',
        ),
      });
      await refused(on.jwtBearer(), { error: "invalid_grant" });
    });

    test("a browser that was not seen before can be kept from getting tokens, at the code and at each refresh; no token says which it was", async () => {
      const known = await grantOf({ device: "known" });
      const fresh = await grantOf({ device: "new" });
      on.records();
      on.take({ [file]: forbid("issue", 'when { context has device && context.device == "new" }') });
      await refused(on.refresh(fresh.refresh), { error: "invalid_grant" });
      assert.equal(text(await on.refresh(known.refresh)), "200");
      assert.equal(text(await on.clientCredentials()), "200");
      for (const { access } of [known, fresh])
        assert.ok(!Buffer.from(access.split(".")[1] ?? "", "base64url").includes("device"));
    });

    test("a policy about operations alone, or about another provider, says nothing about a token", async () => {
      on.take({ [file]: '@id("freeze")\nforbid (principal, action, resource);\n' });
      assert.equal(text(await on.clientCredentials()), "200");
      on.take({ [file]: forbid("issue").replace(", resource)", ', resource in System::"orders")') });
      assert.equal(text(await on.clientCredentials()), "200");
      await refused(on.clientCredentials({ resource: on.portal.resource("orders") }), { error: "unauthorized_client" });
    });

    test("where no policy is about tokens the grants alone give the answer that Cedar gives", async () => {
      const { refresh, access } = await grantOf();
      on.records();
      await askAll(refresh, access);
      const alone = on.records();
      const next = await grantOf();
      on.take({
        [file]:
          forbid("issue", 'when { context.client == "nobody" }') +
          forbid("exchange", 'when { context.client == "nobody" }').replace("no-tokens", "none"),
      });
      on.records();
      await askAll(next.refresh, next.access);
      const asked = on.records();
      const shape = (leaves: typeof asked) =>
        leaves.map(({ grantType, verdict, policies }) => ({ grantType, verdict, policies }));
      assert.deepEqual(shape(asked), shape(alone));
    });
  });
});
