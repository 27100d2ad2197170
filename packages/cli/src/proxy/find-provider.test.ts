// A proxy that runs while an estate grows: what was added is carried, what cannot be read changes nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFindProvider, relearning, rereadMsMin } from "./find-provider.ts";

const published = (...ids: readonly string[]) =>
  createFindProvider(
    ids.map((id) => ({ id, public: { path: `/${id}`, strip: true } })),
    null,
  );

test("a system that was added since is found by its first request, and reading is bounded", async () => {
  let [now, reads] = [0, 0];
  const read = async () => {
    reads += 1;
    return published("billing", "shipping");
  };
  const provider = relearning(published("billing"), read, () => now);
  assert.equal((await provider("/billing/v1"))?.id, "billing");
  assert.equal(await provider("/shipping/v1"), null);
  assert.equal(reads, 0, "not right after the estate was read");
  now += rereadMsMin;
  assert.equal((await provider("/shipping/v1"))?.id, "shipping");
  assert.equal(await provider("/nobody"), null);
  assert.equal(reads, 1);
});

test("an estate that cannot be read leaves what was known", async () => {
  let now = 0;
  const provider = relearning(
    published("billing"),
    () => Promise.reject(new Error("half a file")),
    () => now,
  );
  now += rereadMsMin;
  assert.equal(await provider("/shipping/v1"), null);
  assert.equal((await provider("/billing/v1"))?.id, "billing");
});
