// Headers of the PROXY protocol, octet by octet: what is read of a good one, and what of every bad one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { trustedProxies } from "@sallyport/kernel/trusted-proxies.ts";
import fc from "fast-check";
import { crc32c, extra, type ProxyHeaderChanges, proxyHeader, proxySignature } from "../testing/proxy-headers.ts";
import { isProxy } from "./proxied-connection.ts";
import { headerBytesMax, readProxyHeader, restLength, startBytes } from "./proxy-header.ts";

function read(octets: Buffer) {
  const length = restLength(octets.subarray(0, startBytes));
  if (typeof length === "string") return length;
  if (octets.length !== startBytes + length) return `${octets.length - startBytes} octets where it says ${length}`;
  const told = readProxyHeader(octets);
  return typeof told === "string" ? told : told.address;
}

const v6 = (text: string): number[] => [...Buffer.from(text.replaceAll(":", ""), "hex")];
const over6 = (text: string): ProxyHeaderChanges => ({
  family: 0x21,
  from: v6(text),
  to: v6("0".repeat(31).concat("1")),
});

test("the tests' own checksum is the one of RFC 3720", () =>
  assert.equal(crc32c(Buffer.from("123456789")), 0xe306_9283));

const good: readonly (readonly [string, ProxyHeaderChanges, string | null])[] = [
  ["IPv4", {}, "10.9.8.7"],
  ["IPv6", over6("20010db8000000000000000000000009"), "2001:db8::9"],
  ["IPv4 within IPv6", over6("00000000000000000000ffff0a090807"), "10.9.8.7"],
  ["a check of the balancer itself", { asked: 0x20, family: 0, from: [], to: [] }, null],
  ["a check that tells an address all the same", { asked: 0x20 }, null],
  [
    "extensions",
    { extras: Buffer.concat([extra(0x02, "api.example"), extra(0xea, "\u0001vpce-1"), extra(4, "")]) },
    "10.9.8.7",
  ],
  ["a checksum that fits", { extras: extra(0x02, "api.example"), checksum: "right" }, "10.9.8.7"],
  ["as long as one may be", { extras: extra(4, Buffer.alloc(headerBytesMax - startBytes - 12 - 3)) }, "10.9.8.7"],
];
for (const [what, changes, told] of good) test(`read: ${what}`, () => assert.equal(read(proxyHeader(changes)), told));

const bad: readonly (readonly [string, ProxyHeaderChanges | Buffer, "missing" | "malformed"])[] = [
  ["version 1 of the protocol", Buffer.from("PROXY TCP4 10.9.8.7 10.0.0.1 1234 443\r\n"), "missing"],
  ["a request", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "missing"],
  [
    "a signature with one octet changed",
    Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\r"), Buffer.alloc(4)]),
    "missing",
  ],
  ["fewer octets than a signature", proxySignature.subarray(0, 11), "missing"],
  ["version 1 in binary", { asked: 0x11 }, "malformed"],
  ["version 3", { asked: 0x31 }, "malformed"],
  ["a command that is none", { asked: 0x22 }, "malformed"],
  ["a command that is none, in the other bits", { asked: 0x2f }, "malformed"],
  ["no family", { family: 0x00 }, "malformed"],
  ["TCP over no family", { family: 0x01 }, "malformed"],
  ["datagrams", { family: 0x12 }, "malformed"],
  ["datagrams over IPv6", { ...over6("20010db8000000000000000000000009"), family: 0x22 }, "malformed"],
  ["a UNIX socket", { family: 0x31, from: Array(108).fill(97), to: Array(108).fill(98) }, "malformed"],
  ["a family nobody knows", { family: 0x41 }, "malformed"],
  ["IPv6 with room for IPv4 alone", { family: 0x21 }, "malformed"],
  ["IPv4 without its addresses", { from: [], to: [] }, "malformed"],
  ["port 0", { fromPort: 0 }, "malformed"],
  ["port 0 on our side", { toPort: 0 }, "malformed"],
  ["0.0.0.0", { from: [0, 0, 0, 0] }, "malformed"],
  ["::", over6("0".repeat(32)), "malformed"],
  ["a length beyond the bound", { length: headerBytesMax - startBytes + 1 }, "malformed"],
  ["the longest length there is", { length: 65_535 }, "malformed"],
  ["an extension cut short", { extras: extra(0x02, "api", 4) }, "malformed"],
  ["half the head of an extension", { extras: Buffer.from([4, 0]) }, "malformed"],
  ["a checksum that does not fit", { checksum: "wrong" }, "malformed"],
  ["a checksum that is too short", { extras: extra(0x03, "abc") }, "malformed"],
  ["two checksums", { extras: extra(0x03, Buffer.alloc(4)), checksum: "right" }, "malformed"],
];
for (const [what, changes, fault] of bad)
  test(`attack: ${what} tells nothing`, () =>
    assert.equal(read(Buffer.isBuffer(changes) ? changes : proxyHeader(changes)), fault));

test("who is a proxy: by address, whichever way the kernel writes it; a connection that is gone already is nobody's", () => {
  const proxies = trustedProxies(["10.0.3.0/28", "fd00:1::/64"], "x-forwarded-for");
  for (const remoteAddress of ["10.0.3.7", "::ffff:10.0.3.7", "fd00:1::7"])
    assert.equal(isProxy(proxies, { remoteAddress }), true, remoteAddress);
  for (const remoteAddress of ["10.0.3.16", "::ffff:10.0.3.16", "::10.0.3.7", "fd00:2::7", "fe80::1%eth0", undefined])
    assert.equal(isProxy(proxies, { remoteAddress }), false, String(remoteAddress));
});

test("attack: whatever one octet is changed to, a header with a checksum says nothing, or that the balancer speaks for itself", () => {
  const whole = proxyHeader({ checksum: "right" });
  // The one octet without which there is no checksum: that of its type.
  const type = whole.length - 7;
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
      fc.pre(at !== type);
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ by;
      const told = read(changed);
      // Another length is another header: its checksum is where the next octets are.
      return told === null || ["missing", "malformed"].includes(told) || told.includes("where it says");
    }),
    { numRuns: 2_000 },
  );
});
