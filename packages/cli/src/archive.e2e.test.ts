// What control's archive is for, in real processes: a gateway is lost with its disk, and nothing it shipped is.
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ControlStatus } from "@sallyport/control/admin/actions.ts";
import { sealedSegments } from "@sallyport/control/audit/archive/sealed-segments.ts";
import { openHeldLogs } from "@sallyport/kernel/log/held-log.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { Installation, isReady, type Served, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
let control: Served;
let gateway: Served;
let node = "";
/** A crossing that was denied by the gateway that is lost later. */
let denied = "";

before(async () => {
  installation = await Installation.open();
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation.close());

const status = () => installation.operator().call<ControlStatus>("GET", "/v1/status");
const key = () => ["--operator", installation.operatorKey];

async function cross(count: number): Promise<void> {
  const caller = installation.caller();
  for (let n = 0; n < count; n++) assert.equal((await caller.fetch("/billing/v1/invoices/in-1")).status, 200);
}

/** The node's newest log, once all that it signed is archived; at least `leaves` of it. */
async function archived(leaves: number) {
  // The answer that said so: by the next one the gateway may have written more.
  let found: ControlStatus["log"]["kept"][number] | undefined;
  await until("the log is archived", async () => {
    found = (await status()).log.kept.find((kept) => kept.node === node);
    return found !== undefined && found.archived.behind === 0 && found.archived.leaves >= leaves;
  });
  return found ?? assert.fail("kept");
}

test(
  "a gateway ships by itself, status says how far, and the archive verifies under the checkpoints kept",
  bounded,
  async () => {
    await cross(20);
    const refused = await installation.caller().fetch("/billing/v1/invoices", { method: "POST", body: "{}" });
    denied = refused.headers.get("sallyport-crossing") ?? "";
    node = (await status()).gateways[0]?.node ?? assert.fail("no gateway");
    const { origin, archived: held } = await archived(23);
    assert.deepEqual([held.behindSince, held.refused, held.trouble], [null, null, null]);
    const kept = join(installation.root, "kept");
    assert.equal((await runBinary(["audit", "checkpoints", "--out", kept, ...key()])).exit, 0);
    const verified = await runBinary([
      "audit",
      "verify",
      installation.data("control"),
      "--archive",
      node,
      "--older",
      kept,
    ]);
    assert.equal(verified.exit, 0, verified.out + verified.err);
    assert.match(verified.out, new RegExp(`^origin +${origin}$`, "m"));
    const list = await runBinary(["audit", "archive", "list", ...key()]);
    assert.equal(list.exit, 0, list.err);
    assert.match(list.out, /control-[0-9a-f]+\/control\/\d{4} +own /);
    assert.match(list.out, new RegExp(`^${origin} +archive +[0-9]+ `, "m"));
    // A gateway writes and signs a record every minute by itself, which is behind for a moment.
    await until("status says archived", async () =>
      new RegExp(`log ${origin}: .*, archived$`, "m").test((await runBinary(["status", ...key()])).out),
    );
  },
);

/** What a node's metrics say of records that control does not hold, and when they were asked. */
async function unshipped(): Promise<{
  readonly records: number;
  readonly seconds: number;
  readonly askedMs: readonly [number, number];
}> {
  const from = Date.now();
  const { addresses } = (await gateway.line(isReady)) as unknown as { addresses: { readonly status: string } };
  const text = await (await fetch(`${addresses.status}/metrics`)).text();
  const value = (unit: string) =>
    Number(new RegExp(`^sallyport_shipping_behind_${unit}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1] ?? "NaN");
  return { records: value("records"), seconds: value("seconds"), askedMs: [from, Date.now()] };
}

/** The only log below a directory, as far as it is signed, and when a record of it was made. */
async function signedLog(directory: string) {
  const held = openHeldLogs({ directories: () => [directory], disk: realDisk() });
  try {
    const [log] = await held.origins();
    if (log === undefined) return assert.fail(`no log in ${directory}`);
    return {
      size: log.size,
      madeAt: async (index: number): Promise<number> => {
        const again = openHeldLogs({ directories: () => [directory], disk: realDisk() });
        const [record] = await again.read(log.origin, index, 1).finally(() => again.close());
        assert.ok(record, `record ${index} is there`);
        return Number(JSON.parse(Buffer.from(record.leaf).toString()).at);
      },
    };
  } finally {
    await held.close();
  }
}

test(
  "control is away: the gateway serves and says how many records control does not hold and how old they are, and none once it is back",
  bounded,
  async () => {
    const before = await archived(0);
    await until("nothing waits", async () => {
      const { records, seconds } = await unshipped();
      return records === 0 && seconds === 0;
    });
    const caller = installation.caller();
    await caller.token();
    await control.signal("SIGKILL");
    for (let n = 0; n < 30; n++) assert.equal((await caller.fetch("/billing/v1/invoices/in-1")).status, 200);
    const own = join(installation.data("gateway"), "log");
    const copy = join(installation.data("control"), "archive", "main", "production", node);
    const { size: held } = await signedLog(copy);
    // Exactly what is signed here and not held there; the node looks again each time it tries to ship.
    await until("the number of records that only the gateway has", async () => {
      const signed = await signedLog(own);
      const said = await unshipped();
      if (said.records !== signed.size - held || said.records < 30) return false;
      const oldestAt = await signed.madeAt(held);
      const [from, to] = said.askedMs;
      const [least, most] = [(from - oldestAt) / 1_000, (to - oldestAt) / 1_000];
      assert.ok(said.seconds >= least - 0.01 && said.seconds <= most + 0.01, `${least} ${said.seconds} ${most}`);
      return true;
    });
    control = await installation.startControl();
    const later = await archived(before.archived.leaves + 30);
    assert.equal(later.archived.refused, null);
    await until("nothing waits any more", async () => {
      const { records, seconds } = await unshipped();
      return records === 0 && seconds === 0;
    });
  },
);

test(
  "attack: a gateway's log is put back to an older copy and goes on: refused and named, and the archive stays as it was",
  bounded,
  async () => {
    await gateway.signal("SIGTERM");
    const log = join(installation.data("gateway"), "log");
    const copy = join(installation.root, "older-log");
    cpSync(log, copy, { recursive: true });
    gateway = await installation.startGateway();
    await cross(15);
    const before = await archived(70);
    await gateway.signal("SIGKILL");
    const newest = join(installation.root, "newest-log");
    renameSync(log, newest);
    cpSync(copy, log, { recursive: true });
    gateway = await installation.startGateway();
    await until("the log put back is refused", async () => {
      const kept = (await status()).log.kept.find((one) => one.node === node);
      return kept?.archived.refused === "rolled-back";
    });
    const after = (await status()).log.kept.find((one) => one.node === node);
    assert.equal(after?.archived.leaves, before.archived.leaves);
    assert.match((await runBinary(["status", ...key()])).out, /REFUSED \(rolled-back\)/);
    assert.ok((await status()).warnings.some((warning) => warning.startsWith(`${node}: a checkpoint of`)));
    await gateway.signal("SIGKILL");
    rmSync(log, { recursive: true });
    renameSync(newest, log);
    gateway = await installation.startGateway();
    const healed = await archived(before.archived.leaves + 1);
    assert.equal(healed.archived.refused, null, "the right log goes on");
  },
);

test(
  "a gateway is killed and its directory deleted: its log verifies, and why explains its denial, from the archive",
  bounded,
  async () => {
    // Counted before they cross: a moment later they may be archived already.
    const before = await archived(0);
    await cross(5);
    const { archived: held } = await archived(before.archived.leaves + 5);
    await gateway.signal("SIGKILL");
    rmSync(installation.data("gateway"), { recursive: true });
    const verified = await runBinary(["audit", "verify", installation.data("control"), "--archive", node, "--json"]);
    assert.equal(verified.exit, 0, verified.out);
    assert.ok(JSON.parse(verified.out).leaves >= held.leaves);
    const why = await runBinary(["why", denied, ...key()]);
    assert.equal(why.exit, 1, why.out + why.err);
    assert.match(why.out, /from the archive/);
    assert.match(why.out, /^code +not-granted$/m);
    assert.match(why.out, /^stage +bind$/m);
    const folder = join(installation.data("control"), "archive", "main", "production", node);
    const shown = await runBinary(["audit", "show", denied, "--log", folder]);
    assert.equal(shown.exit, 0, shown.err);
    for await (const { bytes, sha256, first, next } of sealedSegments(folder))
      assert.ok(bytes > 61 && next > first && /^[0-9a-f]{64}$/.test(sha256));
  },
);

test(
  "a new gateway in an empty directory has a name and an archive of its own; the old one stays",
  bounded,
  async () => {
    gateway = await installation.startGateway();
    await cross(3);
    const old = node;
    node = (await status()).gateways.find((one) => one.connected)?.node ?? assert.fail("no gateway");
    assert.notEqual(node, old);
    await archived(5);
    const archive = join(installation.data("control"), "archive", "main", "production");
    assert.deepEqual(readdirSync(archive).sort(), [old, node].sort());
    for (const name of [old, node])
      assert.equal((await runBinary(["audit", "verify", installation.data("control"), "--archive", name])).exit, 0);
    assert.equal((await runBinary(["audit", "verify", installation.data("control"), "--archive", "gw-none"])).exit, 2);
  },
);

test("a graceful end ships the last record before the process is gone", bounded, async () => {
  await cross(4);
  await gateway.signal("SIGTERM");
  const log = join(installation.data("gateway"), "log");
  const [year = ""] = readdirSync(log).filter((name) => /^\d{4}$/.test(name));
  const archive = join(installation.data("control"), "archive", "main", "production", node, year);
  const newest = (folder: string) => readFileSync(join(folder, "checkpoint"), "utf8");
  assert.equal(newest(archive), newest(join(log, year)));
  assert.ok(existsSync(join(archive, "wal")));
});
