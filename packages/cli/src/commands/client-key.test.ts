import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { run } from "../main.ts";

test("a client key is made once: private half for its owner alone, public half without a private member, nothing overwritten", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-key-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const [secret, open] = [join(directory, "orders.key.pem"), join(directory, "orders.jwks.json")];
  t.mock.method(process.stdout, "write", () => true);
  t.mock.method(process.stderr, "write", () => true);
  assert.equal(await run(["client-key", "new", "--private", secret, "--public", open]), 0);
  assert.equal(statSync(secret).mode & 0o777, 0o600);
  const jwks = JSON.parse(readFileSync(open, "utf8"));
  assert.deepEqual(Object.keys(jwks.keys[0]).sort(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
  assert.equal(signerFromPem(readFileSync(secret, "utf8")).kid, jwks.keys[0].kid);
  assert.equal(await run(["client-key", "new", "--private", secret, "--public", open]), 2);
  assert.equal(JSON.parse(readFileSync(open, "utf8")).keys[0].kid, jwks.keys[0].kid);
});

test("the folder of a private key is made when it is not there, for its owner alone", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "sallyport-key-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  t.mock.method(process.stdout, "write", () => true);
  const secret = join(directory, ".sallyport/clients/orders.key.pem");
  assert.equal(
    await run(["client-key", "new", "--private", secret, "--public", join(directory, "orders.jwks.json")]),
    0,
  );
  assert.equal(statSync(join(directory, ".sallyport/clients")).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, ".sallyport")).mode & 0o777, 0o700);
});
