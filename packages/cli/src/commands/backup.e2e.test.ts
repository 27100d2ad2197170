// The drill: a backup under load, a Tuesday full of revocations, the loss of everything, a restore. Real processes, both dialects.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import pg from "pg";
import { Installation, isReady, type Served, tinyIntegration, until } from "../installation.test-support.ts";
import { runBinary } from "../program.test-support.ts";

const bounded = { timeout: 200_000 };
const variable = "SALLYPORT_DRILL_STORE";

interface Drill {
  readonly role: "all" | "control";
  /** Environment of every command and process; a database of its own for the restored installation. */
  env(which: "lost" | "restored"): Readonly<Record<string, string>>;
  /** What is destroyed beside the data directory. */
  destroyStore(): Promise<void>;
}

/** Everything one dialect's drill knows of its installation. */
class Rehearsal {
  readonly installation: Installation;
  readonly drill: Drill;
  /** Ids of crossings that were answered, in order. */
  readonly acknowledged: string[] = [];
  #loading: Promise<void> = Promise.resolve();
  #isLoading = false;

  constructor(installation: Installation, drill: Drill) {
    this.installation = installation;
    this.drill = drill;
  }

  get store(): readonly string[] {
    return Object.keys(this.drill.env("lost")).length === 0 ? [] : ["--store", variable];
  }

  control(data: string): string {
    return this.drill.role === "all" ? join(data, "control") : data;
  }

  path(name: string): string {
    return join(this.installation.root, name);
  }

  run(which: "lost" | "restored", ...argv: string[]) {
    return runBinary(["--json", ...argv], this.drill.env(which));
  }

  /** Control, and in role all its gateway. */
  async serve(data: string, which: "lost" | "restored", config = true): Promise<Served> {
    const { ports } = this.installation;
    const listen = ["--listen", `public=127.0.0.1:${ports.gateway}`, "--grace", "0s"];
    const args = this.installation.controlArguments().slice(config ? 0 : 2);
    const own = this.drill.role === "all" ? listen : [];
    const served = this.installation.serve(
      this.drill.role,
      [...args, "--data", data, ...this.store, ...own],
      this.drill.env(which),
    );
    await served.line(isReady);
    return served;
  }

  /** In role all there is nothing to join. */
  async joinGateway(control: string, name: string): Promise<Served | null> {
    if (this.drill.role === "all") return null;
    const token = await this.joinToken(control);
    const served = this.gateway(name, token);
    await served.line(isReady);
    return served;
  }

  async joinToken(control: string): Promise<string> {
    const operator = this.installation.operator(join(control, "operator.key.json"));
    const route = "/v1/groups/production-default/join-tokens";
    return (await operator.call<{ token: string }>("POST", route, { lifetimeMs: 600_000 })).token;
  }

  gateway(name: string, token: string | null): Served {
    const file = this.path(`${name}.token`);
    if (token !== null) writeFileSync(file, token, { mode: 0o600 });
    const listen = ["--listen", `public=127.0.0.1:${this.installation.ports.gateway}`, "--grace", "0s"];
    const joining = token === null ? [] : ["--join-file", file];
    return this.installation.serve("gateway", ["--data", this.path(name), ...listen, ...joining]);
  }

  load(): void {
    this.#isLoading = true;
    const { fetch } = this.installation.caller();
    const one = async () => {
      while (this.#isLoading) {
        const answer = await fetch("/billing/v1/invoices/in-1");
        await answer.arrayBuffer();
        if (answer.status === 200) this.acknowledged.push(answer.headers.get("sallyport-crossing") ?? "");
      }
    };
    this.#loading = Promise.all(Array.from({ length: 4 }, one)).then(() => undefined);
  }

  async endLoad(): Promise<void> {
    this.#isLoading = false;
    await this.#loading;
  }
}

function drillOf(name: string, prepare: () => Promise<{ readonly drill: Drill; close(): Promise<void> }>): void {
  describe(name, () => {
    let rehearsal: Rehearsal;
    let close: () => Promise<void>;
    before(async () => {
      const prepared = await prepare();
      close = prepared.close;
      rehearsal = new Rehearsal(await Installation.open(), prepared.drill);
    }, bounded);
    after(async () => {
      await rehearsal.installation.close();
      await close();
    });

    test(
      "backed up under load, lost, restored to an empty place: it serves again, nothing revoked before is valid, the log verifies across the seam",
      bounded,
      () => rehearse(rehearsal),
    );
  });
}

async function rehearse(rehearsal: Rehearsal): Promise<void> {
  const { installation } = rehearsal;
  const lost = rehearsal.path("lost");
  const file = rehearsal.path("monday.sallyport");
  const key = rehearsal.path("backup.key");
  // Monday: serving under load, a backup meanwhile.
  const control = await rehearsal.serve(lost, "lost");
  const gateway = await rehearsal.joinGateway(rehearsal.control(lost), "gateway-1");
  installation.trustRoots(join(rehearsal.control(lost), "ca"));
  const mondays = installation.caller();
  assert.equal((await mondays.fetch("/billing/v1/invoices/in-1")).status, 200);
  const unused = await rehearsal.joinToken(rehearsal.control(lost));
  const { recipient } = JSON.parse((await rehearsal.run("lost", "backup", "key", "new", "--out", key)).out);
  rehearsal.load();
  await until("load before the backup", () => rehearsal.acknowledged.length >= 50);
  await rotateDataKeys(rehearsal, rehearsal.control(lost));
  const before = rehearsal.acknowledged.length;
  const made = await rehearsal.run(
    "lost",
    ...["backup", "create", "--data", lost, "--out", file, "--to", recipient, ...rehearsal.store],
  );
  assert.equal(made.exit, 0, made.err);
  assert.ok(rehearsal.acknowledged.length > before, "calls went on while the backup was made");
  await rehearsal.endLoad();
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(
    readdirSync(installation.root).filter((found) => found.includes(".partial")),
    [],
  );
  // Tuesday: a suspension, a client key that its owner took back, an operator whose key file is copied.
  const operator = installation.operator(join(rehearsal.control(lost), "operator.key.json"));
  const stolen = rehearsal.path("stolen.key.json");
  copyFileSync(join(rehearsal.control(lost), "operator.key.json"), stolen);
  await operator.call("POST", `/v1/integrations/${tinyIntegration}/suspend`, { reason: "incident" });
  const fresh = generateClientKey();
  installation.writeEstate({ "systems/orders.jwks.json": JSON.stringify({ keys: [fresh.signer.jwk] }) });
  // Wednesday: the machine is gone.
  await control.signal("SIGKILL");
  rmSync(lost, { recursive: true });
  await rehearsal.drill.destroyStore();
  const restored = rehearsal.path("restored");
  await restoreTwice(rehearsal, { file, key, restored });
  await gateway?.signal("SIGKILL");
  await judgeRestored(rehearsal, { restored, unused, stolen, fresh, mondays });
  await judgeLog(rehearsal, { restored, before });
}

const dataKeys = (rehearsal: Rehearsal, control: string, ...argv: readonly string[]) =>
  rehearsal.run("lost", "--operator", join(control, "operator.key.json"), "key", ...argv);

/** Under load: nobody who calls notices. */
async function rotateDataKeys(rehearsal: Rehearsal, control: string): Promise<void> {
  const from = rehearsal.acknowledged.length;
  const rotated = await dataKeys(rehearsal, control, "rotate-data", "--reason", "the yearly change");
  assert.equal(rotated.exit, 0, rotated.err);
  assertRotatedOnce(rotated.out);
  await until("calls after the rotation", () => rehearsal.acknowledged.length > from);
}

function assertRotatedOnce(out: string): void {
  const rows: readonly { purpose: string; version: number; older: number }[] = JSON.parse(out);
  assert.equal(rows[0]?.purpose, "tenant");
  for (const purpose of ["control-secret", "token-key"]) {
    const row = rows.find((one) => one.purpose === purpose);
    assert.deepEqual([row?.version, row?.older], [2, 1], purpose);
  }
}

/** A dry run changes nothing, a restore only goes to an empty place, and two of one file are two installations. */
async function restoreTwice(
  rehearsal: Rehearsal,
  { file, key, restored }: { readonly file: string; readonly key: string; readonly restored: string },
): Promise<void> {
  const restore = (data: string, ...more: string[]) =>
    rehearsal.run(
      "restored",
      "restore",
      file,
      "--key",
      key,
      "--data",
      data,
      "--unknown-signer",
      ...rehearsal.store,
      ...more,
    );
  const dry = await restore(restored, "--dry-run");
  assert.equal(dry.exit, 0, dry.err);
  assert.ok(!existsSync(restored));
  const real = await restore(restored);
  assert.equal(real.exit, 0, real.err);
  const [would, did] = [JSON.parse(dry.out), JSON.parse(real.out)];
  assert.deepEqual([would.dryRun, did.dryRun], [true, false]);
  assert.deepEqual(would.ended, did.ended, "the dry run said exactly what would end");
  assert.equal(did.ended.operators, 1);
  assert.ok(did.ended.joinTokens >= 1 && did.ended.nodes >= 1 && did.ended.keys >= 4);
  assert.ok(did.epoch > did.epochBefore && did.epoch > would.epoch);
  const again = await restore(restored);
  assert.equal(again.exit, 2);
  assert.match(again.err, /not empty|has tables/);
  const argv = ["restore", file, "--key", key, "--data", rehearsal.path("second")];
  const unsaid = await rehearsal.run("restored", ...argv);
  assert.equal(unsaid.exit, 2, "a backup that nobody vouches for is not taken by default");
  assert.match(unsaid.err, /--unknown-signer/);
  assert.ok(!existsSync(rehearsal.path("second")));
  const second = await rehearsal.run("restored", ...argv, "--signer", did.signer);
  assert.equal(second.exit, 0, second.err);
  assert.ok(JSON.parse(second.out).epoch > did.epoch, "a second restore of one file never has the epoch of the first");
}

interface After {
  readonly restored: string;
  readonly unused: string;
  readonly stolen: string;
  readonly fresh: ReturnType<typeof generateClientKey>;
  readonly mondays: ReturnType<Installation["caller"]>;
}

async function judgeRestored(rehearsal: Rehearsal, has: After): Promise<void> {
  const { installation } = rehearsal;
  const control = rehearsal.control(has.restored);
  const served = await rehearsal.serve(has.restored, "restored");
  const operator = installation.operator(join(control, "operator.key.json"));
  // What it seals and opens now, it does with the keys of a rotation that the backup knows.
  const listed = await dataKeys(rehearsal, control, "list-data");
  assert.equal(listed.exit, 0, listed.err);
  assertRotatedOnce(listed.out);
  // The operator's key of before, and a join token nobody had used at the backup.
  await assert.rejects(installation.operator(has.stolen).call("GET", "/v1/status"), { exit: 4 });
  if (rehearsal.drill.role === "control") {
    const refused = await rehearsal.gateway("thief", has.unused).ended;
    assert.equal(refused.exit, 4, refused.output);
    // The gateway that survived: its certificate was never revoked by anybody but the restore.
    const survivor = rehearsal.gateway("gateway-1", null);
    await survivor.line(({ msg }) => String(msg).includes("the channel to control is interrupted"));
    await survivor.signal("SIGKILL");
  }
  await rehearsal.joinGateway(control, "gateway-2");
  const caller = installation.caller(has.fresh.signer);
  const upstream = installation.upstreamRequests;
  // Suspended on Tuesday: on hold, and status says why.
  await assert.rejects(caller.token());
  const status = await operator.call<{ inactive: { id: string }[]; warnings: string[] }>("GET", "/v1/status");
  assert.deepEqual(
    status.inactive.map(({ id }) => id),
    [tinyIntegration],
  );
  assert.ok(status.warnings.some((warning) => warning.includes("on hold") && warning.includes(tinyIntegration)));
  const confirmed = await runBinary(
    ["--json", "--operator", join(control, "operator.key.json"), "integration", "confirm", "--reason", "looked"],
    {},
  );
  assert.equal(confirmed.exit, 0, confirmed.err);
  // A fresh token of the present key: served again.
  await until("the confirmation is obeyed", async () => {
    const answer = await caller.fetch("/billing/v1/invoices/in-1").catch(() => null);
    return answer?.status === 200;
  });
  const after = installation.upstreamRequests;
  assert.ok(after > upstream);
  // Monday's token and Monday's client key, which was taken back on Tuesday.
  const old = await has.mondays.fetch("/billing/v1/invoices/in-1");
  assert.equal(old.status, 401, await old.text());
  await assert.rejects(installation.caller().token(), /invalid_client/);
  assert.equal(installation.upstreamRequests, after, "nothing of before reached the upstream");
  await served.signal("SIGTERM");
}

async function judgeLog(
  rehearsal: Rehearsal,
  { restored, before }: { readonly restored: string; readonly before: number },
): Promise<void> {
  const log = join(rehearsal.control(restored), "log");
  const verified = await rehearsal.run("restored", "audit", "verify", log);
  assert.equal(verified.exit, 0, verified.out + verified.err);
  const { origins } = JSON.parse(verified.out);
  assert.equal(origins.length, 2);
  const first = JSON.parse(origins[1].firstLeaf);
  assert.deepEqual([first.previousOrigin, first.previousSize], [origins[0].origin, origins[0].size]);
  if (rehearsal.drill.role === "control") return;
  // Every crossing acknowledged before the backup began is in the restored gateway's history, which also verifies across the seam.
  const crossings = join(restored, "gateway", "log");
  const whole = await rehearsal.run("restored", "audit", "verify", crossings);
  assert.equal(whole.exit, 0, whole.out + whole.err);
  for (const id of [rehearsal.acknowledged[0], rehearsal.acknowledged[before - 1]]) {
    const shown = await rehearsal.run("restored", "audit", "show", id ?? "", "--log", crossings);
    assert.equal(shown.exit, 0, `${id}: ${shown.err}`);
  }
  // One changed byte behind the seam is found from the newer log.
  const segment = join(crossings, "before", "2026", "wal", "0000000000000000.wal");
  const year = readdirSync(join(crossings, "before")).find((found) => /^\d{4}$/.test(found)) ?? "2026";
  const path = segment.replace("2026", year);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  assert.equal((await rehearsal.run("restored", "audit", "verify", crossings)).exit, 1);
}

drillOf("sqlite, control and gateway in one process", async () => ({
  drill: { role: "all", env: () => ({}), destroyStore: async () => undefined },
  close: async () => undefined,
}));

drillOf("postgres, control and gateway apart", async () => {
  const server = await testServer();
  const admin = new pg.Client({ connectionString: server.url });
  await admin.connect();
  const suffix = `${process.pid}_${Date.now()}`;
  const names = { lost: `drill_lost_${suffix}`, restored: `drill_restored_${suffix}` };
  for (const name of Object.values(names)) await admin.query(`CREATE DATABASE ${name}`);
  const urlOf = (name: string) => Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  return {
    drill: {
      role: "control",
      env: (which) => ({ [variable]: urlOf(names[which]) }),
      destroyStore: async () => void (await admin.query(`DROP DATABASE ${names.lost} WITH (FORCE)`)),
    },
    close: async () => {
      for (const name of Object.values(names)) await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await admin.end();
      await server.stop();
    },
  };
});
