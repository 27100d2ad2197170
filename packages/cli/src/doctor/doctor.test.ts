// Each check of `doctor` at its edge: the worst that is still good beside the nearest that is not, always with a fix.
import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { after, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import type { ControlStatus, GatewayStatus } from "@sallyport/control/admin/actions.ts";
import { testAuthority, testCertificate } from "@sallyport/control/gateways/channel.test-support.ts";
import { probeOrigin } from "@sallyport/kernel/dial/probe.ts";
import type { CheckResult } from "./check-result.ts";
import { decideDisk } from "./decide-disk.ts";
import { decideFiles } from "./decide-files.ts";
import { decideFleet } from "./decide-fleet.ts";
import { decideClock, decideIssuer, decidePorts, decideUpstream, portPlaces } from "./decide-network.ts";
import { decideProcess, type ProcessFacts } from "./decide-process.ts";
import {
  decideDate,
  decideLog,
  decideOperatorKey,
  decideOutsideIssuer,
  decidePostgres,
  decideSqlite,
} from "./decide-state.ts";
import { bytesText, type DiskFacts } from "./disk.ts";
import { gatherPort } from "./gather-ports.ts";

const MiB = 1_048_576;
const day = 86_400_000;
const disk: DiskFacts = {
  syncMs: [0.4, 0.5, 0.9],
  freeBytes: 9_000 * MiB,
  totalBytes: 90_000 * MiB,
  freeInodes: 900,
  totalInodes: 1_000,
  network: null,
  inMemory: false,
};
const machine: ProcessFacts = {
  version: "v26.10.0",
  verification: null,
  nodeOptions: "",
  coreBytesMax: 0,
  openFilesMax: 20_000,
  clockDriftMs: () => 0,
};

/** `verdict` by check; every finding that is not ok has a fix. */
function verdicts(results: readonly CheckResult[]): Readonly<Record<string, string>> {
  for (const { check, verdict, fix, measured } of results) {
    assert.equal(fix === null, verdict === "ok", check);
    assert.ok(measured.length > 3, check);
  }
  return Object.fromEntries(results.map(({ check, verdict }) => [check, verdict]));
}

test("a disk is judged by its slowest and its fastest writes: too slow, uneven, unbelievably fast, not writable", () => {
  const sync = (syncMs: readonly number[], inMemory = false) =>
    verdicts(decideDisk({ ...disk, syncMs, inMemory }, "/data"))["disk.sync"];
  assert.deepEqual([sync([19, 20, 20]), sync([20, 20.1, 21])], ["ok", "warn"]);
  assert.deepEqual([sync([1, 1, 200]), sync([1, 1, 201])], ["ok", "warn"]);
  assert.deepEqual(
    [sync([0.02, 0.02, 0.02]), sync([0.01, 0.01, 0.02]), sync([0.01, 0.01, 0.02], true)],
    ["ok", "warn", "ok"],
  );
  assert.equal(sync([]), "fail");
});

test("room, inodes, network file systems and memory are judged", () => {
  const of = (more: Partial<DiskFacts>) => verdicts(decideDisk({ ...disk, ...more }, "/data"));
  assert.deepEqual(
    [of({ freeBytes: 511 * MiB }), of({ freeBytes: 512 * MiB }), of({ freeBytes: 2_048 * MiB })].map(
      (one) => one["disk.space"],
    ),
    ["fail", "warn", "ok"],
  );
  assert.deepEqual(
    [of({ freeInodes: 19 }), of({ freeInodes: 20 }), of({ freeInodes: 0, totalInodes: 0 })].map(
      (one) => one["disk.space"],
    ),
    ["warn", "ok", "ok"],
  );
  assert.deepEqual(
    [of({ network: "NFS" }), of({ inMemory: true }), of({})].map((one) => one["disk.kind"]),
    ["fail", "warn", "ok"],
  );
  assert.equal(bytesText(1_536), "1.5 KiB");
});

test("an old Node, weakened verification, a debugger, core dumps, few files and a clock that jumps are judged", () => {
  const of = (more: Partial<ProcessFacts>) => verdicts(decideProcess({ ...machine, ...more }));
  assert.ok(Object.values(of({})).every((verdict) => verdict === "ok"));
  assert.deepEqual(
    ["v20.11.0", "v24.11.9", "v24.12.0", "v27.0.0"].map((version) => of({ version })["node.version"]),
    ["fail", "fail", "ok", "ok"],
  );
  assert.deepEqual(
    ["a variable switches it off: unset it", null].map((verification) => of({ verification })["node.verification"]),
    ["fail", "ok"],
  );
  assert.deepEqual(
    ["--inspect=0.0.0.0:9229", "--max-old-space-size=512"].map((nodeOptions) => of({ nodeOptions })["node.options"]),
    ["fail", "ok"],
  );
  assert.deepEqual(
    [1, Number.POSITIVE_INFINITY, null].map((coreBytesMax) => of({ coreBytesMax })["limits.core"]),
    ["warn", "warn", "ok"],
  );
  assert.deepEqual(
    [4_095, 4_096].map((openFilesMax) => of({ openFilesMax })["limits.files"]),
    ["warn", "ok"],
  );
  assert.deepEqual(
    [-100, 99].map((driftMs) => of({ clockDriftMs: () => driftMs })["clock.steady"]),
    ["warn", "ok"],
  );
});

test("a directory others can enter fails, an open key inside a closed one warns, a public root is nobody's secret", () => {
  const file = (path: string, mode: number, owner = 7) => ({
    path,
    kind: path.includes(".") && path !== "." ? ("file" as const) : ("directory" as const),
    mode,
    owner,
  });
  const of = (...files: ReturnType<typeof file>[]) => verdicts(decideFiles(files, { directory: "/data", user: 7 }));
  assert.deepEqual(of(file(".", 0o700), file("kek.key", 0o600), file("ca/control.pem", 0o644)), {
    "files.mode": "ok",
    "files.owner": "ok",
  });
  assert.equal(of(file(".", 0o750))["files.mode"], "fail");
  assert.equal(of(file(".", 0o700), file("log/log.key", 0o640))["files.mode"], "warn");
  assert.equal(of(file(".", 0o700), file("clients/orders.key.pem", 0o604))["files.mode"], "warn");
  assert.equal(of(file(".", 0o700), file("kek.key", 0o600, 8))["files.owner"], "fail");
  assert.equal(of(file(".", 0o700), file("kek.key", 0o600, 0))["files.owner"], "ok");
});

test("a port is free, ours, or somebody's who is named", () => {
  const port = { name: "admin", port: 7442, free: false, holder: { pid: 42, command: "nginx" } };
  assert.deepEqual(
    decidePorts([{ ...port, free: true, holder: null }, port, port], null).map(({ verdict }) => verdict),
    ["ok", "warn", "warn"],
  );
  assert.equal(decidePorts([port], 42)[0]?.verdict, "ok");
  assert.match(decidePorts([port], 1)[0]?.measured ?? "", /nginx \(pid 42\)/);
});

test("the addresses of what runs are looked at, not the default ones; a balancer's is not of this machine", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const places = portPlaces({
    identityUrl: "https://198.51.100.1",
    channelUrl: null,
    adminUrl: "https://192.0.2.1:9442",
    statusUrl: `http://127.0.0.1:${port}`,
    gateway: [
      { listener: "public", url: "https://api.example", address: "[::1]:18443" },
      { listener: "inside", url: "https://api.example", address: "0.0.0.0:18444" },
    ],
  });
  assert.deepEqual(
    places.map(({ name, host, port: at }) => `${name} ${host} ${at}`),
    [
      "identity 198.51.100.1 443",
      "admin 192.0.2.1 9442",
      `status 127.0.0.1 ${port}`,
      "gateway ::1 18443",
      "gateway.inside 0.0.0.0 18444",
    ],
  );
  const facts = await Promise.all(places.slice(0, 3).map(({ name, host, port: at }) => gatherPort(name, host, at)));
  assert.deepEqual(
    facts.map((one) => one?.free ?? "elsewhere"),
    ["elsewhere", "elsewhere", false],
  );
  await new Promise((resolve) => server.close(resolve));
  assert.deepEqual(
    portPlaces(null).map(({ port: at }) => at),
    [7440, 7441, 7442, 7443, 8443],
  );
  const held = { name: "gateway.inside", port: 1, free: false, holder: null };
  assert.match(decidePorts([held], null)[0]?.fix ?? "", /--listen inside=/);
});

test("a clock is judged by a Date header as far as that can show: 2 s warn, 5 s fail, the second's rest is nobody's fault", () => {
  const of = (dateMs: number) => decideClock("clock", dateMs, { askedMs: 1_000_000, tookMs: 50 }).verdict;
  assert.deepEqual(
    [999_001, 1_000_050, 1_002_049, 1_002_050, 1_005_049, 1_005_050, 997_002, 997_001, 994_001].map(of),
    [...["ok", "ok", "ok", "warn", "warn", "fail", "ok", "warn", "fail"]],
  );
});

test("an issuer that is away, answers otherwise or publishes no key fails", () => {
  const answer = { status: 200, keys: 2, dateMs: null, askedMs: 0, tookMs: 1 };
  const of = (one: typeof answer | null) =>
    verdicts(decideIssuer({ environment: "production", issuer: "https://id", answer: one, why: "refused" }))[
      "issuer.production"
    ];
  assert.deepEqual(
    [of(answer), of({ ...answer, keys: 0 }), of({ ...answer, status: 404 }), of(null)],
    ["ok", "fail", "fail", "fail"],
  );
});

test("a provider whose certificate is not believed is named with what was expected and what was found; nothing is sent to it", async () => {
  const ca = testAuthority();
  const { cert, key } = testCertificate(ca, { dns: ["old.internal"] });
  let received = 0;
  const server = createTlsServer({ cert, key }, (socket) =>
    socket.on("data", (bytes) => (received += bytes.length)).on("error", () => undefined),
  );
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => server.close());
  const address = server.address();
  const origin = `https://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  const rules = { allowPrivateHosts: new Set(["127.0.0.1"]), ownAddresses: new Set<string>() };
  const upstream = { environment: "production", system: "billing", origin, place: "systems/billing.yaml:1" };
  const found = decideUpstream(
    { ...upstream, report: await probeOrigin(origin, { rules, tls: { ca: ca.certificatePem }, timeoutMs: 5_000 }) },
    Date.now(),
  );
  assert.equal(found.verdict, "fail");
  assert.match(found.measured, /expected a certificate for 127\.0\.0\.1, found one for DNS:old\.internal/);
  assert.match(found.fix ?? "", /systems\/billing\.yaml:1/);
  const refused = await probeOrigin(origin, { rules: { ...rules, allowPrivateHosts: new Set() }, timeoutMs: 5_000 });
  assert.equal(refused.kind === "failed" && refused.code, "address-refused");
  assert.equal(received, 0);
});

test("a damaged store, an unsafe PostgreSQL, a spoiled log, ended certificates and old operator keys are judged", () => {
  const sqlite = (problems: readonly string[]) =>
    decideSqlite("/x", { kind: "read", problems, bytes: 4_096, ms: 1 }).verdict;
  assert.deepEqual(
    [
      sqlite([]),
      sqlite(["row 3 missing"]),
      decideSqlite("/x", { kind: "unreadable", why: "y" }).verdict,
      decideSqlite("/x", { kind: "absent" }).verdict,
    ],
    ["ok", "fail", "fail", "ok"],
  );
  const server = {
    version: "18.4",
    versionNumber: 180_004,
    fsync: "on",
    synchronousCommit: "on",
    encoding: "UTF8",
    roundTripMs: [1],
  };
  assert.deepEqual(Object.values(verdicts(decidePostgres(server))), ["ok", "ok", "ok"]);
  for (const more of [{ fsync: "off" }, { versionNumber: 139_999 }, { encoding: "LATIN1" }])
    assert.equal(verdicts(decidePostgres({ ...server, ...more }))["store.postgres"], "fail");
  assert.deepEqual(
    Object.values(verdicts(decidePostgres({ ...server, synchronousCommit: "off", roundTripMs: [21] }))),
    ["ok", "warn", "warn"],
  );
  const log = { role: "control" as const, directory: "/log", reserveBytes: 4 * MiB };
  assert.deepEqual(Object.values(verdicts(decideLog({ ...log, checkpoint: { origin: "o", leaves: 1 } }))), [
    "ok",
    "ok",
  ]);
  assert.deepEqual(Object.values(verdicts(decideLog({ ...log, checkpoint: { why: "not signed" }, reserveBytes: 0 }))), [
    "fail",
    "warn",
  ]);
  const date = (notAfter: number, renews: boolean) =>
    decideDate({ check: "d", what: "it", notAfter, renews, fix: "renew" }, 0).verdict;
  assert.deepEqual(
    [date(0, true), date(day, true), date(day, false), date(61 * day, false)],
    ["fail", "ok", "warn", "ok"],
  );
  assert.deepEqual(
    [null, 180 * day, 181 * day].map((age) => decideOperatorKey("/k", age).verdict),
    ["ok", "ok", "warn"],
  );
});

test("the fleet: who is away, behind, ahead in time or of another version, and how many count rates", () => {
  const now = 1_795_219_200_000;
  const report = {
    at: now,
    receivedAt: now,
    skewMs: 0,
    version: "0.1.0",
    stalenessMs: 1,
    logOrigin: "o",
    logLeaves: 1,
    inFlight: 0,
    waitingMs: 0,
  };
  const gateway: GatewayStatus = {
    ...{
      node: "gw-1",
      environment: "production",
      group: "production-eu",
      state: "active",
      connected: true,
      connectedSince: now,
    },
    ...{ snapshot: { epoch: 1, version: 4 }, heardAt: now, lastSeenAt: now, refusal: null, report },
  };
  const archived = { leaves: 1, behind: 0, behindSince: null, refused: null, trouble: null };
  const status = (gateways: readonly GatewayStatus[]): ControlStatus => ({
    ...{
      version: "0.1.0",
      ready: true,
      now,
      served: [],
      inactive: [],
      notices: [],
      warnings: [],
      following: { folds: [], fault: null },
      issuers: [],
      archive: null,
      gateways,
    },
    groups: [{ environment: "production", group: "production-eu", epoch: 1, version: 4, expiresAt: now, broken: [] }],
    log: {
      origin: "c",
      leaves: 1,
      checkpointCopy: true,
      cosigners: 0,
      waiting: 0,
      waitingMs: 0,
      kept: [{ origin: "o", node: "gw-1", at: now, leaves: 1, archived }],
    },
  });
  const of = (...gateways: readonly Partial<GatewayStatus>[]) =>
    verdicts(decideFleet(status(gateways.map((one) => ({ ...gateway, ...one })))));
  assert.ok(
    Object.values(of({})).every((verdict) => verdict === "ok"),
    JSON.stringify(of({})),
  );
  assert.equal(of({ connected: false })["fleet.gw-1.channel"], "fail");
  assert.equal(of({ snapshot: { epoch: 1, version: 3 } })["fleet.gw-1.snapshot"], "warn");
  assert.equal(of({ refusal: "1.4: unsigned" })["fleet.gw-1.snapshot"], "fail");
  assert.equal(of({ report: { ...report, skewMs: -2_001 } })["fleet.gw-1.clock"], "fail");
  assert.equal(of({ report: { ...report, faults: ["no Redis"] } })["fleet.gw-1.fault-1"], "warn");
  assert.equal(of({ report: { ...report, version: "0.0.9" } })["fleet.version"], "warn");
  const two = of({}, { node: "gw-2" });
  assert.deepEqual([two["fleet.production-eu.rates"], two["fleet.checkpoints"]], ["warn", "warn"]);
  // A node that was cut off is nobody's trouble.
  assert.equal(of({}, { node: "gw-2", state: "revoked", connected: false })["fleet.production-eu.rates"], "ok");
  assert.equal(of()["fleet.nodes"], "warn");
});

test("keys of an outside issuer: fresh, stale but believed, too old, never fetched, in a file", () => {
  const now = 1_795_219_200_000;
  type State = Parameters<typeof decideOutsideIssuer>[0];
  const issuer: State = {
    ...{ environment: "production", issuer: "keycloak", url: "https://sso.example", gateways: true, failure: null },
    ...{ from: "uri", keys: 2, fetchedAt: now - 60_000, believedUntil: now + 86_340_000, introspection: null },
  };
  const of = (changes: Partial<State>) => decideOutsideIssuer({ ...issuer, ...changes }, now);
  assert.deepEqual([of({}).check, of({}).verdict], ["issuer.production.keycloak", "ok"]);
  assert.equal(of({ failure: "connect-failed" }).verdict, "warn");
  assert.equal(of({ fetchedAt: now - 1_200_001 }).verdict, "warn");
  const never = of({ keys: 0, fetchedAt: null, believedUntil: null, failure: "tls-untrusted" });
  assert.deepEqual([never.verdict, /tls-untrusted/.test(never.measured)], ["fail", true]);
  assert.equal(of({ keys: 0, fetchedAt: now - 90_000_000, believedUntil: now - 3_600_000 }).verdict, "fail");
  assert.equal(of({ from: "file", fetchedAt: null, believedUntil: null }).verdict, "ok");
  // One that is asked about its tokens needs no keys, and may be sound in the one and not in the other.
  const asked = { from: "file", keys: 0, fetchedAt: null, believedUntil: null } as const;
  const good = of({ ...asked, introspection: { answeredAt: now - 4_000, trouble: null } });
  assert.deepEqual([good.verdict, good.measured], ["ok", "asked about opaque tokens, last answered 4 s ago"]);
  for (const trouble of ["unreachable", "client-refused", "malformed"] as const) {
    const found = of({ introspection: { answeredAt: null, trouble } });
    assert.equal(found.verdict, "warn");
    assert.match(
      found.measured,
      new RegExp(`^2 keys, fetched .*not answered yet; the last question was not answered: ${trouble}$`),
    );
  }
});
