// Control's own log in an archive store: a running process archives it, and an auditor without control gets it back and judges it.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Installation, isReady, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
let installation: Installation | null = null;
after(() => installation?.close());

const jsonOf = <T>(out: string): T => JSON.parse(out) as T; // as: what the command is documented to print

test(
  "a control plane archives its log, status says so, and what is fetched is judged without it",
  bounded,
  async () => {
    installation = await Installation.open();
    const { root } = installation;
    const storeFolder = join(root, "store");
    const storeFile = join(root, "archive.yaml");
    mkdirSync(storeFolder);
    writeFileSync(storeFile, "directory: store\nevery: 10s\n", { mode: 0o600 });
    const data = installation.data("control");
    const control = installation.serve("control", [
      ...installation.controlArguments(),
      "--data",
      data,
      "--archive-store",
      storeFile,
    ]);
    await control.line(isReady);
    const archived = async () =>
      jsonOf<{ origin: string; leaves: number }[]>(
        (await runBinary(["audit", "archived", "--archive-store", storeFile, "--json"])).out,
      );
    await until("the log to be archived", async () => (await archived()).length === 1);
    const client = installation.operator();
    const status = await client.call<{
      archive: { place: string; whole: number; fault: string | null; health: { keptBy: string } };
    }>("GET", "/v1/status");
    assert.equal(status.archive.place, storeFolder);
    assert.equal(status.archive.fault, null);
    assert.equal(status.archive.health.keptBy, "program");
    assert.equal((await control.signal("SIGTERM")).exit, 0);

    const [{ origin, leaves } = assert.fail()] = await archived();
    assert.match(origin, /^sallyport\.local\/main\/sallyport\/control-[0-9a-f]{8}\/control\/\d{4}$/);
    const out = join(root, "fetched");
    const fetched = await runBinary(["audit", "fetch", origin, "--archive-store", storeFile, "--out", out]);
    assert.equal(fetched.exit, 0, fetched.err);
    assert.match(fetched.out, new RegExp(`${leaves} leaves of ${origin}`));
    const [year = ""] = readdirSync(join(data, "log")).filter((name) => /^\d{4}$/.test(name));
    const older = join(root, "older");
    writeFileSync(older, readFileSync(join(out, year, "checkpoint")));
    const verified = await runBinary(["audit", "verify", out, "--older", older, "--live"]);
    assert.equal(verified.exit, 0, verified.out);
    const again = await runBinary(["audit", "fetch", origin, "--archive-store", storeFile, "--out", out]);
    assert.equal(again.exit, 2);
    assert.match(again.err, /not empty/);

    // Attack: a segment is taken out of the store, then one is changed in it.
    const wal = join(storeFolder, ...origin.split("/"), "wal");
    const [segment = ""] = readdirSync(wal).filter((name) => name.endsWith(".wal") && !name.startsWith("."));
    const bytes = readFileSync(join(wal, segment));
    bytes.writeUInt8(bytes.readUInt8(300) ^ 1, 300);
    writeFileSync(join(wal, segment), bytes);
    const spoiled = join(root, "spoiled");
    const refused = await runBinary(["audit", "fetch", origin, "--archive-store", storeFile, "--out", spoiled]);
    assert.equal(refused.exit, 1);
    assert.match(refused.err, /not whole/);
    const judged = await runBinary(["audit", "verify", spoiled, "--live"]);
    assert.equal(judged.exit, 1);
    assert.match(judged.out, /0000000000000000\.wal/);
  },
);

test("a store file that is missing, open to others, or wrong is a use error that names the fix", bounded, async () => {
  installation ??= await Installation.open();
  const path = join(installation.root, "open.yaml");
  writeFileSync(path, "directory: /nowhere\n", { mode: 0o644 });
  const list = (file: string) => runBinary(["audit", "archived", "--archive-store", file]);
  const [missing, open] = await Promise.all([list(join(installation.root, "none.yaml")), list(path)]);
  assert.equal(missing.exit, 2);
  assert.match(missing.err, /there is no file/);
  assert.equal(open.exit, 2);
  assert.match(open.err, /chmod 600/);
  const away = join(installation.root, "away.yaml");
  writeFileSync(away, "directory: not-mounted\n", { mode: 0o600 });
  const unreachable = await list(away);
  assert.equal(unreachable.exit, 3);
  assert.match(unreachable.err, /is it mounted/);
  const gateway = await runBinary(["serve", "--role", "gateway", "--archive-store", away]);
  assert.equal(gateway.exit, 2);
  assert.match(gateway.err, /give it to control/);
});
