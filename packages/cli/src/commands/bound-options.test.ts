// What `serve --bound` takes, and that no word of it switches a bound off: docs/gateway.md (listen).
import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandEnd } from "../exit.ts";
import { readBounds } from "./bound-options.ts";

const read = (...bound: string[]) => readBounds({ role: "gateway", bound });

test("each bound goes where it is kept, several together, and sources are narrowed for both", () => {
  assert.deepEqual(read(), {});
  assert.deepEqual(read("connections-per-source=200", "bad-credentials-pause=60", "source-v4=32"), {
    bounds: {},
    admission: { badCredentialsPauseMs: 60_000, prefixLengths: { v4: 32, v6: 48 } },
    door: { connectionsPerPrefixMax: 200, prefixLengths: { v4: 32, v6: 48 } },
  });
});

test("attack: zero, infinity, a word or an unknown name is an error with the fix, never no bound", () => {
  for (const text of [
    "connections-per-source=0",
    "connections-per-source=-1",
    "connections-per-source=999999999",
    "connections-per-source=off",
    "handshakes",
    "everything=1",
    "source-v4=0",
    "source-v6=128",
  ])
    assert.throws(
      () => read(text),
      (error) => error instanceof CommandEnd && /^--bound /.test(error.message),
      text,
    );
  assert.throws(() => readBounds({ role: "control", bound: ["handshakes=5"] }), /is for gateways/);
});
