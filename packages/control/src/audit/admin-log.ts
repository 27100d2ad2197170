// Promises that every administrative act is in control's log exactly once: state changes drained from the outbox by id, reads appended before
// the answer; and that acts stop while the log cannot keep up. Trusts the store's outbox and the log. Specified in docs/store.md, docs/audit.md.
import { hash } from "node:crypto";
import type { LogHandle } from "@sallyport/kernel/log/port.ts";
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import type { AuditRow, Store } from "@sallyport/kernel/store/port.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { referenceContext } from "@sallyport/protocol/audit/reference.ts";
import type { ControlCommands } from "../commands.ts";
import { type AuditAction, undeclared } from "./audit-actions.ts";
import type { Pseudonyms } from "./pseudonyms.ts";

export interface AdminLogOptions {
  readonly tenant: string;
  readonly region: string;
  readonly node: string;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly log: Pick<LogHandle, "append" | "find">;
  readonly pseudonyms: Pseudonyms;
  /** Control's own X25519 public key: facts are sealed to it. */
  readonly recipient: Uint8Array;
  readonly nextId: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly fault: (error: unknown) => void;
}

interface RecordedLeaf {
  readonly bytes: Uint8Array;
  readonly reference: Uint8Array;
}

const drainBatchMax = 500;
/** Batches of one run; what is left waits for the next run, a second later. */
const drainRoundsMax = 200;
const leaseMs = 10_000;
/** A backlog older than this denies administrative acts. */
export const backlogMsMax = 5_000;
const objectForm = /^[a-z][a-z0-9-]*(?:\/[A-Za-z0-9][A-Za-z0-9._:@-]*)*$/;
const actionForm = /^[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*$/;

export class AdminLog {
  readonly #options: AdminLogOptions;
  readonly #sealer: ReturnType<typeof createRecipientSealer>;
  /** Whether nothing that waits can be in the log already. False at the start and after every failure: then each row is looked up first. */
  #clean = false;
  #draining: Promise<void> = Promise.resolve();
  #queued: Promise<void> | null = null;
  #failing: string | null = null;

  constructor(options: AdminLogOptions) {
    this.#options = options;
    this.#sealer = createRecipientSealer({
      recipient: options.recipient,
      random: options.random,
      clock: options.clock,
    });
  }

  /** Appends what the outbox holds; resolves when it is empty or another node drains it. Runs are one after another, at most one waits. */
  drain(): Promise<void> {
    this.#queued ??= this.#draining.then(() => {
      this.#queued = null;
      this.#draining = this.#drainAll().then(
        () => {
          this.#failing = null;
        },
        (error: unknown) => {
          this.#clean = false;
          this.#failing = error instanceof Error ? error.message : "unknown";
          this.#options.fault(error);
        },
      );
      return this.#draining;
    });
    return this.#queued;
  }

  /** Records a read (or another act without a state change), durable when it resolves. `environment`: absent is the operators'. */
  async record(act: {
    readonly environment?: string;
    readonly actor: string;
    readonly action: AuditAction;
    readonly object: string;
    readonly facts?: AuditRow["facts"];
  }): Promise<void> {
    const { nextId, clock, tenant } = this.#options;
    const leaf = await this.#leafOf({
      environment: "sallyport",
      id: nextId(),
      at: clock.now(),
      tenant,
      facts: {},
      ...act,
    });
    await this.#options.log.append(leaf.bytes, leaf.reference);
  }

  /** Why administrative acts must wait, or null. */
  async hold(): Promise<string | null> {
    if (this.#failing !== null) return `the audit log does not take records: ${this.#failing}`;
    const { ageMs } = await this.#options.store.run("outboxBacklog", null);
    return ageMs > backlogMsMax ? `the audit outbox is ${Math.round(ageMs / 1000)} s behind the log` : null;
  }

  async #drainAll(): Promise<void> {
    const { store, node } = this.#options;
    for (let round = 0; round < drainRoundsMax; round += 1) {
      const claim = await store.run("claimOutbox", { node, limit: drainBatchMax, leaseMs });
      if (claim.kind === "held") return;
      if (claim.rows.length === 0) {
        this.#clean = true;
        return;
      }
      await this.#appendRows(claim.rows);
      const marked = await store.run("markDrained", { node, ids: claim.rows.map((row) => row.id) });
      // Another node took over in between: what was appended here waits to be marked and must be looked up.
      this.#clean = marked.kind === "marked" && (this.#clean || claim.rows.length < drainBatchMax);
      if (claim.rows.length < drainBatchMax || marked.kind === "lease-lost") return;
    }
  }

  async #appendRows(rows: readonly AuditRow[]): Promise<void> {
    const { log } = this.#options;
    // Made one after another before the first is appended: the log holds them in the order of the acts, whichever waits for its pseudonym key.
    const leaves: RecordedLeaf[] = [];
    for (const row of rows) {
      // A crash, or a failure, between append and mark leaves rows that are in the log already.
      if (!this.#clean && (await log.find(row.id)).length > 0) continue;
      leaves.push(await this.#leafOf(row));
    }
    const appends = leaves.map(({ bytes, reference }) => log.append(bytes, reference));
    // All of them, before a failure is reported: one that is still under way could not be looked up.
    const failed = (await Promise.allSettled(appends)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  async #leafOf(row: AuditRow): Promise<RecordedLeaf> {
    const { tenant, region, node, pseudonyms, fault } = this.#options;
    // It is recorded all the same: a record is never lost over its words.
    const stray = undeclared(row);
    if (stray.length > 0)
      fault(new Error(`a record of ${row.action} says what its page does not: ${stray.join(", ")}`));
    const reference = this.#seal(row);
    const leaf: Leaf = {
      t: "admin",
      id: row.id,
      at: row.at,
      tenant,
      environment: row.environment,
      region,
      node,
      actor: await pseudonyms.of(row.environment, "actor", row.actor),
      action: actionForm.test(row.action) ? row.action : "unnamed",
      // What is not a plain declared name is named by its hash; the name itself is in the sealed facts.
      object:
        objectForm.test(row.object) && row.object.length <= 255
          ? row.object
          : `object/${hash("sha256", row.object, "hex")}`,
      facts: hash("sha256", reference, "hex"),
    };
    return { bytes: printLeaf(leaf), reference };
  }

  #seal(row: AuditRow): Uint8Array {
    const { actor, action, object, facts } = row;
    return this.#sealer.seal(referenceContext(row), Buffer.from(JSON.stringify({ actor, action, object, facts })));
  }
}
