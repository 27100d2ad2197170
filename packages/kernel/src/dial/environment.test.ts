import assert from "node:assert/strict";
import { test } from "node:test";
import { assertEnvironment } from "./environment.ts";
import { ownAddresses } from "./own-addresses.ts";

test("refuses the start under NODE_TLS_REJECT_UNAUTHORIZED=0 and says what to unset", () => {
  for (const value of ["0", " 0", "00", "false", "No", "off"]) {
    const start = () => assertEnvironment({ NODE_TLS_REJECT_UNAUTHORIZED: value });
    assert.throws(start, { code: "tls-verification-off", message: /Unset it/ }, JSON.stringify(value));
  }
});

test("starts where the variable is absent, empty or on", () => {
  for (const env of [
    {},
    { NODE_TLS_REJECT_UNAUTHORIZED: "" },
    { NODE_TLS_REJECT_UNAUTHORIZED: "1" },
    { NODE_EXTRA_CA_CERTS: "/x" },
  ]) {
    assert.doesNotThrow(() => assertEnvironment(env));
  }
});

test("a listener on every interface owns its port on each of their addresses", () => {
  const entry = { netmask: "", mac: "", internal: false, cidr: null };
  const interfaces = {
    eth0: [
      { ...entry, address: "10.1.2.3", family: "IPv4" as const },
      { ...entry, address: "2606:4700::9", family: "IPv6" as const, scopeid: 0 },
    ],
  };
  const own = ownAddresses(
    [
      { address: "0.0.0.0", port: 8443 },
      { address: "127.0.0.1", port: 9000 },
    ],
    interfaces,
  );
  assert.deepEqual([...own].sort(), [
    "10.1.2.3:8443",
    "127.0.0.1:8443",
    "127.0.0.1:9000",
    "2606:4700::9:8443",
    "::1:8443",
  ]);
});
