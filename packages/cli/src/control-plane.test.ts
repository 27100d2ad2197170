// The control plane as an operator meets it, in this process, with its real store, log and sockets: first start, restart, acts, walls, keys.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { startControl } from "@sallyport/control/control.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { joinOnce } from "@sallyport/gateway/join/join.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import { parseJoinToken } from "@sallyport/protocol/join/join-token.ts";
import { openAdminClient } from "./admin-connection.ts";
import { type Applied, Bench, type Files, folder, integration, type Status } from "./control-bench.test-support.ts";
import { CommandEnd } from "./exit.ts";
import { until } from "./installation.test-support.ts";
import { openChannelTransport } from "./roles/channel-transport.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

const bounded = { timeout: 120_000 };
const sound = soundEstate();
const twoEnvironments: Files = {
  ...sound,
  "sallyport.yaml": "estate: default\nenvironments:\n  production:\n  staging:\n",
};

forEachDialect((dialect, open) => {
  let bench: Bench;
  /** What does not depend on the store is shown once: it is no test of the second dialect at all. */
  const testOnce: (title: string, body: () => Promise<void>) => void = (title, body) => {
    if (dialect === "sqlite") test(title, bounded, body);
  };
  beforeEach(() => {
    bench = new Bench(open);
  });
  afterEach(() => bench.stop());

  test(
    "a first start makes the operator key, the KEK, the roots and the log, readable by nobody else",
    bounded,
    async () => {
      const control = await bench.start();
      assert.equal(control.operatorKey, join(bench.data, "operator.key.json"));
      for (const name of [
        "operator.key.json",
        "kek.key",
        "node-id",
        ...(dialect === "sqlite" ? ["control.sqlite"] : []),
      ])
        assert.equal(statSync(join(bench.data, name)).mode & 0o777, 0o600, name);
      for (const name of [".", "ca", "log"]) assert.equal(statSync(join(bench.data, name)).mode & 0o777, 0o700, name);
      assert.match(readFileSync(join(bench.data, "ca", "control.pem"), "utf8"), /BEGIN CERTIFICATE/);
      assert.deepEqual((await control.readiness()).ready, false);
      assert.match((await control.readiness()).missing.join(), /sallyport apply/);
    },
  );

  test(
    "a restart keeps keys, pins, epochs and roots, makes no second operator, and every token made before still joins",
    bounded,
    async () => {
      const first = await bench.start();
      await bench.apply(sound);
      const kids = await bench.kids();
      const token = parseJoinToken(await first.joinToken(null));
      const files = ["operator.key.json", "kek.key", "node-id", "ca/control.pem", "ca/production.pem"];
      const kept = files.map((name) => readFileSync(join(bench.data, name), "utf8"));
      await bench.stop();
      const second = await bench.start();
      assert.equal(second.operatorKey, null);
      assert.deepEqual(
        files.map((name) => readFileSync(join(bench.data, name), "utf8")),
        kept,
      );
      assert.deepEqual(await bench.kids(), kids);
      assert.deepEqual((await second.readiness()).missing, []);
      const again = parseJoinToken(await second.joinToken(null));
      assert.deepEqual([again?.pin, again?.snapshotKey, again?.url], [token?.pin, token?.snapshotKey, token?.url]);
      assert.equal((await bench.call<Status>("GET", "/v1/status")).groups[0]?.epoch, 1);
      assert.deepEqual(bench.faults, []);
    },
  );

  test("apply is in force at once; a second one is empty and publishes nothing", bounded, async () => {
    await bench.start();
    const report = await bench.apply(sound);
    assert.equal(report.created.length, 4);
    assert.equal(await bench.state(), "active");
    const version = await bench.version();
    const again = await bench.apply(sound);
    assert.deepEqual([again.created, again.changed, again.removed], [[], [], []]);
    assert.equal(await bench.version(), version);
  });

  test("what another estate manages is a conflict that names both, and nothing of it is applied", bounded, async () => {
    await bench.start();
    await bench.apply(sound);
    const foreign = { ...sound, "sallyport.yaml": "estate: intruder\n" };
    await assert.rejects(bench.apply(foreign), /config:default.*config:intruder/);
    assert.equal(await bench.state(), "active");
  });

  test("a suspension survives re-apply, removal and re-adding, and only an operator lifts it", bounded, async () => {
    await bench.start();
    await bench.apply(sound);
    await bench.call("POST", `/v1/integrations/${integration}/suspend`, { reason: "incident" });
    await bench.apply(sound);
    assert.equal(await bench.state(), "suspended");
    const inactive = async () => (await bench.call<Status>("GET", "/v1/status")).inactive;
    assert.deepEqual(await inactive(), [
      { id: integration, environment: "production", state: "suspended", declaredAt: "systems/orders.yaml:4" },
    ]);
    const without = {
      ...sound,
      "systems/orders.yaml": "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\n",
    };
    await bench.apply(without);
    assert.equal(await bench.state(), undefined);
    await bench.apply(sound);
    assert.equal(await bench.state(), "suspended");
    await bench.call("POST", `/v1/integrations/${integration}/activate`, { reason: "over" });
    assert.equal(await bench.state(), "active");
    assert.deepEqual(await inactive(), []);
  });

  test(
    "a slip in an id is refused with the id that was probably meant, and suspends nothing; --absent cuts an id off before it exists",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(sound);
      const slip = integration.slice(0, -1);
      const act = (verb: string, id: string, body: object = {}) =>
        bench.call<{ state: string }>("POST", `/v1/integrations/${id}/${verb}`, { reason: "incident", ...body });
      for (const verb of ["suspend", "activate", "retire"]) {
        await assert.rejects(act(verb, slip), (error) => {
          assert.ok(error instanceof CommandEnd);
          assert.equal(error.exit, 1);
          assert.equal(error.message, `there is no integration ${slip} in production`);
          assert.ok(error.fix.startsWith(`did you mean \`${integration}\`?`), error.fix);
          assert.equal(error.fix.includes("--absent"), verb === "suspend");
          return true;
        });
      }
      await assert.rejects(act("suspend", integration, { environment: "staging" }), /in staging/);
      assert.equal(await bench.state(), "active");
      assert.equal((await act("suspend", slip, { absent: true })).state, "suspended");
      // Now there is a decided state, which may be changed and lifted without more words.
      assert.equal((await act("suspend", slip)).state, "suspended");
      assert.equal((await act("activate", slip)).state, "active");
      await assert.rejects(act("activate", slip), /there is no integration/);
      await assert.rejects(act("retire", integration, { absent: true }), /absent/);
    },
  );

  testOnce("a broken object is in status with file and line, and stops nothing else", async () => {
    await bench.start();
    await bench.apply({ ...sound, "systems/broken.yaml": "system: broken\nurl: ftp://nowhere\n" });
    const status = await bench.call<Status>("GET", "/v1/status");
    const broken = status.groups.flatMap((group) => group.broken);
    assert.deepEqual(
      broken.map(({ object, file, line }) => [object, file, line]),
      [["system/broken", "systems/broken.yaml", 2]],
    );
    assert.equal(await bench.state(), "active");
  });

  test(
    "an environment that an estate no longer names is withdrawn: its gateways are sent a snapshot with nothing in it",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(twoEnvironments);
      const before = await bench.version("staging-default");
      await bench.apply(sound);
      assert.equal(await bench.version("staging-default"), before + 1);
      await bench.stop();
      await bench.start();
      const { groups } = await bench.call<Status>("GET", "/v1/status");
      assert.ok((groups.find(({ group }) => group === "staging-default")?.version ?? 0) > before);
      assert.deepEqual(bench.faults, []);
    },
  );

  testOnce("two environments are walled: other keys, other roots, other snapshot keys, another issuer", async () => {
    const control = await bench.start();
    await bench.apply(twoEnvironments);
    const [production, staging] = [await bench.kids("production"), await bench.kids("staging")];
    assert.ok(production.length > 0 && staging.length > 0);
    assert.deepEqual(
      production.filter((kid) => staging.includes(kid)),
      [],
    );
    const roots = ["production", "staging", "control"].map((name) =>
      readFileSync(join(bench.data, "ca", `${name}.pem`), "utf8"),
    );
    assert.equal(new Set(roots).size, 3);
    const tokens = [
      parseJoinToken(await control.joinToken("production-default")),
      parseJoinToken(await control.joinToken("staging-default")),
    ];
    assert.notDeepEqual(tokens[0]?.snapshotKey, tokens[1]?.snapshotKey);
    assert.deepEqual(
      tokens.map((token) => token?.environment),
      ["production", "staging"],
    );
  });

  test(
    "keys rotate at once while no gateway lives; one that has not acknowledged holds them, by name of what is waited for; a kill never waits",
    bounded,
    async () => {
      const control = await bench.start();
      await bench.apply(sound);
      const environment = "production";
      const before = await bench.kids();
      const rotated = await bench.call<{ active: string; next: string }>("POST", "/v1/keys/rotate", { environment });
      assert.ok(before.includes(rotated.active) && !before.includes(rotated.next));
      const transport = (target: { readonly url: string; readonly pin: string }) =>
        openChannelTransport(createDialer(), target);
      const joined = await joinOnce(await control.joinToken(null), {
        dataDirectory: join(bench.data, "node"),
        transport,
        setAside: () => undefined,
        now: () => systemClock.now(),
      });
      const node = openChannelTransport(createDialer(), joined, { cert: joined.certificate, key: joined.nodeKey });
      const lines: string[] = [];
      const stream = await node.stream("/channel/v1/down?key-seq=0&revocation-seq=0", (line) => lines.push(line));
      await assert.rejects(bench.call("POST", "/v1/keys/rotate", { environment }), /not known to every live gateway/);
      const { active } = rotated;
      await bench.call("POST", `/v1/keys/${active}/kill`, { environment, reason: "leaked" });
      assert.ok(!(await bench.kids()).includes(active));
      assert.deepEqual((await control.readiness()).missing.length, 1);
      // What follows can only be promoted once the node has said that it knows it, which it does of whatever has come by now.
      const acknowledge = () => {
        const keySeq = Math.max(...lines.map((line) => JSON.parse(line)).map(({ t, seq }) => (t === "keys" ? seq : 0)));
        const ack = { t: "ack", keySeq, revocationSeq: 0, epoch: 0, version: 0 };
        return node.post("/channel/v1/up", JSON.stringify(ack));
      };
      await until("the acknowledged key is used", async () => {
        await acknowledge();
        return (await control.readiness()).ready;
      });
      stream.close();
      await node.close();
    },
  );

  test(
    "every act is in the log exactly once, every read before its answer, and a restart adds none again",
    bounded,
    async () => {
      await bench.start();
      await bench.apply(sound);
      await bench.call("POST", `/v1/integrations/${integration}/suspend`, { reason: "incident" });
      await bench.call("POST", "/v1/revocations", { kind: "client", value: "orders", reason: "leaked" });
      await bench.call("GET", "/v1/gateways");
      await assert.rejects(bench.call("GET", "/v1/crossings/gw-absent-01ARZ3NDEKTSV4RRFFQ69G5FAV"), { exit: 1 });
      await bench.stop();
      const leaves = bench.leaves();
      const count = (action: string, object: string) =>
        leaves.filter((leaf) => leaf.action === action && leaf.object === object).length;
      assert.deepEqual(
        [
          count("integration.suspend", `integration/${integration}`),
          leaves.filter(({ action }) => action === "revocation.create").length,
          count("gateway.list", "gateway"),
          count("crossing.read", "crossing/gw-absent-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
          count("operator.add", "operator/admin") + leaves.filter(({ action }) => action === "operator.add").length > 0,
        ],
        [1, 1, 1, 1, true],
      );
      assert.equal(new Set(leaves.map(({ id }) => id)).size, leaves.length);
      await bench.start();
      await bench.stop();
      assert.equal(new Set(bench.leaves().map(({ id }) => id)).size, bench.leaves().length);
    },
  );

  testOnce(
    "attack: whoever removes the operator's key file and restarts control does not become a new first operator",
    async () => {
      await bench.start();
      const path = join(bench.data, "operator.key.json");
      rmSync(path);
      await bench.stop();
      const control = await bench.start();
      assert.equal(control.operatorKey, null);
      assert.equal(existsSync(path), false);
    },
  );

  testOnce("the value of a revocation that is no id is a bad request, not an internal fault", async () => {
    await bench.start();
    await bench.apply(sound);
    for (const value of ["two words", "x".repeat(200), "é"])
      await assert.rejects(bench.call("POST", "/v1/revocations", { kind: "jti", value, reason: "x" }), { exit: 2 });
    assert.deepEqual(bench.faults, []);
  });
});

test("what serve --config applies is what an operator's apply of the same files finds applied", bounded, async () => {
  // The first is of SQLite only: the estate's way in does not depend on the store.
  const data = join(folder, "config");
  const place = { host: "127.0.0.1", port: 0, url: null };
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const control = await startControl({
    ...{ tenant: "main", region: "default", dataDirectory: data, storeUrl: null, checkpointCopy: null },
    ...{ identity: place, channel: place, admin: place, clock: systemClock, random: systemRandom, logger: silent },
    ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
  });
  try {
    const loaded = loadEstateFrom(memoryEstateIo(sound, () => systemClock.now()));
    assert.equal((await control.apply(loaded)).created.length, 4);
    const client = openAdminClient(join(data, "operator.key.json"));
    const again = await client.call<Applied>("POST", "/v1/estate/apply", { files: sound });
    assert.deepEqual([again.created, again.changed, again.removed], [[], [], []]);
    assert.match(await control.metricsText(), /sallyport_control_environments 1/);
  } finally {
    await control.stop();
  }
});
