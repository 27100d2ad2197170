import assert from "node:assert/strict";
import { test } from "node:test";
import { checkpointWarning } from "./checkpoint-warning.ts";

test("attack: a rewritten log is a warning that names node, origin, what happened and what to do", () => {
  const origin = "sallyport/main/production/gw-eu/gateway/2026";
  const warning = checkpointWarning({ node: "gw-eu", code: "forked", origin, note: "", at: 0 });
  assert.match(warning, /^gw-eu: .*gateway\/2026 has another root .*forked, 1970-.*gateway revoke gw-eu$/);
});
