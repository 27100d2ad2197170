// Promises the commands about tokens as a commands module for the tests of this folder. Trusts store.ts. Shape: docs/store.md "A commands module".
import { outboxCommands } from "@sallyport/kernel/store/outbox.ts";
import { backupMigrations } from "../../backup/store.ts";
import { oauthCommands, oauthMigrations } from "../oauth/store.ts";
import { identityCommands, identityMigrations } from "../store.ts";
import { tokensCommands } from "./store.ts";

export const commands = { ...outboxCommands, ...identityCommands, ...oauthCommands, ...tokensCommands };
export const migrations = [...identityMigrations, ...oauthMigrations, ...backupMigrations];
