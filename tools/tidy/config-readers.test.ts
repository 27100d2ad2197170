// Each key of the configuration is obeyed by code that is named, or says why it is for people only.
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { referenceRows } from "../../packages/control/src/registry/config/reference.ts";
import { configReaders } from "./config-readers.ts";
import { listFiles } from "./source-text.ts";
import { leafKeys, unreadKeys } from "./unread-keys.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

test("no key of the configuration is accepted without somebody who obeys it", () => {
  const keys = leafKeys(referenceRows());
  assert.ok(keys.length > 70, `only ${keys.length} keys`);
  assert.deepEqual(
    unreadKeys(keys, configReaders, listFiles(root)).map(({ message }) => message),
    [],
  );
});

test("a key without a reader, a reader that does not read, and a row without a key are found", () => {
  const files = [{ path: "a.ts", text: 'const b = object.url; // object.region\nconst c = "object.zone";\n' }];
  const found = (keys: readonly string[], own: Record<string, { by: string; reads: string }>) =>
    unreadKeys(keys, { f: own }, files).length;
  assert.equal(found(["f url"], { url: { by: "a.ts", reads: "object.url" } }), 0);
  assert.equal(found(["f url", "f proxies"], { url: { by: "a.ts", reads: "object.url" } }), 1);
  assert.equal(found(["f region"], { region: { by: "a.ts", reads: "object.region" } }), 1, "a comment reads nothing");
  assert.equal(found(["f zone"], { zone: { by: "a.ts", reads: "object.zone" } }), 1, "a text reads nothing");
  assert.equal(found([], { url: { by: "a.ts", reads: "object.url" } }), 1);
  assert.equal(found(["f url"], { url: { by: "gone.ts", reads: "object.url" } }), 1);
});

test("the keys that hold values are those without keys below them", () => {
  const rows = ["a", "a.b", "c", "c[]", "c[].d", "ab"].map((key) => ({ file: "f", key }));
  assert.deepEqual(leafKeys(rows), ["f a.b", "f c[].d", "f ab"]);
});
