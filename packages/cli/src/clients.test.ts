// Clients as an operator and a workload meet them: rows over the admin API of a real control plane, used at once at its identity listener.
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { Bench, type Files } from "./control-bench.test-support.ts";
import { CommandEnd, exitCode } from "./exit.ts";
import { until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";
import { systemRandom } from "./roles/system-ports.ts";

const bounded = { timeout: 120_000 };
const sound = soundEstate();
const holder = testKey();
const hour = 3_600_000;
const mesh = createLocalCa({
  tenant: "main",
  environment: "test",
  random: systemRandom,
  notBeforeMs: Date.now() - hour,
  notAfterMs: Date.now() + 24 * hour,
});
const uses = "uses:\n  - to: billing\n    purpose: Charge a customer\n    operations: [invoice.create]\n";
const lastDay = new Date(Date.now() + 30 * 24 * hour).toISOString().slice(0, 10);
const files: Files = {
  ...sound,
  "trust/mesh.yaml": "trust: mesh\nroots: [mesh.pem]\n",
  "trust/mesh.pem": mesh.certificatePem,
  "systems/shop.yaml": `system: shop\nidentity:\n  client: shop\n  secrets: { reason: The vendor knows no other way, until: ${lastDay} }\n${uses}`,
  "systems/probe.yaml": `system: probe\nidentity:\n  client: probe\n  tls: { trust: mesh, uri: spiffe://acme/probe }\n${uses}`,
};

interface Made {
  readonly id: string;
  readonly secret: string;
}

forEachDialect((_dialect, open) => {
  let bench: Bench;
  beforeEach(async () => {
    bench = new Bench(open);
    await bench.start();
    await bench.apply(files);
  });
  afterEach(() => bench.stop());

  /** The body is made again after the nonce: an assertion is good once. */
  const ask = async (bodyOf: () => URLSearchParams, more: Parameters<typeof send>[2] = {}): Promise<TestAnswer> => {
    const issuer = bench.issuer();
    const once = (nonce?: string) => {
      const body = bodyOf();
      body.set("resource", `${issuer}/systems/billing`);
      return send(`${issuer}/token`, bench.ca, {
        ...more,
        body: body.toString(),
        headers: { ...more.headers, dpop: dpopProof(holder, `${issuer}/token`, nonce) },
      });
    };
    const first = await once();
    return first.body["error"] === "use_dpop_nonce" ? once(String(first.headers["dpop-nonce"])) : first;
  };
  const bySecret = (secret: string) => {
    const authorization = `Basic ${Buffer.from(`shop:${secret}`).toString("base64")}`;
    return ask(() => new URLSearchParams({ grant_type: "client_credentials" }), { headers: { authorization } });
  };
  /** An act is answered when it is durable, with its record in the outbox: in the log it is a moment later. */
  const recorded = (wanted: string) =>
    until(`the record of ${wanted}`, () => bench.leaves().some(({ action }) => action === wanted));
  const secretOf = (over = {}) => bench.call<Made>("POST", "/v1/clients/shop/secrets", { reason: "test", ...over });

  test(
    "a secret works from the answer on, beside the one it follows, and not after it was ended; no record has it",
    bounded,
    async () => {
      const first = await secretOf();
      assert.equal((await bySecret(first.secret)).status, 200);
      const second = await secretOf({ overlapMs: 24 * hour });
      assert.equal((await bySecret(first.secret)).status, 200);
      assert.equal((await bySecret(second.secret)).status, 200);
      await assert.rejects(secretOf(), (end) => end instanceof CommandEnd && end.exit === exitCode.no);
      await bench.call("POST", "/v1/clients/shop/secrets/end", { secret: first.id, reason: "rotated" });
      assert.equal((await bySecret(first.secret)).status, 401);
      assert.equal((await bySecret(second.secret)).status, 200);
      const [shop] = (
        await bench.call<{ client: string; secrets: { id: string; state: string; usedAt: number | null }[] }[]>(
          "GET",
          "/v1/clients",
        )
      ).filter(({ client }) => client === "shop");
      assert.deepEqual(
        shop?.secrets.map(({ id, state, usedAt }) => [id, state, usedAt !== null]),
        [
          [first.id, "ended", true],
          [second.id, "live", true],
        ],
      );
      assert.equal(JSON.stringify(shop).includes("digest"), false);
      await recorded("client.secret.end");
      const actions = bench.leaves().map(({ action }) => action);
      assert.deepEqual(
        actions.filter((action) => action.startsWith("client.secret")),
        ["client.secret.add", "client.secret.add", "client.secret.end"],
      );
      assert.equal(JSON.stringify(bench.leaves()).includes(first.secret), false);
    },
  );

  test("a restart forgets no secret and wakes none that was ended", bounded, async () => {
    const kept = await secretOf();
    const gone = await secretOf();
    await bench.call("POST", "/v1/clients/shop/secrets/end", { secret: gone.id, reason: "lost" });
    await bench.stop();
    await bench.start();
    assert.equal((await bySecret(kept.secret)).status, 200);
    assert.equal((await bySecret(gone.secret)).status, 401);
  });

  test(
    "a key that an operator adds signs at the next request, beside the estate's, until it is ended; it never comes back",
    bounded,
    async () => {
      const key = testKey();
      const signed = () => ask(() => form("orders", assertion("orders", bench.issuer(), key)));
      assert.equal((await signed()).status, 401);
      const path = "/v1/clients/orders/keys";
      const { kid } = await bench.call<{ kid: string }>("POST", path, { jwk: key.jwk, reason: "deployment 4711" });
      assert.equal(kid, key.kid);
      assert.equal((await signed()).status, 200);
      await bench.call("POST", `${path}/end`, { kid, reason: "host gone", revokeTokens: true });
      assert.equal((await signed()).status, 401);
      await assert.rejects(
        bench.call("POST", path, { jwk: key.jwk, reason: "again" }),
        (end) => end instanceof CommandEnd && /was ended before/.test(end.message),
      );
      const privateJwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
      await assert.rejects(bench.call("POST", path, { jwk: privateJwk, reason: "slip" }), /not a public/);
      await assert.rejects(
        bench.call("POST", "/v1/clients/shop/keys", { jwk: key.jwk, reason: "x" }),
        /client_secret_basic/,
      );
      await assert.rejects(
        bench.call("POST", "/v1/clients/order/keys", { jwk: key.jwk, reason: "x" }),
        /no client order/,
      );
    },
  );

  test(
    "a workload with a code makes its key where it runs, the binary brings it in, and the code is good for no other",
    bounded,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "sallyport-enrol-"));
      try {
        const at = (name: string) => join(folder, name);
        const made = await bench.call<{ code: string; issuer: string }>("POST", "/v1/clients/orders/enrolment-codes", {
          reason: "host 7",
        });
        writeFileSync(at("code"), `${made.code}\n`);
        writeFileSync(at("ca.pem"), bench.ca);
        const run = (key: string) =>
          runBinary([
            "client",
            "key",
            "enroll",
            "--json",
            "--issuer",
            made.issuer,
            "--code",
            at("code"),
            "--private",
            at(key),
            "--ca",
            at("ca.pem"),
          ]);
        const { exit, out, err } = await run("orders.key.pem");
        assert.equal(exit, 0, err);
        const shown: unknown = JSON.parse(out);
        const privateKey = createPrivateKey(readFileSync(at("orders.key.pem"), "utf8"));
        assert.equal(statSync(at("orders.key.pem")).mode & 0o777, 0o600);
        const kid = typeof shown === "object" && shown !== null && "kid" in shown ? String(shown.kid) : "";
        const signed = () =>
          ask(() => form("orders", assertion("orders", bench.issuer(), { ...testKey(), privateKey, kid })));
        assert.equal((await signed()).status, 200);
        const again = await run("again.key.pem");
        assert.notEqual(again.exit, 0);
        assert.match(again.err, /the code is not good; ask an operator/);
        assert.equal(existsSync(at("again.key.pem")), false, "a key that nobody knows is not left lying");
        await bench.call("POST", "/v1/clients/orders/keys/end", { kid, reason: "host gone" });
        assert.equal((await signed()).status, 401);
        await assert.rejects(
          bench.call("POST", "/v1/clients/shop/enrolment-codes", { reason: "x" }),
          /client_secret_basic/,
        );
        await recorded("client.key.end");
        const leaves = bench.leaves();
        assert.deepEqual(
          leaves.map(({ action }) => action).filter((action) => action.startsWith("client.key")),
          ["client.key.code", "client.key.enrol", "client.key.end"],
        );
        assert.equal(JSON.stringify(leaves).includes(made.code), false);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  test(
    "a workload with a certificate of the declared bundle gets a token; one of the same name from elsewhere does not",
    bounded,
    async () => {
      const elsewhere = createLocalCa({
        tenant: "main",
        environment: "test",
        random: systemRandom,
        notBeforeMs: Date.now() - hour,
        notAfterMs: Date.now() + hour,
      });
      const by = (ca: typeof mesh) => {
        const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
        const { pem } = issueLeaf({
          ca,
          publicKeySpki: publicKey.export({ format: "der", type: "spki" }),
          names: { uri: "spiffe://acme/probe" },
          usage: "client",
          notBeforeMs: Date.now() - 60_000,
          notAfterMs: Date.now() + 60_000,
          random: systemRandom,
        });
        const key = String(privateKey.export({ format: "pem", type: "pkcs8" }));
        return ask(() => new URLSearchParams({ grant_type: "client_credentials", client_id: "probe" }), {
          cert: pem,
          key,
        });
      };
      const answer = await by(mesh);
      assert.equal(answer.status, 200, answer.text);
      assert.equal((await by(elsewhere)).status, 401);
    },
  );

  test(
    "a token made for debugging is the client's own, is recorded with who and why, and is seen to die",
    bounded,
    async () => {
      const issue = (over = {}) =>
        bench.call<{ token: string; jti: string }>("POST", "/v1/tokens/issue", {
          ...{ client: "orders", to: "billing", jkt: holder.kid, reason: "ticket 4711" },
          ...over,
        });
      const { token, jti } = await issue();
      const inspect = () =>
        bench.call<{ state: string; revoked: { kind: string } | null; claims: Record<string, unknown> }>(
          "POST",
          "/v1/tokens/inspect",
          { token },
        );
      const good = await inspect();
      assert.equal(good.state, "active");
      assert.deepEqual(
        [good.claims["client_id"], good.claims["jti"], good.claims["cnf"]],
        ["orders", jti, { jkt: holder.kid }],
      );
      await bench.call("POST", "/v1/revocations", { kind: "subject", value: "orders", reason: "test" });
      const dead = await inspect();
      assert.deepEqual([dead.state, dead.revoked?.kind], ["revoked", "subject"]);
      await assert.rejects(issue({ to: "orders" }), (end) => end instanceof CommandEnd && end.exit === exitCode.no);
      await assert.rejects(issue({ client: "order" }), /no client order/);
      await recorded("token.issue");
      const records = bench.leaves().filter(({ action }) => action === "token.issue");
      assert.deepEqual(
        records.map(({ object }) => object),
        ["client/orders"],
      );
      assert.equal(JSON.stringify(bench.leaves()).includes(token.slice(-40)), false);
    },
  );
});
