// Promises the control store's commands and migrations in one module, which the store imports by URL in its writer thread too.
// Trusts each capability for its own. A capability joins by one line in each list. Shape: docs/store.md, "A commands module".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { keepingCommands, keepingMigrations } from "./audit/keeping/store.ts";
import { auditCommands, auditMigrations } from "./audit/store.ts";
import { witnessCommands, witnessMigrations } from "./audit/witness-store.ts";
import { backupCommands, backupMigrations } from "./backup/store.ts";
import { apiKeyCommands, apiKeyMigrations } from "./identity/api-keys/store.ts";
import { enrolmentCommands } from "./identity/clients/enrolment-commands.ts";
import { clientsCommands, clientsMigrations } from "./identity/clients/store.ts";
import { exchangeCommands, exchangeMigrations } from "./identity/exchange/revoked.ts";
import { oauthCommands, oauthMigrations } from "./identity/oauth/store.ts";
import { peopleCommands, peopleMigrations } from "./identity/people/store.ts";
import { identityCommands, identityMigrations } from "./identity/store.ts";
import { encryptionCommands, encryptionMigrations } from "./identity/tokens/encryption-keys.ts";
import { handleCommands, handleMigrations } from "./identity/tokens/handles.ts";
import { tokensCommands } from "./identity/tokens/store.ts";
import { trustCommands, trustMigrations } from "./identity/trust/store.ts";
import { payloadCommands, payloadMigrations } from "./payloads/store.ts";
import { registryCommands, registryMigrations } from "./registry/store.ts";
import { secretCommands, secretMigrations } from "./secrets/store.ts";
import { gateCommands, gateMigrations } from "./watch/gate-store.ts";
import { watchCommands, watchMigrations } from "./watch/store.ts";

type Together<Tables> = (Tables extends unknown ? (table: Tables) => void : never) extends (table: infer All) => void
  ? All
  : never;

/** One table of all given ones. Throws when two have a command of the same name: one of them would never run. */
export function together<Tables extends readonly CommandTable[]>(...tables: Tables): Together<Tables[number]> {
  const all: Record<string, CommandTable[string]> = {};
  for (const table of tables)
    for (const [name, command] of Object.entries(table)) {
      if (Object.hasOwn(all, name)) throw new Error(`two capabilities have a command named ${name}`);
      all[name] = command;
    }
  // Exactly the members of all tables were put in.
  return all as Together<Tables[number]>;
}

export const commands = together(
  outboxCommands,
  auditCommands,
  keepingCommands,
  payloadCommands,
  backupCommands,
  clientsCommands,
  enrolmentCommands,
  identityCommands,
  oauthCommands,
  peopleCommands,
  tokensCommands,
  registryCommands,
  secretCommands,
  trustCommands,
  exchangeCommands,
  handleCommands,
  encryptionCommands,
  witnessCommands,
  watchCommands,
  gateCommands,
  apiKeyCommands,
);

export const migrations: readonly Migration[] = [
  ...identityMigrations,
  ...oauthMigrations,
  ...peopleMigrations,
  ...clientsMigrations,
  ...registryMigrations,
  ...secretMigrations,
  ...trustMigrations,
  ...exchangeMigrations,
  ...handleMigrations,
  ...encryptionMigrations,
  ...auditMigrations,
  ...keepingMigrations,
  ...payloadMigrations,
  ...backupMigrations,
  ...witnessMigrations,
  ...watchMigrations,
  ...gateMigrations,
  ...apiKeyMigrations,
];

export type ControlCommands = typeof commands;
