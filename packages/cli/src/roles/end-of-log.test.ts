import assert from "node:assert/strict";
import { test } from "node:test";
import { endOfLog, volumeOf } from "./end-of-log.ts";

const mounts = [
  "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
  "30 22 0:26 / /var/lib rw - xfs /dev/mapper/old rw",
  "31 22 0:27 / /var/lib rw shared:1 - xfs /dev/mapper/data rw",
  "32 31 0:28 / /var/lib/with\\040space rw - ext4 /dev/sdb1 rw",
  "",
].join("\n");

for (const [path, device, mount] of [
  ["/srv/x", "/dev/vda", "/"],
  ["/var/lib", "/dev/mapper/data", "/var/lib"],
  ["/var/library", "/dev/vda", "/"],
  ["/var/lib/sallyport/log", "/dev/mapper/data", "/var/lib"],
  ["/var/lib/with space/log", "/dev/sdb1", "/var/lib/with space"],
] as const) {
  test(`the volume of ${path} is ${device}`, () => {
    assert.deepEqual(volumeOf(path, mounts), { device, mount });
  });
}

test("without a list of mounts the end still names the file and what to do", () => {
  assert.equal(volumeOf("/srv/x", ""), null);
  const end = endOfLog("/srv/x", new Error("the log in /srv/x/log ended because its disk failed (EIO)"));
  assert.equal(end.exit, 1);
  assert.match(end.message, /\/srv\/x\/log ended because its disk failed \(EIO\)/);
  assert.match(end.fix, /mend or replace it, then start again/);
});
