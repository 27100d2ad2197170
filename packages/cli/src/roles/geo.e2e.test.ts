// A gateway and a control plane with a file of places, as an operator starts them: policies ask for the country, and `why` tells what they read.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { assertion, dpopProof, form, send, testKey } from "@sallyport/control/identity/issuer.test-support.ts";
import { geoFileBytes } from "@sallyport/kernel/geo/geo-file-bytes.test-support.ts";
import { Installation, isReady, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const policy = (country: string) =>
  `@id("home") forbid (principal, action == Action::"billing:invoice.read", resource) unless { context has country && context.country == "${country}" };\n`;

let installation: Installation;
before(async () => {
  installation = await Installation.open();
});
after(() => installation.close());

test("a policy reads the country of the file, a change of it holds at once, and why shows what was read", {
  timeout: 120_000,
}, async () => {
  const file = join(installation.root, "countries.mmdb");
  writeFileSync(file, geoFileBytes([{ network: "127.0.0.0/8", record: { country: { iso_code: "DE" } } }]));
  installation.writeEstate({ "policies/home.cedar": policy("DE") });
  const data = installation.data("all");
  const served = installation.serve("all", [
    ...installation.controlArguments(),
    ...["--data", data, "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--geo-file", file],
  ]);
  await served.line(isReady);
  installation.trustRoots(join(data, "control", "ca"));
  const { fetch } = installation.caller();
  const read = () => fetch("/billing/v1/invoices/7");
  assert.equal((await read()).status, 200);

  const operator = join(data, "control", "operator.key.json");
  installation.writeEstate({ "policies/home.cedar": policy("AT") });
  const applied = await runBinary(["--operator", operator, "apply", installation.estate]);
  assert.equal(applied.exit, 0, applied.err);
  let refused = await read();
  await until("the new policy", async () => {
    if (refused.status === 200) refused = await read();
    return refused.status !== 200;
  });
  assert.equal(refused.status, 403);
  const why = await runBinary(["--operator", operator, "why", refused.headers.get("sallyport-crossing") ?? ""]);
  assert.equal(why.exit, 1, why.err);
  assert.match(why.out, /^code +policy-denied$/m);
  assert.match(why.out, /context\.country +DE$/m);
  assert.doesNotMatch(why.out, /addressClass|riskFactors/, "what no policy reads is in no record");
});

describe("where a token is issued", () => {
  const client = testKey();
  const proxy = "127.0.0.9";
  const austrian = "198.51.100.1";
  let control: Installation;
  let root = "";
  before(async () => {
    control = await Installation.open();
    const file = join(control.root, "countries.mmdb");
    writeFileSync(
      file,
      geoFileBytes([
        { network: "127.0.0.0/8", record: { country: { iso_code: "DE" } } },
        { network: "198.51.100.0/24", record: { country: { iso_code: "AT" } } },
      ]),
    );
    control.writeEstate({
      "systems/orders.jwks.json": JSON.stringify({ keys: [{ ...client.jwk, kid: client.kid }] }),
      "policies/home.cedar": `@id("home")
forbid (principal, action == Action::"token:issue", resource)
unless { context has country && context.country == "AT" };\n`,
    });
    const served = control.serve("control", [
      ...[...control.controlArguments(), "--data", control.data("control")],
      ...["--geo-file", file, "--identity-proxies", proxy],
    ]);
    await served.line(isReady);
    root = readFileSync(join(control.data("control"), "ca/control.pem"), "utf8");
  });
  after(() => control?.close());

  /** What `orders` gets that asks from this address with these fields: nothing, or why not. */
  async function error(localAddress: string, fields: Readonly<Record<string, string>>): Promise<unknown> {
    const issuer = `https://127.0.0.1:${control.ports.identity}/main/production`;
    const ask = async (nonce?: string) => {
      const body = String(
        form("orders", assertion("orders", issuer, client), { resource: `${issuer}/systems/billing` }),
      );
      const headers = { ...fields, dpop: dpopProof(client, `${issuer}/token`, nonce) };
      return send(`${issuer}/token`, root, { body, headers, localAddress });
    };
    const answer = await ask(String((await ask()).headers["dpop-nonce"]));
    assert.equal(answer.body["access_token"] === undefined, answer.body["error"] !== undefined, answer.text);
    return answer.body["error"] ?? null;
  }

  test("the country is that of who asks, also where a proxy that its operator named says who that is", async () => {
    assert.equal(await error("127.0.0.1", {}), "unauthorized_client");
    assert.equal(await error(proxy, {}), "unauthorized_client");
    assert.equal(await error(proxy, { "x-forwarded-for": austrian }), null);
  });

  test("attack: a forged X-Forwarded-For changes no country at issuance", async () => {
    const forged = { forwarded: `for=${austrian}`, "x-real-ip": austrian, "cf-ipcountry": "AT", "x-country": "AT" };
    assert.equal(await error("127.0.0.1", { ...forged, "x-forwarded-for": austrian }), "unauthorized_client");
    assert.equal(await error(proxy, forged), "unauthorized_client", "fields that the proxy does not write");
    assert.equal(
      await error(proxy, { ...forged, "x-forwarded-for": `${austrian}, 203.0.113.4` }),
      "unauthorized_client",
      "a hop forged before the proxy's own",
    );
  });
});
