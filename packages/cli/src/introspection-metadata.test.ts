// What the metadata says of signed introspection answers is what the ring can sign with, over a real control plane whose algorithm is changed.
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { Bench, type Files } from "./control-bench.test-support.ts";
import { until } from "./installation.test-support.ts";

const bounded = { timeout: 120_000 };
const sound = soundEstate();
const signedBy = (algorithm: string): Files => ({
  ...sound,
  "sallyport.yaml": `estate: default\nenvironments:\n  production:\n    tokens: { algorithm: ${algorithm} }\n`,
});

forEachDialect((_dialect, open) => {
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench(open);
  });
  afterEach(() => bench.stop());

  test(
    "the algorithms named for signed answers are those of the keys in the ring, before and after another one is asked for",
    bounded,
    async () => {
      await bench.start();
      const named = async (): Promise<unknown> =>
        JSON.parse(await bench.get(`${bench.issuer()}/.well-known/openid-configuration`))[
          "introspection_signing_alg_values_supported"
        ];
      const held = async (): Promise<readonly string[]> => {
        const { keys } = JSON.parse(await bench.get(`${bench.issuer()}/jwks`)) as { keys: { alg: string }[] };
        return [...new Set(keys.map(({ alg }) => alg))].sort();
      };
      await bench.apply(signedBy("ES256"));
      assert.deepEqual([await named(), await held()], [["ES256"], ["ES256"]]);
      await bench.apply(signedBy("EdDSA"));
      await until("a key of the other algorithm", async () => (await held()).includes("EdDSA"));
      // The ring may take its next step between the two looks.
      await until("both to be named", async () => String(await named()) === String(await held()));
      assert.ok((await held()).includes("ES256"), "old answers can still be verified");
    },
  );
});
