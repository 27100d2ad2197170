import assert from "node:assert/strict";
import { test } from "node:test";
import { logsOf } from "./verify-backup.ts";

test("attack: a log whose end the manifest keeps silent about is judged like any other", () => {
  const part = (name: string) => ({ name, size: 1, sha256: "00" });
  const parts = ["store", "kek.key", "control-log/2026/checkpoint", "gateway-log/before/2025/checkpoint"].map(part);
  const end = { folder: "control-log/2026", origin: "x", size: 1, root: "AA==" };
  assert.deepEqual(logsOf({ logs: [], parts }), ["control-log", "gateway-log"]);
  assert.deepEqual(logsOf({ logs: [end], parts }), ["control-log", "gateway-log"]);
  assert.deepEqual(logsOf({ logs: [end], parts: [] }), ["control-log"]);
});
