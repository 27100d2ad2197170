// Promises the commands about clients as a commands module for the tests of this folder. Trusts store.ts. Shape: docs/store.md "A commands module".
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import { backupMigrations } from "../../backup/store.ts";
import { identityCommands, identityMigrations } from "../store.ts";
import { enrolmentCommands } from "./enrolment-commands.ts";
import { clientsCommands, clientsMigrations } from "./store.ts";

export const commands = { ...outboxCommands, ...identityCommands, ...clientsCommands, ...enrolmentCommands };
export const migrations = [...identityMigrations, ...clientsMigrations, ...backupMigrations];
