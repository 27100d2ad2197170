// The life of an installation in real processes: served, abandoned, recovered, drained. Every wait is for a condition and bounded.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { Installation, isReady, type Served, tinyIntegration, until } from "./installation.test-support.ts";
import { runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
let installation: Installation;
let control: Served;
let gateway: Served;

before(async () => {
  installation = await Installation.open();
  control = await installation.startControl();
  gateway = await installation.startGateway();
  installation.trustRoots();
}, bounded);
after(() => installation.close());

const read = (caller: ReturnType<Installation["caller"]>) => caller.fetch("/billing/v1/invoices/in-1");

test(
  "an allowed call reaches the upstream; one without a grant does not and says where it stopped",
  bounded,
  async () => {
    const caller = installation.caller();
    const allowed = await read(caller);
    assert.equal(allowed.status, 200, await allowed.clone().text());
    assert.deepEqual(await allowed.json(), { ok: true });
    assert.equal(installation.upstreamRequests, 1);
    const denied = await caller.fetch("/billing/v1/invoices", { method: "POST", body: "{}" });
    assert.equal(denied.status, 403);
    const id = denied.headers.get("sallyport-crossing") ?? "";
    assert.equal(((await denied.json()) as { code: string }).code, "not-granted");
    assert.equal(installation.upstreamRequests, 1);
    // The third witness: the record, opened by an operator through control.
    const report = await installation
      .operator()
      .call<{ leaves: readonly string[]; decision: unknown }>("GET", `/v1/crossings/${id}`);
    const leaf = JSON.parse(report.leaves[0] ?? "{}");
    assert.deepEqual([leaf.verdict, leaf.code, leaf.stage], ["deny", "not-granted", "bind"]);
    assert.ok(report.decision !== null);
  },
);

test("attack: nobody without a token, and nobody with another key's assertion, gets anywhere", bounded, async () => {
  const before = installation.upstreamRequests;
  const bare = await fetch(`https://127.0.0.1:${installation.ports.gateway}/billing/v1/invoices/in-1`);
  assert.equal(bare.status, 401);
  const stranger = generateClientKey();
  await assert.rejects(read(installation.caller(stranger.signer)), /invalid_client/);
  assert.equal(installation.upstreamRequests, before);
});

test(
  "control is killed: traffic goes on, a gateway started meanwhile serves from its last good snapshot, and a change made after the return reaches it",
  bounded,
  async () => {
    const caller = installation.caller();
    assert.equal((await read(caller)).status, 200);
    await control.signal("SIGKILL");
    assert.equal((await read(caller)).status, 200, "inside the staleness bound");
    await gateway.signal("SIGTERM");
    gateway = await installation.startGateway();
    assert.equal((await read(caller)).status, 200, "from the last good snapshot, without control");
    control = await installation.startControl();
    const operator = installation.operator();
    const isConnected = async () =>
      (await operator.call<{ connected: boolean }[]>("GET", "/v1/gateways")).some(({ connected }) => connected);
    await until("the gateway is back on the channel", isConnected);
    await operator.call("POST", `/v1/integrations/${tinyIntegration}/suspend`, { reason: "incident" });
    await until("the suspension is obeyed", async () => (await read(caller)).status === 403);
    await operator.call("POST", `/v1/integrations/${tinyIntegration}/activate`, { reason: "over" });
    await until("the activation is obeyed", async () => (await read(caller)).status === 200);
  },
);

test("while its gateway is away `why` answers from the archive; an id nobody has is not found", bounded, async () => {
  const operator = installation.operator();
  const caller = installation.caller();
  const answered = await read(caller);
  const id = answered.headers.get("sallyport-crossing") ?? "";
  const node = id.slice(0, -27);
  const unknown = `${node}-01ARZ3NDEKTSV4RRFFQ69G5FAV`;
  await assert.rejects(operator.call("GET", `/v1/crossings/${unknown}`), { exit: 1 });
  await assert.rejects(operator.call("GET", "/v1/crossings/gw-absent-01ARZ3NDEKTSV4RRFFQ69G5FAV"), { exit: 1 });
  await until("its record to be in the archive", async () => {
    const { hits } = await operator.call<{ hits: readonly object[] }>("POST", "/v1/audit/records", {
      where: { id: [id] },
    });
    return hits.length > 0;
  });
  await gateway.signal("SIGTERM");
  assert.match(JSON.stringify(await operator.call("GET", `/v1/crossings/${id}`)), /billing:/);
  await assert.rejects(operator.call("GET", `/v1/crossings/${unknown}`), { exit: 3 });
  gateway = await installation.startGateway();
});

test(
  "a clock set back or ahead between two starts makes a gateway without control stricter, never more trusting",
  bounded,
  async () => {
    const caller = installation.caller();
    assert.equal((await read(caller)).status, 200);
    await control.signal("SIGKILL");
    await gateway.signal("SIGTERM");
    const heartbeat = join(installation.data("gateway"), "snapshot", "heartbeat.json");
    const { at } = JSON.parse(readFileSync(heartbeat, "utf8")) as { at: number };
    const clocks = [
      { heardAt: at + 3_600_000, expected: 503 },
      { heardAt: at - 6 * 60_000, expected: 503 },
      { heardAt: at, expected: 200 },
    ];
    for (const { heardAt, expected } of clocks) {
      writeFileSync(heartbeat, JSON.stringify({ at: heardAt }), { mode: 0o600 });
      const started = installation.serveGateway();
      await until(`an answer ${expected}`, async () => {
        const response = await read(caller).catch(() => null);
        const text = (await response?.text()) ?? "";
        if (response?.status === 503 && expected === 503) assert.match(text, /stale-snapshot/);
        return response?.status === expected;
      });
      assert.equal((await started.signal("SIGTERM")).exit, 0);
    }
    control = await installation.startControl();
    gateway = await installation.startGateway();
  },
);

test(
  "role all serves the same estate in one process, keeps its one gateway over a restart and makes no token for nobody",
  bounded,
  async () => {
    const one = await Installation.open();
    try {
      const serve = async () => {
        const listen = ["--data", one.data("all"), "--listen", `public=127.0.0.1:${one.ports.gateway}`];
        const all = one.serve("all", [...one.controlArguments(), ...listen]);
        await all.line(isReady);
        return all;
      };
      let all = await serve();
      const data = join(one.data("all"), "control");
      one.trustRoots(join(data, "ca"));
      const caller = one.caller();
      assert.equal((await read(caller)).status, 200);
      assert.equal((await caller.fetch("/billing/v1/invoices", { method: "POST", body: "{}" })).status, 403);
      assert.equal(one.upstreamRequests, 1);
      assert.equal((await all.signal("SIGTERM")).exit, 0);
      all = await serve();
      assert.equal((await read(caller)).status, 200);
      const gateways = await one
        .operator(join(data, "operator.key.json"))
        .call<readonly { connected: boolean }[]>("GET", "/v1/gateways");
      assert.deepEqual(
        gateways.map(({ connected }) => connected),
        [true],
      );
      assert.equal((await all.signal("SIGTERM")).exit, 0);
    } finally {
      await one.close();
      installation.trustRoots();
    }
  },
);

test(
  "SIGTERM under load: every request in flight is answered, none fails before the listener is closed",
  bounded,
  async () => {
    installation.upstreamDelayMs = 40;
    const caller = installation.caller();
    assert.equal((await read(caller)).status, 200);
    let isDraining = false;
    const failures: string[] = [];
    let answered = 0;
    const worker = async () => {
      for (;;) {
        const beforeDraining = !isDraining;
        try {
          const response = await read(caller);
          await response.arrayBuffer();
          answered += 1;
          if (response.status !== 200 && beforeDraining) failures.push(String(response.status));
        } catch (error) {
          // After the listener closed, a new connection may be refused: the load balancer has been told by then.
          if (beforeDraining && !refused(error)) failures.push(String(error));
          return;
        }
      }
    };
    const workers = Array.from({ length: 8 }, worker);
    await until("load is flowing", () => answered > 40);
    const ended = gateway.signal("SIGTERM");
    await gateway.line(({ event }) => event === "stopping");
    isDraining = true;
    assert.equal((await ended).exit, 0);
    await Promise.all(workers);
    installation.upstreamDelayMs = 0;
    assert.deepEqual(failures, []);
  },
);

test("after all of that both processes end with 0 and both logs verify", bounded, async () => {
  gateway = await installation.startGateway();
  assert.equal((await gateway.signal("SIGTERM")).exit, 0);
  assert.equal((await control.signal("SIGTERM")).exit, 0);
  for (const name of ["gateway", "control"]) {
    const verified = await runBinary(["audit", "verify", join(installation.data(name), "log")]);
    assert.equal(verified.exit, 0, verified.out + verified.err);
  }
});

function refused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : null;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
