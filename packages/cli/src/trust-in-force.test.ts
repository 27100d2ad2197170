// What operators see of trust: in a plan before it is applied, and in force afterwards, over a control plane with its real store, log and sockets.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import type { KeyReport, PlanReport } from "@sallyport/control/admin/actions.ts";
import type { ExchangeReport, IssuerReport } from "@sallyport/control/identity/trust/trust-actions.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { Bench, type Files } from "./control-bench.test-support.ts";
import { CommandEnd } from "./exit.ts";

const bounded = { timeout: 120_000 };
const sound = soundEstate();
const jwk = { ...generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" }), kid: "k" };
const exchange = (more: string) =>
  `integration: billing-to-orders\nfrom: billing\nto: orders\npurpose: Test\noperations: [order.read]\nexchange:\n  - subject: own\n${more}`;
const believing: Files = {
  ...sound,
  "sallyport.yaml": `estate: default
environments:
  production:
    people:
      signIn: [corp]
      providers:
        corp: { issuer: https://login.corp.example, client: sallyport, name: Corp }
`,
  "systems/orders.yaml": `${sound["systems/orders.yaml"]}url: http://orders.internal:8080\noperations:\n  order.read: GET /v1/orders/{id}\n`,
  "issuers/partner.yaml":
    "issuer: partner\nurl: https://idp.partner.example\nalgorithms: [ES256]\njwks: partner.jwks.json\nsystems:\n  - system: orders\n    subject: order-robot\n",
  "issuers/partner.jwks.json": JSON.stringify({ keys: [jwk] }),
  "integrations/billing-to-orders.yaml": exchange("    binding: keep\n"),
};

forEachDialect((_dialect, open) => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench(open);
  });
  afterEach(() => bench.stop());
  const plan = (files: Files) => bench.call<PlanReport>("POST", "/v1/estate/plan", { files });
  const said = async (files: Files) =>
    (await plan(files)).trust.map(({ environment, about, change }) => `${environment} ${about} ${change}`);

  test(
    "a plan says who would be believed before anybody is; afterwards it says nothing, and a rule made wider is a change",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(sound);
      assert.deepEqual(await said(believing), [
        "production exchange/billing-to-orders added",
        "production issuer/partner added",
        "production issuer/partner added",
        "production provider/corp added",
      ]);
      assert.deepEqual(await bench.call("GET", "/v1/issuers"), []);
      await bench.apply(believing);
      assert.deepEqual(await said(believing), []);
      const wider = { ...believing, "integrations/billing-to-orders.yaml": exchange("    binding: rebind\n") };
      const [change, ...others] = (await plan(wider)).trust;
      assert.deepEqual(others, []);
      assert.match(change?.before ?? "", /only with the key the token is bound to$/);
      assert.match(change?.after ?? "", /bound to their own key, whatever the token was bound to$/);
      assert.deepEqual(
        (await plan(sound)).trust.map(({ change: one }) => one),
        ["removed", "removed", "removed", "removed"],
      );
    },
  );

  test(
    "issuers and rules of exchange are shown as in force, each look on record under what was looked at",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(believing);
      const issuers = await bench.call<readonly IssuerReport[]>("GET", "/v1/issuers");
      assert.deepEqual(
        issuers.map(({ id, environment, use, keys }) => [id, environment, use, keys?.keys ?? null]),
        [
          ["corp", "production", "log-in", null],
          ["partner", "production", "tokens", 1],
        ],
      );
      const [partner] = await bench.call<readonly IssuerReport[]>("GET", "/v1/issuers/partner");
      assert.deepEqual(partner?.says, issuers[1]?.says);
      assert.match(partner?.says[1] ?? "", /sub "order-robot" gets tokens as orders$/);
      const state = async () =>
        (await bench.call<readonly ExchangeReport[]>("GET", "/v1/exchanges")).map((one) => [
          one.integration,
          one.from,
          one.to,
          one.state,
        ]);
      assert.deepEqual(await state(), [["billing-to-orders", "billing", "orders", "active"]]);
      await bench.call("POST", "/v1/integrations/billing-to-orders/suspend", { reason: "incident" });
      assert.deepEqual(await state(), [["billing-to-orders", "billing", "orders", "suspended"]]);
      const looks = bench.leaves().map(({ action, object }) => `${action} ${object}`);
      for (const look of ["issuer.list issuer", "issuer.show issuer/partner", "exchange.list exchange"])
        assert.ok(looks.includes(look), look);
    },
  );

  test(
    "keys are listed with what each is for; a rotation moves them on, and no private half is shown",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(sound);
      const keys = () => bench.call<readonly KeyReport[]>("GET", "/v1/keys");
      const before = await keys();
      const kidOf = (rows: readonly KeyReport[], wanted: string) => rows.find(({ state }) => state === wanted)?.kid;
      assert.deepEqual(before.map(({ environment, alg, state }) => `${environment} ${alg} ${state}`).sort(), [
        "production ES256 active",
        "production ES256 next",
      ]);
      await bench.call("POST", "/v1/keys/rotate", { environment: "production" });
      const after = await keys();
      assert.equal(kidOf(after, "active"), kidOf(before, "next"));
      assert.equal(kidOf(after, "retiring"), kidOf(before, "active"));
      assert.ok(after.every(({ state, verifiableUntil }) => (state === "retiring") === (verifiableUntil !== null)));
      const members = ["activatedAt", "alg", "environment", "kid", "state", "verifiableUntil"];
      for (const row of after) assert.deepEqual(Object.keys(row).sort(), members);
      assert.ok(bench.leaves().some(({ action, object }) => `${action} ${object}` === "key.list key"));
    },
  );

  test("an issuer nobody believes is not there, and the nearest is named", bounded, async () => {
    await bench.start();
    await bench.apply(believing);
    await assert.rejects(bench.call("GET", "/v1/issuers/partnr"), (error) => {
      assert.ok(error instanceof CommandEnd);
      assert.deepEqual([error.exit, error.fix], [1, "did you mean `partner`?"]);
      return true;
    });
  });
});
