// A newer snapshot that cannot be fetched: asked for again until it is in force, named meanwhile, and never mistaken for being up to date.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newerWaitingMsMax, retryAfterMs, retryPauseMs } from "./snapshot/newer-offer.ts";
import { type CountingUpstream, startCountingUpstream } from "./testing/counting-upstream.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { openTestLog } from "./testing/open-test-log.ts";
import { standingClock, startTestGateway, type TestGateway, until } from "./testing/start-test-gateway.ts";
import { TestCaller } from "./testing/test-caller.ts";
import { buildSnapshot, type SnapshotChanges } from "./testing/test-estate.ts";

let upstream: CountingUpstream;
before(async () => {
  upstream = await startCountingUpstream();
});
after(() => upstream.close());

interface Bed {
  readonly bed: TestGateway;
  readonly orders: TestCaller;
  readonly invoice: string;
  /** While true every blob is out of reach. */
  readonly blobs: { unreachable: boolean; asked: number };
  /** Offers a snapshot without any grant, and waits for nothing. */
  offer(version: number, changes?: Partial<SnapshotChanges>): void;
}

async function start(): Promise<Bed> {
  const clock = standingClock();
  const bed = await startTestGateway({ estate: marketplace(upstream.url), openLog: openTestLog, clock });
  const orders = new TestCaller(bed.feed, "orders", () => bed.clock.now());
  const blobs = { unreachable: true, asked: 0 };
  const get = bed.feed.blob.bind(bed.feed);
  bed.feed.blob = async (id) => {
    blobs.asked++;
    if (blobs.unreachable) throw new Error("connection reset");
    return get(id);
  };
  const offer: Bed["offer"] = (version, changes = {}) => {
    const now = bed.clock.now();
    const times = { issuedAt: now, expiresAt: now + 86_400_000 };
    const estate = marketplace(upstream.url, { integrations: [] });
    bed.feed.publish(buildSnapshot(estate, { version, ...times, signer: bed.feed.snapshotSigner, ...changes }));
  };
  return { bed, orders, invoice: `${bed.addresses[0]?.url}/billing/v1/invoices/1`, blobs, offer };
}

const failuresOf = ({ bed }: Bed) => bed.gateway.status().waiting?.failures ?? 0;

describe("a newer snapshot whose blobs cannot be fetched", () => {
  test("is asked for again without another offer, is named meanwhile, and is in force once they can be", async () => {
    const on = await start();
    const { bed, orders, invoice, blobs, offer } = on;
    try {
      offer(2);
      await until(() => failuresOf(on) >= 2, "a second attempt");
      const { waiting, snapshot } = bed.gateway.status();
      assert.deepEqual([waiting?.version, snapshot?.version], [2, 1]);
      const { ready, broken } = bed.gateway.readiness();
      assert.equal(ready, true, "one lost fetch takes no gateway out of service");
      assert.match(broken.join(), /newer snapshot \(\d+, 2\) has been waiting for 0 s \(\d failed attempts\)/);
      assert.match(await bed.gateway.metricsText(), /sallyport_snapshot_attempts_failed_total [2-9]/);
      assert.equal((await orders.send(invoice)).status, 200, "the one in force stays");
      blobs.unreachable = false;
      await until(() => bed.gateway.status().snapshot?.version === 2, "the newer one");
      assert.equal(bed.gateway.status().waiting, null);
      assert.deepEqual(bed.gateway.readiness().broken, []);
      assert.equal((await orders.send(invoice)).code, "not-granted");
    } finally {
      await bed.close();
    }
  });

  test("gives way to the next one; an older, foreign or refused one changes neither the attempts nor the time", async () => {
    const on = await start();
    const { bed, offer, blobs } = on;
    try {
      offer(3);
      await until(() => failuresOf(on) >= 1, "an attempt");
      bed.clock.shiftMs += 10_000;
      offer(2);
      offer(9, { group: "other" });
      await until(() => bed.gateway.status().refused?.refusal === "foreign-group", "the refusal");
      assert.equal(bed.gateway.status().waiting?.version, 3);
      offer(4);
      await until(() => bed.gateway.status().waiting?.version === 4, "the next one");
      assert.ok((bed.gateway.status().waiting?.waitingMs ?? 0) >= 10_000, "we have been behind since the first");
      blobs.unreachable = false;
      await until(() => bed.gateway.status().snapshot?.version === 4, "the newest");
      assert.equal(bed.gateway.status().waiting, null);
    } finally {
      await bed.close();
    }
  });

  test("withheld-blobs attack: heartbeats alone keep nobody fresh under a policy known to be superseded", async () => {
    const on = await start();
    const { bed, orders, invoice, blobs, offer } = on;
    const secret = invoice.replace("invoices/1", "secrets/1");
    const later = (ms: number): void => {
      bed.clock.shiftMs += ms;
      bed.feed.heartbeat();
      orders.nonce = undefined;
    };
    try {
      offer(2);
      await until(() => failuresOf(on) >= 1, "an attempt");
      later(newerWaitingMsMax - 5_000);
      assert.equal((await orders.send(secret)).status, 200, "inside the bound");
      later(6_000);
      assert.equal((await orders.send(secret)).code, "stale-snapshot");
      assert.equal((await orders.send(invoice)).status, 200, "its own bound is 5 min");
      assert.ok((bed.gateway.status().stalenessMs ?? 0) > newerWaitingMsMax, "from the offer on");
      later(300_000);
      assert.equal((await orders.send(invoice)).code, "stale-snapshot");
      blobs.unreachable = false;
      offer(3);
      await until(() => bed.gateway.status().snapshot?.version === 3, "control's next one");
      assert.ok((bed.gateway.status().stalenessMs ?? Number.POSITIVE_INFINITY) < 3_000, "fresh again");
    } finally {
      await bed.close();
    }
  });

  test("is refused on a later attempt: no more attempts, and still not fresh", async () => {
    const on = await start();
    const { bed, offer, blobs } = on;
    try {
      offer(2, { expiresAt: bed.clock.now() + 20_000 });
      await until(() => failuresOf(on) >= 1, "an attempt");
      bed.clock.shiftMs += newerWaitingMsMax + 1_000;
      bed.feed.heartbeat();
      await until(() => bed.gateway.status().refused?.refusal === "expired", "the refusal");
      const { asked } = blobs;
      assert.ok((bed.gateway.status().stalenessMs ?? 0) > newerWaitingMsMax);
      blobs.unreachable = false;
      offer(3);
      await until(() => bed.gateway.status().snapshot?.version === 3, "control's next one");
      assert.ok(blobs.asked > asked);
      assert.ok((bed.gateway.status().stalenessMs ?? Number.POSITIVE_INFINITY) < 3_000);
    } finally {
      await bed.close();
    }
  });
});

test("pauses between attempts grow from 100 ms and never beyond 5 s", () => {
  const always = (byte: number) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) });
  const pauses = [1, 2, 3, 4, 20].map((failures) => retryAfterMs(failures, always(0)));
  assert.deepEqual(pauses, [100, 200, 400, 800, 2_500]);
  for (let failures = 1; failures < 40; failures++) {
    const longest = retryAfterMs(failures, always(255));
    assert.ok(longest >= retryPauseMs.first && longest <= retryPauseMs.max, String(longest));
  }
});
