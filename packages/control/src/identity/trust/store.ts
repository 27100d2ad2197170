// Promises the table of keys of issuers outside and its commands. Trusts kept-keys.ts. Table: docs/identity/outside-issuers.md.
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { keptKeysCommands, keptKeysTable } from "./kept-keys.ts";

const issuerKeys = { table: "trust_keys", owner: "issuer", action: "trust.keys" } as const;

export const trustMigrations: readonly Migration[] = [
  { capability: "trust", version: 1, name: "keys of outside issuers", up: (t) => [keptKeysTable(t, issuerKeys)] },
];

const { read: readIssuerKeys, change: changeIssuerKeys, confirm: confirmIssuerKeys } = keptKeysCommands(issuerKeys);

export const trustCommands = { readIssuerKeys, changeIssuerKeys, confirmIssuerKeys } satisfies CommandTable;
export type TrustCommands = typeof trustCommands;
