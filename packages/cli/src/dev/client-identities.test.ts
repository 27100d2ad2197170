import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { clientWithoutKey } from "@sallyport/control/registry/config/warn-no-identity.ts";
import { starterEstate } from "../init/starter-estate.ts";
import { withTestIdentities } from "./client-identities.ts";

test("the estate that init writes has one warning, the missing key; under dev, which makes the key, it has none", (t) => {
  const data = mkdtempSync(join(tmpdir(), "sallyport-identities-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const choice = { name: "billing", upstream: "http://127.0.0.1:8080", isPrivate: true, consumer: "orders" };
  const files = Object.fromEntries(starterEstate(choice).map(({ file, text }) => [file, text]));
  const loaded = loadEstateFrom(memoryEstateIo(files, () => 0));
  assert.deepEqual(
    loaded.findings.map(({ message }) => message),
    [clientWithoutKey],
  );
  const { loaded: under, identities } = withTestIdentities(loaded, data);
  assert.deepEqual(under.findings, []);
  assert.deepEqual(
    identities.map(({ client, keyFile }) => [client, keyFile]),
    [["orders", join(data, "clients", "orders.key.pem")]],
  );
});
