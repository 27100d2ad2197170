// Connections and handshakes of a source: the bounds, whoever comes, and what is remembered of them (docs/gateway.md, listen).
import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultDoorLimits } from "../listen/bounds.ts";
import { Door, type DoorLimits, type Entered } from "./door.ts";
import { sourceKey, sourceOf } from "./source-prefix.ts";

const clock = { ms: 0 };
const open = (limits: Partial<DoorLimits>) => new Door({ ...defaultDoorLimits, ...limits }, () => clock.ms);
function entered(door: Door, address: string, isTls = false): Entered {
  const pass = door.enter(sourceOf(address), isTls);
  assert.ok(typeof pass !== "string", `${address}: ${String(pass)}`);
  return pass;
}
const refusal = (door: Door, address: string, isTls = false) => {
  const pass = door.enter(sourceOf(address), isTls);
  return typeof pass === "string" ? pass : null;
};

test("a source has so many connections, and one that is closed makes room, once", () => {
  const door = open({ connectionsPerPrefixMax: 2 });
  const first = entered(door, "203.0.113.1");
  entered(door, "203.0.113.2");
  assert.equal(refusal(door, "203.0.113.3"), "source-connections");
  entered(door, "198.51.100.1");
  first.left();
  first.left();
  entered(door, "203.0.113.3");
  assert.equal(refusal(door, "203.0.113.3"), "source-connections");
});

test("handshakes are counted until they are over, of a source, in all, and of a source in a window", () => {
  const door = open({ handshakesMax: 3, handshakesPerPrefixMax: 2, handshakesPerPrefixWindowMax: 4 });
  const [first, second] = [entered(door, "203.0.113.1", true), entered(door, "203.0.113.1", true)];
  assert.equal(refusal(door, "203.0.113.1", true), "handshakes");
  entered(door, "203.0.113.1", false);
  entered(door, "198.51.100.1", true);
  assert.equal(refusal(door, "192.0.2.1", true), "handshakes", "three are under way");
  first.secured();
  second.left();
  for (const _ of [3, 4]) entered(door, "203.0.113.1", true).secured();
  assert.equal(refusal(door, "203.0.113.1", true), "handshakes", "four in the window");
  clock.ms += defaultDoorLimits.windowMs;
  entered(door, "203.0.113.1", true);
});

test("attack: a flood of addresses takes no more memory than it may, and locks out no newcomer that has room", () => {
  const door = open({ prefixesMax: 100 });
  entered(door, "203.0.113.1");
  for (let i = 0; i < 10_000; i++) {
    entered(door, `2001:db8:${(i & 0xffff).toString(16)}::1`).left();
    assert.ok(door.size <= 100);
  }
  for (let i = 0; i < 99; i++) entered(door, `10.0.${i}.1`);
  assert.equal(refusal(door, "192.0.2.1"), "sources", "all have something open");
  assert.ok(door.size <= 100);
});

test("attack: addresses of one site are one source, unless an operator narrows it", () => {
  const wide = open({ connectionsPerPrefixMax: 1 });
  entered(wide, "2001:db8:1:1::1");
  assert.equal(refusal(wide, "2001:db8:1:2::1"), "source-connections");
  const narrow = open({ connectionsPerPrefixMax: 1, prefixLengths: { v4: 32, v6: 64 } });
  entered(narrow, "2001:db8:1:1::1");
  assert.equal(refusal(narrow, "2001:db8:1:1:ffff::9"), "source-connections");
  entered(narrow, "2001:db8:1:2::1");
  entered(narrow, "203.0.113.1");
  entered(narrow, "203.0.113.2");
  assert.equal(refusal(narrow, "::ffff:203.0.113.2"), "source-connections");
});

test("a source is its leading bits, and two families are never one", () => {
  const of = (address: string, v4 = 20, v6 = 60) => sourceKey(sourceOf(address), { v4, v6 });
  assert.equal(of("203.0.112.1"), of("203.0.127.255"));
  assert.notEqual(of("203.0.112.1"), of("203.0.128.1"));
  assert.equal(of("2001:db8::1"), of("2001:db8:0:f::1"));
  assert.notEqual(of("2001:db8::1"), of("2001:db8:0:10::1"));
  assert.notEqual(of("0.0.0.1", 32, 64), of("::1", 32, 64));
  assert.equal(of("nonsense"), "other");
});
