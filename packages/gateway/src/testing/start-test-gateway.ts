// Promises a real gateway in this process with real sockets, a real dialer, policy engine and log, for tests, benchmarks and demos.
// Trusts its caller to close it. What it serves: test-estate.ts.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import { createPolicyEngine } from "@sallyport/kernel/policy/policy-engine.ts";
import type { Clock } from "@sallyport/kernel/ports.ts";
import { openReceipts } from "@sallyport/kernel/receipts/thread.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { parseLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { createGateway, type Gateway } from "../gateway.ts";
import { dataStoreAt } from "../idempotency/open-data-store.ts";
import type { GatewayOptions, ListenerAddress, ListenerOptions } from "../ports.ts";
import {
  buildSnapshot,
  environment,
  group,
  referenceRecipient,
  region,
  type SnapshotChanges,
  type TestEstate,
  TestFeed,
  tenant,
} from "./test-estate.ts";

/** The machine's clock, which a test may move forward or back. */
export interface MovableClock extends Clock {
  shiftMs: number;
}

export function movableClock(): MovableClock {
  return {
    shiftMs: 0,
    now() {
      return Date.now() + this.shiftMs;
    },
    monotonic() {
      return performance.now() + Math.max(0, this.shiftMs);
    },
  };
}

/** A clock that a test moves, and nobody else: for bounds of seconds, in which a busy machine may do little. */
export function standingClock(): MovableClock {
  // Whole milliseconds: of fractions two moments 30,000 ms apart can differ by a hair less.
  const [atMs, monotonicMs] = [Date.now(), Math.floor(performance.now())];
  return {
    shiftMs: 0,
    now() {
      return atMs + this.shiftMs;
    },
    monotonic() {
      return monotonicMs + Math.max(0, this.shiftMs);
    },
  };
}

export interface TestGateway {
  readonly gateway: Gateway;
  readonly feed: TestFeed;
  readonly clock: MovableClock;
  readonly hop: TokenSigner;
  readonly addresses: readonly ListenerAddress[];
  readonly log: LogHandle;
  readonly directory: string;
  readonly messages: readonly string[];
  /** Publishes a new snapshot and waits until it is in force (or refused). */
  publish(estate: TestEstate, changes?: Partial<SnapshotChanges>): Promise<void>;
  /** Leaves of one crossing, in order. */
  leaves(id: string): Promise<readonly Leaf[]>;
  close(): Promise<void>;
}

export interface TestGatewayOptions {
  readonly estate: TestEstate;
  /** Opens the log the gateway appends to. */
  openLog(directory: string): Promise<LogHandle>;
  /** Makes the gateway; absent: one in this thread. `hopPem`: the key behind its hop signer. */
  make?(options: GatewayOptions, hopPem: string): Gateway;
  readonly listeners?: readonly ListenerOptions[];
  readonly changes?: Partial<GatewayOptions>;
  readonly directory?: string;
  readonly feed?: TestFeed;
  readonly clock?: MovableClock;
  /** What gateways of one data-plane store have in common; absent: one of its own. */
  readonly dataKey?: Uint8Array;
  /** Do not publish the estate: the gateway starts from what its directory holds. */
  readonly unpublished?: boolean;
}

// A Buffer, as node:crypto gives it: whoever slices it without copying is found here.
const random = { bytes: (length: number) => randomBytes(length) };
const pollMs = 2;
/** Not a promise about speed: for what will never come. */
const waitMsMax = 60_000;

/** Waits, in short turns, until `done`; throws after a minute. */
export async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + waitMsMax;
  while (performance.now() < endMs) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error(`waited too long: ${what}`);
}

/** Waits for the outcome of a crossing. */
export async function outcomeOf(
  bed: Pick<TestGateway, "leaves">,
  id: string,
): Promise<Extract<Leaf, { t: "outcome" }>> {
  let found: Leaf | undefined;
  await until(async () => {
    found = (await bed.leaves(id)).find((leaf) => leaf.t === "outcome");
    return found !== undefined;
  }, `an outcome of ${id}`);
  if (found?.t !== "outcome") throw new Error("an outcome is one");
  return found;
}

export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const clock = options.clock ?? movableClock();
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "sallyport-gateway-"));
  const feed = options.feed ?? new TestFeed(() => clock.now());
  const log = await options.openLog(join(directory, "log"));
  const receipts = openReceipts(join(directory, "log"));
  const { signer: hop, pem: hopPem } = generateSigner("ES256");
  const messages: string[] = [];
  const keep = (fields: object, message: string): void => void messages.push(`${message} ${JSON.stringify(fields)}`);
  const made = options.make ?? createGateway;
  const gateway = made(
    {
      tenant,
      environment,
      region,
      group,
      node: "gw-test",
      stateDirectory: join(directory, "gateway"),
      clock,
      dataStore: dataStoreAt({ path: join(directory, "data-plane", "data-plane.sqlite") }, { clock, random }),
      random,
      log,
      receipts,
      feed,
      snapshotKey: { kid: feed.snapshotSigner.kid, x: feed.snapshotSigner.jwk.x },
      logKeys: {
        epoch: "2026",
        pseudonymKey: new Uint8Array(randomBytes(32)),
        referenceRecipient: referenceRecipient(),
        referenceKeyId: "test",
        dataKey: options.dataKey ?? new Uint8Array(randomBytes(32)),
      },
      openTokenKey: (_kid, sealed) => Buffer.from(sealed, "base64url"),
      openLogKeys: () => {
        throw new Error("no log keys are pushed here");
      },
      hop,
      listeners: options.listeners ?? [{ name: "public", host: "127.0.0.1", port: 0 }],
      dialer: createDialer({ clock }),
      policy: createPolicyEngine({ memoEntriesMax: 10_000 }),
      logger: { info: keep, warn: keep, error: keep },
      ...options.changes,
    },
    hopPem,
  );
  let version = 0;
  const publish: TestGateway["publish"] = async (estate, changes = {}) => {
    version++;
    const now = clock.now();
    const built = buildSnapshot(estate, {
      version,
      issuedAt: now,
      expiresAt: now + 86_400_000,
      signer: feed.snapshotSigner,
      ...changes,
    });
    const before = messages.length;
    feed.publish(built);
    await until(
      () =>
        messages
          .slice(before)
          .some((line) => line.startsWith("snapshot in force") || line.startsWith("a snapshot was refused")),
      "a snapshot",
    );
  };
  const addresses = await gateway.start().catch(async (fault: unknown) => {
    await log.close();
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    throw fault;
  });
  if (options.unpublished !== true) {
    await publish(options.estate);
    await until(() => gateway.readiness().ready || !feed.certifiesHopKeys, "readiness");
    // It is opened once a snapshot wants it, beside the first requests.
    await until(() => gateway.status().dataPlane.state !== "opening", "the data store");
  }
  return {
    gateway,
    feed,
    clock,
    hop,
    addresses,
    log,
    directory,
    messages,
    publish,
    leaves: async (id) => (await log.find(id)).map((record) => parseLeaf(record.leaf)),
    async close() {
      await gateway.close();
      await receipts.close();
      await log.close();
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}
