// Promises every command an issuer with people can use as a commands module for independent-clients.test.ts. Trusts the stores of the folders beside.
// Shape: docs/store.md "A commands module".
import { commands as identity, migrations as identityMigrations } from "../commands.test-support.ts";
import { peopleCommands, peopleMigrations } from "../people/store.ts";

export const commands = { ...identity, ...peopleCommands };
export const migrations = [...identityMigrations, ...peopleMigrations];
export type IndependentCommands = typeof commands;
