// Promises the tables of grants and of what stands for them (codes, refresh tokens, pushed requests, interactions): ids only as SHA-256, what could be
// used only sealed, each used once by compare-and-set, and a grant that ended stays as a tombstone. Trusts the store to run each command in one
// transaction. Tables: docs/identity/authorization-code.md "What is stored".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { deviceCommands } from "../device/device-commands.ts";
import { grantCommands } from "./grant-commands.ts";
import { requestCommands } from "./request-commands.ts";

export const oauthMigrations: readonly Migration[] = [
  {
    capability: "oauth",
    version: 1,
    name: "grants, authorization requests, codes, refresh tokens",
    up: (t) => {
      const place = `tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL`;
      return [
        `CREATE TABLE oauth_grant (${place}, id ${t.text} NOT NULL, client ${t.text} NOT NULL, subject ${t.text} NOT NULL, session ${t.text},
          created_at ${t.integer} NOT NULL, expires_at ${t.integer} NOT NULL, ended_at ${t.integer}, sealed ${t.blob} NOT NULL,
          PRIMARY KEY (tenant, environment, id)) ${t.table}`,
        "CREATE INDEX oauth_grant_session ON oauth_grant (tenant, environment, session)",
        "CREATE INDEX oauth_grant_subject ON oauth_grant (tenant, environment, subject)",
        "CREATE INDEX oauth_grant_expires ON oauth_grant (expires_at)",
        `CREATE TABLE oauth_object (${place}, kind ${t.text} NOT NULL, digest ${t.text} NOT NULL, client ${t.text} NOT NULL, grant_id ${t.text},
          expires_at ${t.integer} NOT NULL, used_at ${t.integer}, sealed ${t.blob} NOT NULL, PRIMARY KEY (tenant, environment, kind, digest)) ${t.table}`,
        "CREATE INDEX oauth_object_expires ON oauth_object (expires_at)",
        `CREATE TABLE oauth_answer (${place}, digest ${t.text} NOT NULL, holder ${t.text} NOT NULL, asked ${t.text} NOT NULL, until ${t.integer} NOT NULL,
          sealed ${t.blob} NOT NULL, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
        "CREATE INDEX oauth_answer_until ON oauth_answer (until)",
      ];
    },
  },
  {
    capability: "oauth",
    version: 2,
    name: "device codes",
    up: (t) => [
      `CREATE TABLE oauth_device (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, digest ${t.text} NOT NULL, user_code ${t.text} NOT NULL,
        interval_ms ${t.integer} NOT NULL, next_poll_at ${t.integer} NOT NULL, expires_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
      "CREATE UNIQUE INDEX oauth_device_user_code ON oauth_device (tenant, environment, user_code)",
      "CREATE INDEX oauth_device_expires ON oauth_device (expires_at)",
    ],
  },
];

export const oauthCommands = { ...requestCommands, ...grantCommands, ...deviceCommands } satisfies CommandTable;

export type OAuthCommands = typeof oauthCommands;
