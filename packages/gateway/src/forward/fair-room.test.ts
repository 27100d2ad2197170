// Who has room at a provider that has all it is given, and who has a place in a full line: docs/resilience.md "Who comes first".
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Priority } from "@sallyport/protocol/snapshot/limit-objects.ts";
import { type Claimant, FairRoom, wantMs } from "./fair-room.ts";
import { type Waiter, WaitingLine } from "./waiting-line.ts";

const claim = (who: string, priority: Priority = "normal"): Claimant => ({ who, priority });
const took = (room: FairRoom, who: string, times: number): void => {
  for (let i = 0; i < times; i++) room.took(claim(who));
};

describe("room", () => {
  test("nobody is asked while nobody wants: one may have all of it", () => {
    const room = new FairRoom();
    took(room, "greedy", 9);
    assert.equal(room.refusal(claim("greedy"), 10, 0), null);
  });

  test("who has its share waits while another wants, until that one has had its own, or does not want any more", () => {
    const room = new FairRoom();
    took(room, "greedy", 9);
    room.wants(claim("modest"), 0);
    assert.equal(room.refusal(claim("greedy"), 10, 1), "share");
    assert.equal(room.refusal(claim("modest"), 10, 1), null);
    assert.equal(room.refusal(claim("greedy"), 10, wantMs), null, "it did not come back");
    room.wants(claim("modest"), wantMs);
    room.took(claim("modest"));
    assert.equal(room.refusal(claim("greedy"), 10, wantMs + 1), null, "it has what it wanted");
  });

  test("shares are equal over those that use or want it, and the one below its share is not held back", () => {
    const room = new FairRoom();
    took(room, "a", 3);
    took(room, "b", 5);
    room.wants(claim("c"), 0);
    assert.equal(room.refusal(claim("a"), 10, 1), "share", "3 of 10 between three");
    room.left(claim("a"));
    assert.equal(room.refusal(claim("a"), 10, 1), null);
    assert.equal(room.refusal(claim("b"), 10, 1), "share");
  });

  test("a higher priority that wants comes before all lower ones; a lower one never holds a higher back", () => {
    const room = new FairRoom();
    room.wants(claim("urgent", "high"), 0);
    assert.equal(room.refusal(claim("other"), 10, 1), "priority");
    assert.equal(room.refusal(claim("batch", "low"), 10, 1), "priority");
    assert.equal(room.refusal(claim("urgent too", "high"), 10, 1), null);
    const calm = new FairRoom();
    took(calm, "urgent", 9);
    calm.wants(claim("batch", "low"), 0);
    assert.equal(calm.refusal(claim("urgent", "high"), 10, 1), null);
  });

  test("attack: ten thousand that want are remembered by the thousand, and what is over is forgotten", () => {
    const room = new FairRoom();
    took(room, "greedy", 2);
    for (let i = 0; i < 10_000; i++) room.wants(claim(`crowd-${i}`), i / 1_000);
    assert.equal(room.refusal(claim("greedy"), 10, 11), "share");
    assert.equal(room.refusal(claim("greedy"), 10, 11 + wantMs), null);
  });
});

describe("a line", () => {
  function line(room: FairRoom = new FairRoom()) {
    const waiting = new WaitingLine(room);
    const went: string[] = [];
    const shed: string[] = [];
    const join = (name: string, who: string, priority: Priority = "normal"): void => {
      const waiter: Waiter = {
        claimant: claim(who, priority),
        go: () => went.push(name) > 0,
        shed: (rule) => void shed.push(`${name} ${rule}`),
      };
      waiting.join(waiter);
    };
    const drain = (): string => {
      while (waiting.length > 0) waiting.room();
      return went.join(" ");
    };
    return { waiting, join, drain, shed };
  }

  test("goes by priority, then by who has least under way, then in order", () => {
    const room = new FairRoom();
    took(room, "greedy", 5);
    took(room, "some", 1);
    const { join, drain } = line(room);
    join("low", "nobody", "low");
    join("g1", "greedy");
    join("s1", "some");
    join("m1", "modest");
    join("g2", "greedy");
    join("m2", "modest");
    join("urgent", "greedy", "high");
    assert.equal(drain(), "urgent m1 m2 s1 g1 g2 low");
  });

  test("that is full gives the place of its last to one that comes before it, and to nobody else", () => {
    const { waiting, join, shed } = line();
    for (const n of [1, 2, 3]) join(`g${n}`, "greedy");
    assert.equal(waiting.displace(claim("greedy")), false);
    assert.equal(waiting.displace(claim("late", "low")), false);
    assert.equal(waiting.displace(claim("modest")), true);
    assert.deepEqual(shed, ["g3 share"]);
    join("m1", "modest");
    assert.equal(waiting.displace(claim("modest")), false, "as many each");
    assert.equal(waiting.displace(claim("urgent", "high")), true);
    assert.deepEqual(shed, ["g3 share", "g2 priority"]);
  });
});
