// Promises the registry: what was applied, in which state, which groups and gateways there are, which snapshots they were given.
// Trusts the kernel's store for transactions. Specified in docs/registry.md. Key ring, revocations, replay ids and operators are identity's.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { applyCommands } from "./apply-commands.ts";
import { gatewayCommands, gatewayMigration } from "./gateway-commands.ts";
import { objectMigration } from "./object-tables.ts";
import { snapshotCommands, snapshotMigration } from "./snapshot-commands.ts";
import { stateCommands } from "./state-commands.ts";

export const registryMigrations: readonly Migration[] = [objectMigration, gatewayMigration, snapshotMigration];

export const registryCommands = {
  ...applyCommands,
  ...stateCommands,
  ...gatewayCommands,
  ...snapshotCommands,
} satisfies CommandTable;

export type RegistryCommands = typeof registryCommands;
