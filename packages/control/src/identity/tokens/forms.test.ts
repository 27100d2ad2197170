// Encrypted tokens at control: to which key, for whom it opens, and when keys go (docs/identity/token-forms.md "Encrypted tokens").
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { readNestedToken } from "@sallyport/kernel/nested-token.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { AccessTokenClaims } from "@sallyport/protocol/token/claims.ts";
import type { ControlCommands } from "../../commands.ts";
import { directoryOf } from "../directory.ts";
import { memoryKeyring, random } from "../estate.test-support.ts";
import { standingClock } from "../people/people.test-support.ts";
import { encryptionKeyMs } from "./encryption-keys.ts";
import { TokenForms } from "./forms.ts";

const clock = standingClock();
const issuer = "https://id.example/main/production";
const token = "aaaa.bbbb.cccc";
const claims = (system: string) =>
  ({ aud: `${issuer}/systems/${system}`, exp: clock.now() / 1_000 + 300 }) as AccessTokenClaims; // as: the form reads these two
const directory = directoryOf({
  systems: [
    { id: "billing", clients: [], certificates: [], tokens: "encrypted" },
    { id: "reports", clients: [], certificates: [] },
  ],
  integrations: [],
  isActive: () => true,
});

forEachDialect((_dialect, open) => {
  let store: Store<ControlCommands>;
  const keyring = memoryKeyring();
  const formsOf = (environment = "production") => {
    const place = { tenant: "main", environment };
    return new TokenForms({ place, issuer, store, keyring, random, clock, directory: () => directory });
  };
  before(async () => {
    store = await open<ControlCommands>({ commands: new URL("../../commands.ts", import.meta.url), clock });
  });
  const kidOf = (text: string) => {
    const read = readNestedToken(text);
    return typeof read === "string" ? read : read.kid;
  };

  test("tokens of a provider that says encrypted leave encrypted and are read back; others leave as they are", async () => {
    const forms = formsOf();
    const text = await forms.present(token, claims("billing"));
    assert.equal(text.split(".").length, 5);
    assert.equal(text.includes("bbbb"), false);
    assert.equal(await forms.read(text), token);
    assert.equal(await forms.present(token, claims("reports")), token);
    assert.equal(await forms.read(token), token);
  });

  test("many control nodes that need the first key at once use one, and each opens what another encrypted", async () => {
    const nodes = Array.from({ length: 6 }, () => formsOf("first"));
    const texts = await Promise.all(nodes.map((node) => node.present(token, claims("billing"))));
    const newest = new Set(
      await Promise.all(nodes.map(async (node) => kidOf(await node.present(token, claims("billing"))))),
    );
    assert.equal(newest.size, 1, "one key from then on");
    for (const node of nodes) for (const text of texts) assert.equal(await node.read(text), token);
  });

  test("a key is a day old at most; the one before it still opens, the one before that is gone", async () => {
    const forms = formsOf("rotating");
    const texts: string[] = [];
    for (let day = 0; day < 3; day += 1) {
      texts.push(await forms.present(token, claims("billing")));
      clock.move(encryptionKeyMs);
    }
    assert.equal(new Set(texts.map(kidOf)).size, 3);
    assert.deepEqual(await Promise.all(texts.map((text) => forms.read(text))), [null, token, token]);
    assert.equal((await store.run("readEncryptionKeys", { tenant: "main", environment: "rotating" })).length, 2);
  });

  test("attack: a token of production at staging, also with the key's row copied over", async () => {
    const [production, staging] = [formsOf(), formsOf("staging")];
    const text = await production.present(token, claims("billing"));
    assert.equal(await staging.read(text), null);
    const [row] = await store.run("readEncryptionKeys", { tenant: "main", environment: "production" });
    assert.ok(row !== undefined);
    const { kid, x, y, sealed } = row;
    await store.run("addEncryptionKey", { tenant: "main", environment: "staging", kid, x, y, sealed, behind: null });
    await assert.rejects(staging.read(text), "sealed for production");
  });

  test("what is not our form, or was changed, is read as nothing", async () => {
    const forms = formsOf();
    const text = await forms.present(token, claims("billing"));
    const parts = text.split(".");
    for (const bad of [parts.with(4, "A".repeat(22)).join("."), parts.with(1, "AAAA").join("."), "a.b.c.d.e"])
      assert.equal(await forms.read(bad), null);
  });
});
