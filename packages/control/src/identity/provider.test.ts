import assert from "node:assert/strict";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { IdentityCommands } from "./store.ts";
import { startEstate, type TestEstate } from "./test-estate.ts";

forEachDialect((_dialect, open) => {
  let estate: TestEstate;
  before(async () => {
    estate = await startEstate(
      await open<IdentityCommands>({ commands: new URL("./test-commands.ts", import.meta.url) }),
    );
  });
  after(() => estate.close());

  test("a client gets a bound token for the provider its integration names", async () => {
    const answer = await estate.token();
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(estate.faults, []);
  });
});
void [createHash, createPublicKey, X509Certificate];
