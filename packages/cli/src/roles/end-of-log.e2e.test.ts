// A sync that fails under the running program: it ends at once, says which volume and what to do, and the restart serves with all it acknowledged.
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Installation, isReady, tinyGrant } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
const data = () => installation.data("control");
const broken = () => join(installation.root, "disk-broken");
const start = () =>
  installation.serve(
    "all",
    [
      ...installation.controlArguments(),
      ...["--data", data(), "--listen", `public=127.0.0.1:${installation.ports.gateway}`, "--grace", "0s"],
    ],
    {
      NODE_OPTIONS: `--import=${new URL("./failing-sync.test-support.ts", import.meta.url).href}`,
      TEST_DISK_BROKEN_FILE: broken(),
    },
  );

before(async () => {
  installation = await Installation.open();
  installation.writeEstate({ "integrations/orders-to-billing.yaml": tinyGrant("10s") });
}, bounded);
after(() => installation.close());

test(
  "a failed fdatasync ends the process with code 1, names the volume, the file and what to do, and lets nothing pass unrecorded",
  bounded,
  async () => {
    const all = start();
    await all.line(isReady);
    installation.trustRoots(join(data(), "control", "ca"));
    const caller = installation.caller();
    const ask = () => caller.fetch(`https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/1`);
    assert.equal((await ask()).status, 200);
    const before = installation.upstreamRequests;
    writeFileSync(broken(), "");
    const answer = await ask().catch((error: unknown) => error);
    assert.ok(!(answer instanceof Response && answer.ok), "an answer without its record");
    const { exit, output } = await all.ended;
    assert.equal(exit, 1);
    assert.match(output, /the log in \S+\/log ended because its disk failed \(\S+\.wal could not be synced: EIO/);
    assert.match(output, /volume \S+ mounted at \//);
    assert.match(output, /mend or replace it, then start again/);
    // A read was forwarded before its record, at most this one; its answer was not released.
    assert.ok(installation.upstreamRequests <= before + 1);

    rmSync(broken());
    const again = start();
    await again.line(isReady);
    assert.equal((await ask()).status, 200);
    await again.signal("SIGTERM");
    for (const part of ["gateway", "control"]) {
      const verified = await runBinary(["audit", "verify", join(data(), part, "log")]);
      assert.equal(verified.exit, 0, verified.out + verified.err);
    }
  },
);
