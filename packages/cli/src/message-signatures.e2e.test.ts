// A partner that signs its requests, with a real control and a real gateway: the page's files are all it takes, the record and `why` say so, and a key that is
// taken out opens nothing. docs/identity/message-signatures.md.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { TestSigner } from "@sallyport/gateway/testing/test-signer.ts";
import { Installation, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const page = readFileSync(new URL("../../../docs/identity/message-signatures.md", import.meta.url), "utf8");
/** A file of the page, as a reader copies it. */
const written = (path: string): string => page.split(`\`\`\`yaml\n# ${path}\n`)[1]?.split("```")[0] ?? "";
const partner = new TestSigner("acme-2026", "ed25519", () => Date.now());
const next = new TestSigner("acme-2027", "ecdsa-p256-sha256", () => Date.now());
const jwks = (...signers: readonly TestSigner[]): string =>
  JSON.stringify({ keys: signers.map(({ key: { jwk, keyid } }) => ({ ...jwk, kid: keyid })) });

let installation: Installation;

before(async () => {
  installation = await Installation.open();
  installation.writeEstate({
    "systems/acme-partner.yaml": written("systems/acme-partner.yaml"),
    "integrations/acme-partner-to-billing.yaml": written("integrations/acme-partner-to-billing.yaml"),
    "systems/acme-partner.signing.jwks.json": jwks(partner),
  });
  await installation.startControl();
  await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation?.close());

let sent = 0;
/** Each differs from the one before, also within a second. */
function send(signer: TestSigner): Promise<Response> {
  const url = `https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`;
  return fetch(url, { headers: signer.fields({ url }, { parameters: `;nonce="${++sent}"` }) });
}

async function statusOf(signer: TestSigner): Promise<number> {
  const answer = await send(signer);
  await answer.arrayBuffer();
  return answer.status;
}

test("the files of the page are all it takes; nobody else's key opens anything", bounded, async () => {
  assert.match(written("systems/acme-partner.yaml"), /^system: acme-partner\n/);
  // A gateway that has just begun takes no signature of its first seconds.
  await until("the partner's first crossing", async () => (await statusOf(partner)) === 200);
  assert.equal(await statusOf(next), 401);
});

test(
  "the record says who and by which proof; why says what a refused one lacked, and whether one would pass",
  bounded,
  async () => {
    const operator = ["--operator", installation.operatorKey];
    const id = (await send(partner)).headers.get("sallyport-crossing") ?? "";
    const why = await runBinary(["why", id, ...operator]);
    assert.equal(why.exit, 0, why.err);
    assert.match(why.out, /signature/);
    const refused = (await send(next)).headers.get("sallyport-crossing") ?? "";
    const denied = await runBinary(["why", refused, ...operator]);
    assert.match(denied.out, /signature-key-unknown/);
    assert.match(denied.out, /acme-2027/);
    const asked = ["why", "--from", "acme-partner", "--op", "billing:invoice.read", ...operator];
    assert.equal((await runBinary(asked)).exit, 0);
    assert.equal((await runBinary([...asked, "--proof", "dpop"])).exit, 1);
  },
);

test("a key that is changed over opens, and the one taken out does not any more", bounded, async () => {
  installation.writeEstate({ "systems/acme-partner.signing.jwks.json": jwks(next) });
  const applied = await runBinary(["apply", installation.estate, "--operator", installation.operatorKey]);
  assert.equal(applied.exit, 0, applied.err);
  await until("the next key", async () => (await statusOf(next)) === 200);
  assert.equal(await statusOf(partner), 401);
});
