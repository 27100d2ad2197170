// Promises the identity commands as a commands module for the tests of this folder. Trusts store.ts. Shape: docs/store.md "A commands module".
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import { backupMigrations } from "../backup/store.ts";
import { exchangeCommands, exchangeMigrations } from "./exchange/revoked.ts";
import { oauthCommands, oauthMigrations } from "./oauth/store.ts";
import { identityCommands, identityMigrations } from "./store.ts";
import { handleCommands, handleMigrations } from "./tokens/handles.ts";
import { tokensCommands } from "./tokens/store.ts";
import { trustCommands, trustMigrations } from "./trust/store.ts";

export const commands = {
  ...outboxCommands,
  ...identityCommands,
  ...oauthCommands,
  ...trustCommands,
  ...exchangeCommands,
  ...tokensCommands,
  ...handleCommands,
};
export const migrations = [
  ...identityMigrations,
  ...oauthMigrations,
  ...trustMigrations,
  ...exchangeMigrations,
  ...handleMigrations,
  ...backupMigrations,
];
