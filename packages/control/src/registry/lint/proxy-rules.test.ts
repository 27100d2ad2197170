// Networks of proxies: the widest that is believed without a word, of both kinds of listener and of address, and each said once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lintFiles } from "./lint.test-support.ts";

const linesFound = (networks: string, key = "proxyProtocol: { ") =>
  lintFiles({
    "sallyport.yaml": `environments: [production, staging]\nlisteners:\n  public:\n    url: https://api.acme.example\n    ${key}trustedProxies: [${networks}] }\n`,
  }).flatMap(({ rule, message }) => (rule === "proxies-too-wide" ? [message] : []));

test("a network is wide below /16 and /48, and is said once for all environments", () => {
  assert.deepEqual(linesFound('10.0.3.7, 10.1.0.0/16, "fd00:1:2::/48"'), []);
  assert.deepEqual(linesFound('10.0.0.0/15, "fd00:1::/47", 10.0.3.7/32'), [
    "every host in `10.0.0.0/15` is believed",
    "every host in `fd00:1::/47` is believed",
  ]);
  assert.deepEqual(linesFound("10.0.0.0/8", "authorizer: { proxy: nginx, "), [
    "every host in `10.0.0.0/8` is believed",
  ]);
});
