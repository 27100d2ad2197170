// Every act an operator can do, done for real, is in control's log under the word of its route, as that operator; so is every act that was refused,
// and what leaves for a gateway.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { adminRoutes } from "@sallyport/control/api.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import type { RuleReport } from "@sallyport/control/watch/finding-actions.ts";
import { joinOnce } from "@sallyport/gateway/join/join.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { Bench, integration } from "./control-bench.test-support.ts";
import { until } from "./installation.test-support.ts";
import { openChannelTransport } from "./roles/channel-transport.ts";
import { systemClock } from "./roles/system-ports.ts";

const bounded = { timeout: 120_000 };
const reason = "ticket 4711";
const environment = "production";
/** A fixed day would be over one day. */
const inAMonth = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
const estate = {
  ...soundEstate(),
  "sallyport.yaml": `estate: default
environments:
  production:
    people:
      signIn: [password, corp]
      providers:
        corp: { issuer: "https://login.corp.example", client: us, name: Corp }
`,
  "systems/vendor.yaml": "system: vendor\nidentity: { apiKeys: {} }\n",
  "integrations/vendor-to-billing.yaml": `integration: vendor-to-billing
from: vendor
to: billing
purpose: An appliance reads invoices
proof: { accept: [api-key], reason: The appliance sends one fixed header, until: 2099-03-01 }
operations: [invoice.read]
`,
  "systems/shop.yaml": `system: shop
identity:
  client: shop
  secrets: { reason: It can sign nothing, until: ${inAMonth} }
uses:
  - to: billing
    purpose: Show invoices
    operations: [invoice.read]
`,
};
/** Only people can make what these end; people/store.test.ts and people/consents.test.ts hold their records. */
const ofPeople = ["session.end", "user.consent-withdraw"];
/** findings.test.ts does these, of a finding that an attack made. */
const ofFindings = ["finding.acknowledge", "finding.resolve"];

forEachDialect((_dialect, open) => {
  let bench: Bench;
  const driven: string[] = [];
  before(async () => {
    bench = new Bench(open);
    await bench.start();
  });
  after(() => bench.stop());

  const publicJwk = () => generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
  const recorded = (action: string, object?: string) =>
    bench.leaves().filter((leaf) => leaf.action === action && (object === undefined || leaf.object === object));

  const done = <T>(action: string, act: () => Promise<T>): Promise<T> => {
    driven.push(action);
    return act();
  };
  const did = <T>(action: string, path: string, body: object): Promise<T> =>
    done(action, () => bench.call<T>("POST", path, { reason, ...body }));

  async function actOnClients(): Promise<void> {
    const { id } = await did<{ id: string }>("client.secret.add", "/v1/clients/shop/secrets", {});
    const lifetimeMs = 3_600_000;
    const made = await did<{ id: string }>("api-key.add", "/v1/systems/vendor/api-keys", {
      ...{ integrations: ["vendor-to-billing"], lifetimeMs },
    });
    await did("api-key.end", `/v1/api-keys/${made.id}/end`, {});
    await did("client.secret.end", "/v1/clients/shop/secrets/end", { secret: id });
    await did("client.key.code", "/v1/clients/orders/enrolment-codes", {});
    const key = await did<{ kid: string }>("client.key.add", "/v1/clients/orders/keys", { jwk: publicJwk() });
    await did("client.key.end", "/v1/clients/orders/keys/end", { kid: key.kid });
    await did("token.issue", "/v1/tokens/issue", { client: "orders", to: "billing", jkt: "k".repeat(43) });
    await did("revocation.create", "/v1/revocations", {
      kind: "jti",
      value: Buffer.alloc(16, 1).toString("base64url"),
    });
  }

  async function actOnPeople(): Promise<void> {
    const { id } = await done("user.add", () =>
      bench.call<{ id: string }>("POST", "/v1/users", { environment, name: "anna" }),
    );
    await did("user.link", `/v1/users/${id}/link`, { provider: "corp", subject: "s1" });
    await did("user.disable", `/v1/users/${id}/disable`, {});
    await did("user.enable", `/v1/users/${id}/enable`, {});
    await did("user.reset", `/v1/users/${id}/reset`, {});
  }

  test(
    "every route that changes something leaves a record under its own word, also where it found nothing to change",
    bounded,
    async () => {
      await done("estate.apply", () => bench.apply(estate));
      await done("estate.apply", () => bench.apply(estate));
      await done("key.rotate", () => bench.call("POST", "/v1/keys/rotate", { environment }));
      await did("data-encryption-key.rotate", "/v1/data-encryption-keys/rotate", {});
      const [kid] = await bench.kids();
      await did("key.kill", `/v1/keys/${kid}/kill`, {});
      await actOnClients();
      await actOnPeople();
      await did("integration.suspend", `/v1/integrations/${integration}/suspend`, {});
      await did("integration.suspend", `/v1/integrations/${integration}/suspend`, {});
      await did("integration.activate", `/v1/integrations/${integration}/activate`, {});
      await did("integration.retire", `/v1/integrations/${integration}/retire`, {});
      await did("hold.place", "/v1/holds", { id: "case-1", owner: "legal", fromYear: 2026 });
      await did("hold.release", "/v1/holds/case-1/release", {});
      await did("payload.erase", "/v1/erasures", { subject: "customer-4711" });
      await did("payload.unlock", "/v1/payload-keys/unlock", {});
      await tried();
      await did("rule.hold", "/v1/rules/replay/hold", {});
      await did("rule.tell", "/v1/rules/replay/tell", {});
      await did("restore.confirm", "/v1/restore/confirm", {});
      const { token } = await done("gateway.token", () =>
        bench.call<{ token: string }>("POST", "/v1/groups/production-default/join-tokens", {}),
      );
      const node = await done("gateway.join", () => joined(token));
      await did("gateway.revoke", `/v1/gateways/${node}/revoke`, {});
      await bench.stop();
      for (const word of new Set(driven))
        assert.ok(recorded(word).length >= driven.filter((one) => one === word).length, `${word} is in the log`);
      await bench.start();
      const changing = adminRoutes.flatMap(({ action, audit }) => (audit === "outbox" ? [action] : []));
      assert.deepEqual(
        [...new Set([...driven, ...ofPeople, ...ofFindings])].filter((word) => word !== "gateway.join").sort(),
        changing.sort(),
      );
      assert.deepEqual(bench.faults, [], "every record keeps to its row of docs/audit-actions.md");
    },
  );

  /** Rules are tried by themselves within seconds of a start. */
  async function tried(): Promise<void> {
    await until("rules to be tried", async () =>
      (await bench.call<readonly RuleReport[]>("GET", "/v1/rules")).every(({ gate }) => gate !== null),
    );
  }

  /** Joins, and opens the channel once, as a gateway does. */
  async function joined(token: string): Promise<string> {
    const transport = (target: { readonly url: string; readonly pin: string }) =>
      openChannelTransport(createDialer(), target);
    const made = await joinOnce(token, {
      ...{ dataDirectory: join(bench.data, "node"), transport, setAside: () => undefined },
      now: () => systemClock.now(),
    });
    const node = openChannelTransport(createDialer(), made, { cert: made.certificate, key: made.nodeKey });
    const object = `gateway/${made.node}`;
    const [sent, keysSent] = [Promise.withResolvers<void>(), () => recorded("gateway.log-keys", object).length];
    const stream = await node.stream("/channel/v1/down?key-seq=0&revocation-seq=0", (line) => {
      if (JSON.parse(line).t === "log-keys") sent.resolve();
    });
    await sent.promise;
    assert.equal(keysSent(), 1, "on record before they leave");
    stream.close();
    await node.close();
    return made.node;
  }

  test("attack: acts that are refused are on record as well, each with its word", bounded, async () => {
    const absent = "k".repeat(43);
    await assert.rejects(bench.call("POST", `/v1/keys/${absent}/kill`, { environment, reason }));
    await assert.rejects(bench.call("POST", `/v1/sessions/ses_${"s".repeat(22)}/end`, { environment, reason }));
    await assert.rejects(
      bench.call("POST", `/v1/users/usr_${"u".repeat(22)}/withdraw`, { environment, reason, client: "portal" }),
    );
    for (const word of ["key.kill", ...ofPeople])
      assert.equal(recorded("act.refuse", `action/${word}`).length, 1, word);
  });

  test("every read is on record before its answer", bounded, async () => {
    for (const route of adminRoutes.filter(({ audit, path }) => audit === "appended" && !path.includes(":"))) {
      if (route.method !== "GET") continue;
      const earlier = recorded(route.action).length;
      await bench.call("GET", route.path);
      assert.equal(recorded(route.action).length, earlier + 1, route.action);
    }
  });
});
