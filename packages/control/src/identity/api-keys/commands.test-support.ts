// Promises the commands about API keys as a commands module for the tests of this folder. Trusts store.ts. Shape: docs/store.md "A commands module".
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import { backupMigrations } from "../../backup/store.ts";
import { identityCommands, identityMigrations } from "../store.ts";
import { apiKeyCommands, apiKeyMigrations } from "./store.ts";

export const commands = { ...outboxCommands, ...identityCommands, ...apiKeyCommands };
export const migrations = [...identityMigrations, ...apiKeyMigrations, ...backupMigrations];
