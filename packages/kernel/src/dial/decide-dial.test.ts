import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressKey, parseAddress } from "./address.ts";
import { classifyAddress, decideDial, parseOrigin } from "./decide-dial.ts";
import type { DialRules } from "./port.ts";

const none: DialRules = { allowPrivateHosts: new Set(), ownAddresses: new Set() };
const named: DialRules = { allowPrivateHosts: new Set(["billing.internal"]), ownAddresses: new Set() };

const table: Readonly<Record<string, readonly string[]>> = {
  public: [
    "8.8.8.8",
    "93.184.216.34",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "2606:4700::1111",
    "2a00::1",
    "3ffe::1",
  ],
  loopback: ["127.0.0.1", "127.255.255.254", "::1"],
  private: [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "fc00::1",
    "fdff::1",
  ],
  "link-local": ["169.254.0.1", "fe80::1", "febf::1"],
  metadata: ["169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"],
  transition: [
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:1::1",
  ],
  reserved: [
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "2001:db8::1",
    "2001:10::1",
    "2001:1ff::1",
    "3fff::1",
    "3fff:fff::1",
    "ff02::1",
    "fec0::1",
    "100::1",
    "5f00::1",
    "4000::1",
  ],
  "not-an-address": [
    "localhost",
    "127.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "fe80::1%eth0",
    "",
    "1.2.3.4.5",
    "[::1]",
  ],
};

for (const [wanted, addresses] of Object.entries(table)) {
  test(`${addresses.length} addresses are ${wanted}, and dialled only as that class may be`, () => {
    for (const address of addresses) {
      assert.equal(classifyAddress(address), wanted, address);
      const question = { host: "billing.internal", address, port: 443 };
      assert.equal(decideDial(question, none).kind, wanted === "public" ? "allow" : "deny", address);
      const opened = ["public", "loopback", "private", "link-local"].includes(wanted);
      assert.equal(decideDial(question, named).kind, opened ? "allow" : "deny", `${address} with allowPrivate`);
    }
  });
}

test("allowPrivate is for the exact host: no subdomain, parent, trailing dot, other case or address behind it", () => {
  for (const host of [
    "x.billing.internal",
    "internal",
    "billing.internal.",
    "BILLING.internal",
    "10.0.0.1",
    "billing.internal.evil.example",
  ]) {
    assert.equal(decideDial({ host, address: "10.0.0.1", port: 443 }, named).kind, "deny", host);
  }
  assert.equal(decideDial({ host: "billing.internal", address: "10.0.0.1", port: 443 }, named).kind, "allow");
});

test("the refusal of a private address names host, address and the word that would allow it", () => {
  const verdict = decideDial({ host: "billing.internal", address: "10.0.0.1", port: 443 }, none);
  assert.ok(verdict.kind === "deny");
  assert.match(verdict.reason, /billing\.internal is at 10\.0\.0\.1.*allowPrivate/);
});

test("this node's own listeners are refused in every spelling, other ports are not", () => {
  const rules: DialRules = {
    allowPrivateHosts: new Set(["self.internal"]),
    ownAddresses: new Set(["8.8.8.8:8443", "[2606:4700::1]:8443", "2606:4700::2:9000"]),
  };
  const ask = (address: string, port: number, host = "api.example") => decideDial({ host, address, port }, rules).kind;
  assert.equal(ask("8.8.8.8", 8443), "deny");
  assert.equal(ask("8.8.8.8", 443), "allow");
  assert.equal(ask("2606:4700:0:0::0001", 8443), "deny");
  assert.equal(ask("2606:4700::2", 9000), "deny");
  assert.equal(ask("8.8.8.8", 8443, "self.internal"), "allow");
});

test("metadata is reached only where the configuration writes its address itself", () => {
  const rules: DialRules = {
    allowPrivateHosts: new Set(["169.254.169.254", "meta.internal"]),
    ownAddresses: new Set(),
  };
  assert.equal(decideDial({ host: "169.254.169.254", address: "169.254.169.254", port: 80 }, rules).kind, "allow");
  assert.equal(decideDial({ host: "meta.internal", address: "169.254.169.254", port: 80 }, rules).kind, "deny");
});

test("adding a rule of own addresses never allows more, and every spelling of an address gets one answer", () => {
  const v6 = fc.ipV6();
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), v6), fc.integer({ min: 1, max: 65535 }), (address, port) => {
      const question = { host: "api.example", address, port };
      const more: DialRules = { ...none, ownAddresses: new Set([`${address}:${port}`]) };
      assert.equal(decideDial(question, more).kind, "deny");
      if (address.includes(":") && parseAddress(address) !== null) {
        const long =
          Buffer.from(parseAddress(address) ?? [])
            .toString("hex")
            .match(/.{4}/g)
            ?.join(":") ?? "";
        assert.equal(classifyAddress(long), classifyAddress(address));
        assert.equal(addressKey(long), addressKey(address));
      }
    }),
    { seed: 4, numRuns: 500 },
  );
});

test("an origin is scheme, host and port and nothing else", () => {
  assert.deepEqual(parseOrigin("https://API.example"), { secure: true, host: "api.example", port: 443 });
  assert.deepEqual(parseOrigin("http://[2606:4700::1]:8080/"), { secure: false, host: "2606:4700::1", port: 8080 });
  const bad = [
    "",
    "api.example",
    "ftp://a",
    "file:///etc/passwd",
    "unix:/run/x",
    "http://u@a",
    "http://u:p@a",
    "http://@a",
    "http://a/b",
    "http://a?",
    "http://a#",
    "http://a\\b",
    "http://a.",
    "http://a./",
    "http:// a",
    "http://a:99999",
    "http://[fe80::1%25eth0]",
  ];
  for (const text of bad) assert.equal(typeof parseOrigin(text), "string", text);
});
