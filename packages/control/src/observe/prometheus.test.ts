import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as everything from "prom-client";
import * as parts from "./prometheus.ts";

test("what is taken out of prom-client is what the whole package gives", () => {
  const whole = new Map<string, unknown>(Object.entries(everything));
  for (const [name, part] of Object.entries(parts)) assert.equal(part, whole.get(name), name);
});
