import assert from "node:assert/strict";
import { test } from "node:test";
import { needsPrivateWord } from "./private-hosts.ts";

test("private, loopback and link-local addresses need the word; a public address does not", () => {
  const asks = [
    "10.0.0.1",
    "127.1.1.1",
    "169.254.169.254",
    "192.168.1.1",
    "[::1]",
    "[fd00::1]",
    "[::ffff:8.8.8.8]",
    "localhost",
  ];
  for (const host of asks) assert.equal(needsPrivateWord(host), true, host);
  for (const host of ["8.8.8.8", "93.184.215.14", "172.32.0.1", "[2606:4700::1]", "billing.acme.example"])
    assert.equal(needsPrivateWord(host), false, host);
});
