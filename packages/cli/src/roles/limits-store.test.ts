// What `--limits-store` makes of the URL it is given, and what it never says of it: docs/limits.md "Across gateways".
import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { limitsStoreOf } from "./limits-store.ts";

test("no URL is no store; a URL is one that connects to nothing before it is needed, and is named without its password", () => {
  assert.deepEqual(limitsStoreOf({ limitsStoreUrl: null }), {});
  const { limitsStore } = limitsStoreOf({ limitsStoreUrl: "rediss://gateway:hunter2@redis.internal:6380?wait=5ms" });
  assert.equal(limitsStore?.place, "redis.internal:6380");
  assert.equal(limitsStore.waitMs, 5);
});

test("attack: a URL that would leave TLS out ends the start with the fix, and without the password", () => {
  assert.throws(
    () => limitsStoreOf({ limitsStoreUrl: "redis://gateway:hunter2@redis.internal:6379" }),
    (error) =>
      error instanceof CommandEnd && /in clear/.test(error.message) && !JSON.stringify(error).includes("hunter2"),
  );
});
