// Promises what a running control plane does by the clock: due changes and records each second, counted refusals, old replay ids, last sights
// and hop certificates now and then; a run never overlaps itself and none is left when it is stopped. Trusts its parts. Specified in docs/control.md.
import type { Clock } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { AdminLog } from "./audit/admin-log.ts";
import type { ArchiveMover } from "./audit/keeping/mover.ts";
import type { Witnessing } from "./audit/witnessing.ts";
import type { ControlCommands } from "./commands.ts";
import { type ChannelService, hopCertificateMs } from "./gateways/channel-service.ts";
import type { Hub } from "./gateways/hub.ts";
import type { EnvironmentIdentity } from "./identity/environment-identity.ts";
import type { Operators } from "./identity/operators-at-work.ts";
import type { InForce } from "./in-force.ts";
import type { RuleTrials } from "./watch/rule-trials.ts";

export interface UpkeepParts {
  readonly tenant: string;
  readonly inForce: InForce;
  readonly service: ChannelService;
  readonly adminLog: AdminLog;
  readonly operators: Operators;
  readonly trials: Pick<RuleTrials, "tick">;
  readonly witnessing: Pick<Witnessing, "tick">;
  readonly hub: Hub;
  /** Null where no archive store is configured. */
  readonly mover: ArchiveMover | null;
  readonly store: Pick<Store<ControlCommands>, "run">;
  readonly secrets: { readonly keyring: Pick<Keyring, "reload"> };
  readonly clock: Clock;
  readonly fault: (error: unknown) => void;
}

const tickMs = 1_000;
const witnessMs = 5_000;
const housekeepingMs = 10_000;
const hopRenewalMs = hopCertificateMs / 4;
/** A thousand each. */
const purgeRoundsMax = 20;

/** Starts the clockwork; the returned function stops it and resolves when nothing runs any more. */
export function startUpkeep(parts: UpkeepParts): () => Promise<void> {
  const {
    tenant,
    inForce,
    service,
    adminLog,
    operators,
    trials,
    witnessing,
    hub,
    mover,
    store,
    secrets,
    clock,
    fault,
  } = parts;
  let hopDueMs = clock.now() + hopRenewalMs;
  const everywhere = async (work: (identity: EnvironmentIdentity) => Promise<unknown>) => {
    await Promise.all([...inForce.identities.values()].map((identity) => work(identity).catch(fault)));
  };
  const stops = [
    repeat(tickMs, fault, () => inForce.tick()),
    // Each on its own: none of these waits for snapshots to be compiled.
    repeat(tickMs, fault, () => operators.tick()),
    // Whoever is slow to show its keys, or to be told, holds up nobody else.
    repeat(tickMs, fault, () => everywhere(({ trusted }) => trusted.tick())),
    repeat(tickMs, fault, () => everywhere(({ published }) => published.tick())),
    repeat(tickMs, fault, () => everywhere((identity) => identity.tellClients())),
    repeat(tickMs, fault, () => everywhere((identity) => identity.endRemovedProviders())),
    repeat(tickMs, fault, () => adminLog.drain()),
    // On its own: a slow place elsewhere holds up nothing here.
    ...(mover === null ? [] : [repeat(housekeepingMs, fault, () => mover.tick())]),
    // On its own: a backtest takes its time.
    repeat(tickMs, fault, () => trials.tick()),
    repeat(witnessMs, fault, () => witnessing.tick()),
    repeat(housekeepingMs, fault, async () => {
      // Another node of this store may have rotated the keys: nothing is sealed under those of before for long.
      await secrets.keyring.reload();
      await inForce.flush();
      await operators.flush();
      for (let round = 0; round < purgeRoundsMax && (await store.run("purgeReplayIds", null)) > 0; round += 1);
      for (let round = 0; round < purgeRoundsMax && (await store.run("endExpiredSessions", null)) > 0; round += 1);
      for (let round = 0; round < purgeRoundsMax && (await store.run("purgePeople", null)) > 0; round += 1);
      for (let round = 0; round < purgeRoundsMax && (await store.run("purgeOAuth", null)) > 0; round += 1);
      for (let round = 0; round < purgeRoundsMax && (await store.run("purgeHandles", null)) > 0; round += 1);
      for (let round = 0; round < purgeRoundsMax && (await store.run("endPayloadKeys", { tenant })) > 0; round += 1);
      for (const { node } of hub.connected()) await store.run("touchNode", { node });
      if (clock.now() < hopDueMs) return;
      hopDueMs = clock.now() + hopRenewalMs;
      for (const address of hub.connected()) await service.sendHopCertificate(address);
    }),
  ];
  return async () => {
    // What it waits for elsewhere is given up, not waited for.
    await mover?.stop();
    for (const stop of stops) await stop();
  };
}

/** Runs `work` every `everyMs`, never twice at once; the returned function ends it and waits for the run under way. */
function repeat(everyMs: number, fault: (error: unknown) => void, work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  const timer = setInterval(() => {
    running ??= work()
      .catch(fault)
      .finally(() => {
        running = null;
      });
  }, everyMs);
  return async () => {
    clearInterval(timer);
    await running;
  };
}
