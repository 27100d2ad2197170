import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import {
  standingClock,
  startTestGateway,
  type TestGateway,
  type TestGatewayOptions,
  until,
} from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";

let upstream: CountingUpstream;
before(async () => {
  upstream = await startCountingUpstream();
});
after(() => upstream.close());

interface Bed {
  readonly bed: TestGateway;
  readonly orders: TestCaller;
  readonly invoice: string;
}

async function start(options: Partial<TestGatewayOptions> = {}): Promise<Bed> {
  const bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog, ...options });
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  return { bed, orders, invoice: `${bed.addresses[0]?.url}/billing/v1/invoices/1` };
}

describe("a snapshot that is not control's newest for this group is refused by name and changes nothing", () => {
  test("altered, foreign-key, foreign-group, older, expired, needs-keys", async () => {
    const { bed, orders, invoice } = await start();
    const estate = marketplace(upstream.url, { integrations: [] });
    try {
      const refusal = () => bed.gateway.status().refused?.refusal;
      await bed.publish(estate, { group: "other" });
      assert.equal(refusal(), "foreign-group");
      await bed.publish(estate, { signer: generateSigner("EdDSA").signer });
      assert.equal(refusal(), "foreign-key");
      await bed.publish(estate, { version: 0 });
      assert.equal(refusal(), "older");
      await bed.publish(estate, { version: 1 });
      assert.equal(refusal(), "altered", "another snapshot under an accepted version");
      await bed.publish(estate, { expiresAt: bed.clock.now() - 1, issuedAt: bed.clock.now() - 2 });
      assert.equal(refusal(), "expired");
      await bed.publish(estate, { minKeySeq: 9 });
      assert.equal(refusal(), "needs-keys");
      assert.equal((await orders.send(invoice)).status, 200, "the one in force stays");
      assert.deepEqual(
        bed.feed.sent.flatMap((message) => (message.t === "refused-snapshot" ? [message.why] : [])),
        ["foreign-group", "foreign-key", "older", "altered", "expired", "needs-keys"],
      );
    } finally {
      await bed.close();
    }
  });

  test("a blob that is not what its name says never gets in force", async () => {
    const { bed, orders, invoice } = await start();
    try {
      const get = bed.feed.blob.bind(bed.feed);
      bed.feed.blob = async (id) => Buffer.concat([await get(id), Buffer.from(" ")]);
      const before = bed.messages.length;
      const changed = marketplace(upstream.url, { integrations: [] });
      bed.publish(changed).catch(() => {});
      await until(
        () => bed.messages.slice(before).some((line) => line.includes("not what its name says")),
        "the refusal",
      );
      assert.equal((await orders.send(invoice)).status, 200);
    } finally {
      await bed.close();
    }
  });
});

describe("restart without the control plane", () => {
  test("the last good snapshot is obeyed, then altered and older files are refused by name", async () => {
    const directory = mkdtempSync(join(tmpdir(), "sallyport-restart-"));
    const first = await start({ directory });
    const { feed, clock } = first.bed;
    const state = join(directory, "gateway");
    const early = readFileSync(join(state, "manifest.json"));
    await first.bed.publish(marketplace(upstream.url), {});
    await first.bed.close();
    feed.silent = true;
    const again = (): Promise<Bed> => start({ directory, feed, clock, unpublished: true });
    try {
      const second = await again();
      assert.equal(second.bed.gateway.status().snapshot?.version, 2);
      assert.equal(
        second.bed.gateway.readiness().ready,
        false,
        "without a certified hop key it says that it is not ready",
      );
      const answer = await second.orders.send(second.invoice);
      assert.equal(answer.code, "exchange-unavailable", "identified, granted and authorised from disk");
      await second.bed.close();

      const good = readFileSync(join(state, "manifest.json"));
      writeFileSync(join(state, "manifest.json"), early);
      const third = await again();
      assert.equal(third.bed.gateway.status().refused?.refusal, "older");
      assert.equal(third.bed.gateway.status().snapshot, null);
      assert.equal((await third.orders.send(third.invoice)).code, "not-ready");
      await third.bed.close();

      writeFileSync(join(state, "manifest.json"), good);
      const [blob = ""] = readdirSync(join(state, "blobs"));
      writeFileSync(join(state, "blobs", blob), "{}");
      const fourth = await again();
      assert.equal(fourth.bed.gateway.status().refused?.refusal, "altered");
      await fourth.bed.close();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe("staleness", () => {
  test("restricted operations stop after 3 s without a heartbeat, the rest after 5 min, and come back with the next one", async () => {
    const { bed, orders, invoice } = await start({ clock: standingClock() });
    const secret = invoice.replace("invoices/1", "secrets/1");
    try {
      assert.equal((await orders.send(secret)).status, 200);
      bed.clock.shiftMs += 4_000;
      assert.equal((await orders.send(secret)).code, "stale-snapshot");
      assert.equal((await orders.send(invoice)).status, 200);
      bed.clock.shiftMs += 300_000;
      orders.nonce = undefined;
      assert.equal((await orders.send(invoice)).code, "stale-snapshot");
      bed.feed.heartbeat();
      assert.equal((await orders.send(invoice)).status, 200);
      assert.equal((await orders.send(secret)).status, 200);
    } finally {
      await bed.close();
    }
  });

  test("a heartbeat ahead of what is held is a gap: the feed is asked again and the heartbeat does not count", async () => {
    const { bed, orders, invoice } = await start();
    try {
      const { silent } = bed.feed;
      bed.feed.silent = true;
      bed.feed.revoke("client", "orders");
      bed.feed.silent = silent;
      bed.clock.shiftMs += 4_000;
      const opened = bed.feed.opened;
      bed.feed.heartbeat();
      await until(() => bed.feed.opened > opened && bed.gateway.held().revocationSeq === 1, "the missing revocation");
      const token = orders.token("billing", { iat: Math.floor(bed.clock.now() / 1000) - 10 });
      assert.equal((await orders.send(invoice, { token })).status, 401, "revoked");
    } finally {
      await bed.close();
    }
  });
});

describe("swaps and endings", () => {
  test("60 swaps under load: no failed request, no pool left behind", async () => {
    const { bed, orders, invoice } = await start();
    try {
      let isSwapping = true;
      const statuses = new Map<number, number>();
      const load = async (): Promise<void> => {
        while (isSwapping) {
          const { status } = await orders.send(invoice);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      };
      const loads = [load(), load(), load()];
      for (let i = 0; i < 60; i++) await bed.publish(marketplace(upstream.url));
      isSwapping = false;
      await Promise.all(loads);
      assert.deepEqual([...statuses.keys()], [200]);
      assert.equal(bed.gateway.status().snapshot?.version, 61);
    } finally {
      await bed.close();
    }
  });

  test("suspension in a new snapshot reaches the next request", async () => {
    const { bed, orders, invoice } = await start();
    try {
      const estate = marketplace(upstream.url);
      await bed.publish({
        ...estate,
        integrations: estate.integrations.map((one) => ({ ...one, state: "suspended" as const })),
      });
      const answer = await orders.send(invoice);
      assert.deepEqual([answer.status, answer.code], [403, "not-active"]);
    } finally {
      await bed.close();
    }
  });

  test("stale-grant attack: right after a swap a read's identity names the new integration, though the old one could be shared for 5 s", async () => {
    const { bed, orders, invoice } = await start();
    const integration = () => {
      const token = String(upstream.seen.at(-1)?.headers["sallyport-identity"]);
      const claims: { int: string } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
      return claims.int;
    };
    try {
      assert.equal((await orders.send(invoice)).status, 200);
      assert.equal(integration(), "orders-to-billing");
      const [granted] = marketplace(upstream.url).integrations;
      const renamed = { ...(granted ?? assert.fail()), id: "orders-reads-billing" };
      await bed.publish(marketplace(upstream.url, { integrations: [renamed] }));
      assert.equal((await orders.send(invoice)).status, 200);
      assert.equal(integration(), "orders-reads-billing");
    } finally {
      await bed.close();
    }
  });

  test("drain: not ready, answers say close, and it ends when the last crossing has", async () => {
    const { bed, orders, invoice } = await start();
    try {
      let finish = (): void => {};
      let isHeld = false;
      upstream.answer = (_request, response) => {
        isHeld = true;
        finish = () => response.end("late");
      };
      const late = orders.send(invoice);
      await until(() => bed.gateway.status().inFlight === 1, "a crossing in flight");
      const draining = bed.gateway.drain(5_000);
      assert.equal(bed.gateway.readiness().ready, false);
      await until(() => isHeld, "the provider has it");
      finish();
      upstream.answer = null;
      const answer = await late;
      assert.deepEqual([answer.status, answer.headers.connection], [200, "close"]);
      await draining;
    } finally {
      upstream.answer = null;
      await bed.close();
    }
  });

  test("a private address that the configuration does not name, is never dialled", async () => {
    const { bed, orders, invoice } = await start();
    try {
      const estate = (url: string, allowPrivate: boolean) => {
        const base = marketplace(url);
        return {
          ...base,
          systems: base.systems.map((one) =>
            one.id === "billing" ? { ...one, changes: { upstream: { url, allowPrivate } } } : one,
          ),
        };
      };
      const reached = upstream.seen.length;
      await bed.publish(estate(upstream.url, false));
      const answer = await orders.send(invoice);
      assert.deepEqual([answer.status, answer.code], [502, "upstream-refused-address"]);
      assert.equal(upstream.seen.length, reached);
      const [leaf] = await bed.leaves(answer.id);
      assert.ok(leaf?.t === "crossing" && leaf.code === "upstream-refused-address" && leaf.outcome === "system-error");
    } finally {
      await bed.close();
    }
  });

  test("a source with too many bad credentials is turned away unheard", async () => {
    const { bed, orders, invoice } = await start({ changes: { admission: { badCredentialsPerPrefixMax: 3 } } });
    try {
      for (let i = 0; i < 3; i++) assert.equal((await orders.send(invoice, { token: "a.b.c" })).status, 401);
      const answer = await orders.send(invoice);
      assert.deepEqual([answer.status, answer.code], [429, "too-many-from-source"]);
      const [leaf] = await bed.leaves(answer.id);
      assert.ok(leaf?.t === "crossing" && leaf.code === "too-many-from-source");
    } finally {
      await bed.close();
    }
  });

  test("a port in use is a fault that names the listener and the fix", async () => {
    const { bed } = await start();
    const taken = bed.addresses[0]?.port ?? 0;
    try {
      await assert.rejects(
        startTestGateway({
          estate: marketplace(upstream.url),
          openLog: openTestLog,
          listeners: [{ name: "edge", host: "127.0.0.1", port: taken }],
        }),
        (error: Error) =>
          "code" in error && error.code === "port-in-use" && /listener edge: .* --listen edge=/.test(error.message),
      );
    } finally {
      await bed.close();
    }
  });

  test("metrics and status name what is broken with file and line", async () => {
    const broken = [{ object: "system/ledger", file: "systems/ledger.yaml", line: 3, why: "no url" }];
    const { bed, orders, invoice } = await start({ estate: marketplace(upstream.url, { broken }) });
    try {
      await orders.send(invoice);
      assert.deepEqual(bed.gateway.readiness().broken, ["system/ledger at systems/ledger.yaml:3: no url"]);
      assert.equal(bed.gateway.readiness().ready, true);
      const text = await bed.gateway.metricsText();
      assert.match(text, /sallyport_broken_objects 1/);
      assert.match(text, /sallyport_crossings_total\{code="ok",outcome="success"\} 1/);
    } finally {
      await bed.close();
    }
  });
});
