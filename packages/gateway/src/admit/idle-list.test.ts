import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdleList, type Idling } from "./idle-list.ts";

interface Member extends Idling<Member> {
  readonly name: number;
}

test("whoever comes and goes in whatever order, the list has the same members in the same order as a set", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 12 }), { maxLength: 200 }), (toggled) => {
      const members = Array.from({ length: 13 }, (_, name): Member => ({ name, longer: null, shorter: null }));
      const list = new IdleList<Member>();
      const model = new Set<number>();
      for (const name of toggled) {
        const member = members[name];
        assert.ok(member !== undefined);
        if (model.delete(name)) list.remove(member);
        else {
          model.add(name);
          list.add(member);
        }
        assert.deepEqual(
          [...list].map((one) => one.name),
          [...model],
        );
      }
    }),
    { seed: 20261201, numRuns: 300 },
  );
});
