// What a start refuses, as an operator meets it: the words, the fix, the exit code, and that nothing was lost by it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { startControl } from "@sallyport/control/control.ts";
import { systemDirectoryPorts } from "@sallyport/kernel/store/directory.ts";
import { CommandEnd } from "./exit.ts";
import { Installation, isReady, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
const folders: string[] = [];

/** An installation whose control was started once, with its estate applied, and stopped. */
before(async () => {
  installation = await Installation.open();
  const control = await installation.startControl();
  assert.equal((await control.signal("SIGTERM")).exit, 0);
}, bounded);
after(async () => {
  await installation.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A copy of the stopped control's data directory, to be spoiled. */
function copyOfData(name: string): string {
  const copy = installation.data(name);
  execFileSync("cp", ["-a", installation.data("control"), copy]);
  return copy;
}

const serveOn = (data: string, env: Readonly<Record<string, string>> = {}, more: readonly string[] = []) =>
  installation.serve("control", [...installation.controlArguments(), "--data", data, ...more], env);

/** The end of a start that must not succeed. */
async function refusal(data: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { exit, output } = await serveOn(data, env).ended;
  assert.equal(exit, 2, output);
  assert.doesNotMatch(output, /unexpected:|"event":"ready"/, output);
  return output;
}

/** What was refused starts when the cause is gone: nothing was lost. */
async function startsAgain(data: string): Promise<void> {
  const control = serveOn(data);
  await control.line(isReady);
  assert.equal((await control.signal("SIGTERM")).exit, 0);
}

test(
  "another KEK than the one the data was sealed with is refused, and the right one opens everything again",
  bounded,
  async () => {
    const data = copyOfData("wrong-kek");
    copyFileSync(join(data, "kek.key"), join(data, "kek.kept"));
    chmodSync(join(data, "kek.key"), 0o600);
    writeFileSync(join(data, "kek.key"), Buffer.alloc(32, 7), { mode: 0o600 });
    assert.match(await refusal(data), /kek-wrong|another key encryption key|was sealed/i);
    copyFileSync(join(data, "kek.kept"), join(data, "kek.key"));
    await startsAgain(data);
  },
);

test("a missing KEK over existing data is refused and never made anew", bounded, async () => {
  const data = copyOfData("missing-kek");
  const kek = readFileSync(join(data, "kek.key"));
  rmSync(join(data, "kek.key"));
  assert.match(await refusal(data), /kek\.key/);
  assert.throws(() => readFileSync(join(data, "kek.key")), { code: "ENOENT" });
  writeFileSync(join(data, "kek.key"), kek, { mode: 0o600 });
  await startsAgain(data);
});

test("a KEK or a data directory that others may read is refused with the chmod that mends it", bounded, async () => {
  const data = copyOfData("open-modes");
  chmodSync(data, 0o750);
  assert.match(await refusal(data), /mode 0750.*chmod 0700/);
  chmodSync(data, 0o700);
  chmodSync(join(data, "kek.key"), 0o640);
  assert.match(await refusal(data), /kek\.key.*chmod 600/);
  chmodSync(join(data, "kek.key"), 0o600);
  chmodSync(join(data, "control.sqlite"), 0o644);
  assert.match(await refusal(data), /control\.sqlite.*chmod 0600/);
  chmodSync(join(data, "control.sqlite"), 0o600);
});

test("a gateway's data directory that others may read is refused before its join token is spent", bounded, async () => {
  const data = installation.data("open-gateway");
  mkdirSync(data, { mode: 0o755 });
  chmodSync(data, 0o755);
  const { exit, output } = await installation.serve("gateway", ["--data", data]).ended;
  assert.equal(exit, 2);
  assert.match(output, /mode 0755.*chmod 0700/);
});

test("a port in use is named, whether it is the first listener or the last", bounded, async () => {
  const data = copyOfData("port-in-use");
  for (const listener of ["identity", "admin"] as const) {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(installation.ports[listener], "127.0.0.1", resolve));
    const output = await refusal(data);
    assert.match(output, new RegExp(`port ${installation.ports[listener]} is in use`));
    await new Promise((resolve) => taken.close(resolve));
  }
});

test("a second process on one data directory is refused, and the first goes on", bounded, async () => {
  const data = copyOfData("twice");
  const first = serveOn(data);
  await first.line(isReady);
  const second = installation.serve("control", [
    ...["--config", installation.estate, "--data", data, "--identity-listen", "127.0.0.1:0"],
    ...["--channel-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
  ]);
  const { exit, output } = await second.ended;
  assert.equal(exit, 2);
  assert.match(output, /in use by another process/);
  await installation.operator(join(data, "operator.key.json")).call("GET", "/v1/status");
  assert.equal((await first.signal("SIGTERM")).exit, 0);
});

test("a corrupt database is refused with what to do, and is not written to", bounded, async () => {
  const data = copyOfData("corrupt");
  const path = join(data, "control.sqlite");
  writeFileSync(path, Buffer.concat([Buffer.from("not a database, but long enough "), Buffer.alloc(8_192, 0xa5)]), {
    mode: 0o600,
  });
  for (const more of ["-wal", "-shm"]) rmSync(`${path}${more}`, { force: true });
  const before = readFileSync(path);
  assert.match(await refusal(data), /store-corrupt/);
  assert.ok(before.equals(readFileSync(path)));
});

test("data of a newer version is refused by this one", bounded, async () => {
  const data = copyOfData("newer");
  const database = new DatabaseSync(join(data, "control.sqlite"));
  database.exec(
    "INSERT INTO schema_version (capability, version, name, checksum, applied_at) VALUES ('registry', 999, 'of tomorrow', 'x', 0)",
  );
  database.close();
  assert.match(await refusal(data), /schema-newer/);
});

test("a data directory on a network file system is refused before anything is made in it", bounded, async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-nfs-"));
  folders.push(folder);
  const place = { host: "127.0.0.1", port: 0, url: null };
  const nfs = 0x6969;
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  await assert.rejects(
    startControl({
      ...{ tenant: "main", region: "default", dataDirectory: folder, storeUrl: null, checkpointCopy: null },
      ...{ identity: place, channel: place, admin: place, clock: systemClock, random: systemRandom, logger: silent },
      ...{ snapshotLifetimeMs: 60_000, heartbeatMs: 1_000, rotateEveryMs: 60_000 },
      directory: { ...systemDirectoryPorts, fileSystemType: () => nfs },
    }),
    { code: "network-file-system" },
  );
  assert.throws(() => readFileSync(join(folder, "node-id")), { code: "ENOENT" });
});

test("NODE_TLS_REJECT_UNAUTHORIZED=0 is refused, for every role", bounded, async () => {
  const refused = (["all", "control", "gateway"] as const).map(async (role) => {
    const data = installation.data(`unverified-${role}`);
    const started = installation.serve(role, ["--data", data], { NODE_TLS_REJECT_UNAUTHORIZED: "0" });
    const { exit, output } = await started.ended;
    assert.equal(exit, 2, output);
    assert.match(output, /NODE_TLS_REJECT_UNAUTHORIZED/);
    assert.throws(() => readFileSync(join(data, "node-id")), { code: "ENOENT" });
  });
  await Promise.all(refused);
});

test(
  "malformed YAML and Cedar are reported with file and line while everything else is served, and the start stands",
  bounded,
  async () => {
    installation.writeEstate({
      "systems/broken.yaml": "system: broken\nurl: [unclosed\n",
      "policies/broken.cedar": "permit (principal, action, resource) when { this is not cedar };\n",
    });
    const data = copyOfData("malformed");
    const control = serveOn(data);
    const ready = await control.line(isReady);
    assert.deepEqual((ready["readiness"] as { ready: boolean }).ready, true);
    // A process writes its lines; in which order they are read beside the ready one is not promised.
    await control.line(({ level, file, line }) => level === 50 && file === "systems/broken.yaml" && Number(line) >= 2);
    await control.line(({ level, file }) => level === 50 && file === "policies/broken.cedar");
    const status = await installation
      .operator(join(data, "operator.key.json"))
      .call<{ groups: { broken: { object: string; file: string; line: number }[] }[] }>("GET", "/v1/status");
    const broken = status.groups.flatMap((group) => group.broken);
    assert.ok(
      broken.some(({ file, line }) => file === "systems/broken.yaml" && line >= 2),
      JSON.stringify(broken),
    );
    const integrations = await installation
      .operator(join(data, "operator.key.json"))
      .call<{ id: string; state: string }[]>("GET", "/v1/integrations");
    assert.deepEqual(
      integrations.map(({ id, state }) => [id, state]),
      [["orders-to-billing", "active"]],
    );
    assert.equal((await control.signal("SIGTERM")).exit, 0);
    for (const file of ["systems/broken.yaml", "policies/broken.cedar"]) rmSync(join(installation.estate, file));
  },
);

test("a full disk: acts are denied in words, what was acknowledged is there afterwards, and space brings everything back", {
  ...bounded,
  skip: canMount() ? false : "needs the right to mount a small file system",
}, async () => {
  const place = mkdtempSync(join(tmpdir(), "sallyport-full-"));
  folders.push(place);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs", place]);
  try {
    const data = join(place, "control");
    execFileSync("cp", ["-a", installation.data("control"), data]);
    const control = serveOn(data);
    await control.line(isReady);
    const operator = installation.operator(join(data, "operator.key.json"));
    const acts = ["suspend", "activate"] as const;
    let done = 0;
    const act = async () => {
      const verb = acts[done % 2];
      await operator.call("POST", `/v1/integrations/orders-to-billing/${verb}`, { reason: `act ${done}` });
      done += 1;
    };
    await act();
    execFileSync("sh", ["-c", `dd if=/dev/zero of=${place}/fill bs=4k 2>/dev/null || true`]);
    let refused: unknown = null;
    await until("an act is refused", () =>
      act().then(
        () => false,
        (error: unknown) => {
          refused = error;
          return true;
        },
      ),
    );
    assert.ok(refused instanceof CommandEnd);
    assert.deepEqual(refused.exit, 3);
    assert.match(refused.message, /space|full/);
    rmSync(join(place, "fill"));
    await until("acts are taken again", () =>
      act().then(
        () => true,
        () => false,
      ),
    );
    assert.equal((await control.signal("SIGKILL")).exit, null);
    const again = serveOn(data);
    await again.line(isReady);
    const [integration] = await installation
      .operator(join(data, "operator.key.json"))
      .call<{ state: string }[]>("GET", "/v1/integrations");
    assert.equal(integration?.state, done % 2 === 1 ? "suspended" : "active", "the last acknowledged act");
    assert.equal((await again.signal("SIGTERM")).exit, 0);
    const verified = await runBinary(["audit", "verify", join(data, "log")]);
    assert.equal(verified.exit, 0, verified.out + verified.err);
  } finally {
    execFileSync("umount", ["-l", place]);
  }
});

function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), "sallyport-mount-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", probe], { stdio: "ignore" });
    execFileSync("umount", [probe], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
