// Promises the tables of people and, from its neighbours, their commands: users, credentials, log-in sessions, attempts. Passwords are Argon2id,
// whatever opens something is a SHA-256, seeds of one-time codes are sealed. Trusts the store to run each command in one transaction.
// Tables: docs/identity/people.md "What is stored".
import type { Migration } from "@sallyport/kernel/store/migration.ts";
import type { CommandTable } from "@sallyport/kernel/store/port.ts";
import { attemptCommands } from "./attempt-commands.ts";
import { consentCommands } from "./consent-commands.ts";
import { credentialCommands } from "./credential-commands.ts";
import { logoutCommands } from "./logout-commands.ts";
import { linkCommands } from "./outside/link-commands.ts";
import { outsideSessionCommands } from "./outside/outside-sessions.ts";
import { sessionCommands } from "./session-commands.ts";
import { sessionEndCommands } from "./session-ends.ts";
import { userCommands } from "./user-commands.ts";

export const peopleMigrations: readonly Migration[] = [
  {
    capability: "people",
    version: 1,
    name: "users, credentials, sessions, attempts",
    up: (t) => {
      const place = `tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL`;
      return [
        `CREATE TABLE people_user (${place}, id ${t.text} NOT NULL, name ${t.text} NOT NULL, state ${t.text} NOT NULL, created_at ${t.integer} NOT NULL,
          disabled_at ${t.integer}, password ${t.text}, password_at ${t.integer}, totp ${t.blob}, totp_at ${t.integer}, totp_step ${t.integer},
          PRIMARY KEY (tenant, environment, id)) ${t.table}`,
        "CREATE UNIQUE INDEX people_user_name ON people_user (tenant, environment, name)",
        `CREATE TABLE people_enrolment (${place}, digest ${t.text} NOT NULL, user_id ${t.text} NOT NULL, created_at ${t.integer} NOT NULL,
          until ${t.integer} NOT NULL, used_at ${t.integer}, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
        `CREATE TABLE people_passkey (${place}, id ${t.text} NOT NULL, user_id ${t.text} NOT NULL, public_key ${t.blob} NOT NULL, counter ${t.integer} NOT NULL,
          synced ${t.integer} NOT NULL, transports ${t.text} NOT NULL, created_at ${t.integer} NOT NULL, used_at ${t.integer},
          PRIMARY KEY (tenant, environment, id)) ${t.table}`,
        "CREATE INDEX people_passkey_user ON people_passkey (tenant, environment, user_id)",
        `CREATE TABLE people_recovery (${place}, user_id ${t.text} NOT NULL, digest ${t.text} NOT NULL, used_at ${t.integer},
          PRIMARY KEY (tenant, environment, user_id, digest)) ${t.table}`,
        `CREATE TABLE people_session (${place}, sid ${t.text} NOT NULL, digest ${t.text} NOT NULL, user_id ${t.text} NOT NULL, created_at ${t.integer} NOT NULL,
          seen_at ${t.integer} NOT NULL, idle_until ${t.integer} NOT NULL, until ${t.integer} NOT NULL, auth_time ${t.integer} NOT NULL, acr ${t.text} NOT NULL,
          amr ${t.text} NOT NULL, device ${t.text} NOT NULL, browser ${t.text} NOT NULL, ended_at ${t.integer}, ended_why ${t.text},
          PRIMARY KEY (tenant, environment, sid)) ${t.table}`,
        "CREATE UNIQUE INDEX people_session_digest ON people_session (tenant, environment, digest)",
        "CREATE INDEX people_session_user ON people_session (tenant, environment, user_id)",
        "CREATE INDEX people_session_until ON people_session (until)",
        `CREATE TABLE people_session_client (${place}, sid ${t.text} NOT NULL, client ${t.text} NOT NULL, PRIMARY KEY (tenant, environment, sid, client)) ${t.table}`,
        `CREATE TABLE people_logout (id ${t.text} NOT NULL PRIMARY KEY, ${place}, sid ${t.text} NOT NULL, user_id ${t.text} NOT NULL, client ${t.text} NOT NULL,
          created_at ${t.integer} NOT NULL, next_at ${t.integer} NOT NULL, attempts ${t.integer} NOT NULL, state ${t.text} NOT NULL) ${t.table}`,
        "CREATE INDEX people_logout_next ON people_logout (state, next_at)",
        `CREATE TABLE people_device (${place}, user_id ${t.text} NOT NULL, digest ${t.text} NOT NULL, created_at ${t.integer} NOT NULL,
          until ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, user_id, digest)) ${t.table}`,
        "CREATE INDEX people_device_until ON people_device (until)",
        `CREATE TABLE people_attempt (${place}, bucket ${t.text} NOT NULL, full_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, bucket)) ${t.table}`,
        "CREATE INDEX people_attempt_full ON people_attempt (full_at)",
        `CREATE TABLE people_spent (${place}, digest ${t.text} NOT NULL, until ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
        "CREATE INDEX people_spent_until ON people_spent (until)",
      ];
    },
  },
  {
    capability: "people",
    version: 2,
    name: "consents",
    up: (t) => [
      `CREATE TABLE people_consent (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, user_id ${t.text} NOT NULL, client ${t.text} NOT NULL,
        providers ${t.text} NOT NULL, scopes ${t.text} NOT NULL, created_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, user_id, client)) ${t.table}`,
    ],
  },
  {
    capability: "people",
    version: 3,
    name: "telling clients of ends",
    up: (t) => [
      `ALTER TABLE people_logout ADD COLUMN lease ${t.text}`,
      `ALTER TABLE people_logout ADD COLUMN why ${t.text}`,
    ],
  },
  {
    capability: "people",
    version: 4,
    name: "log-ins through providers outside",
    up: (t) => {
      const place = `tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL`;
      return [
        `CREATE TABLE people_link (${place}, digest ${t.text} NOT NULL, user_id ${t.text} NOT NULL, provider ${t.text} NOT NULL,
          created_at ${t.integer} NOT NULL, PRIMARY KEY (tenant, environment, digest)) ${t.table}`,
        "CREATE UNIQUE INDEX people_link_user ON people_link (tenant, environment, user_id, provider)",
        `CREATE TABLE people_provider_key (${place}, provider ${t.text} NOT NULL, sealed ${t.blob} NOT NULL, created_at ${t.integer} NOT NULL,
          PRIMARY KEY (tenant, environment, provider)) ${t.table}`,
      ];
    },
  },
  {
    capability: "people",
    version: 5,
    name: "which provider outside vouched for a session",
    up: (t) => [
      `CREATE TABLE people_session_outside (tenant ${t.text} NOT NULL, environment ${t.text} NOT NULL, sid ${t.text} NOT NULL, issuer ${t.text} NOT NULL,
        link ${t.text} NOT NULL, session ${t.text}, PRIMARY KEY (tenant, environment, sid, issuer)) ${t.table}`,
      "CREATE INDEX people_session_outside_link ON people_session_outside (tenant, environment, issuer, link)",
    ],
  },
];

export const peopleCommands = {
  ...userCommands,
  ...credentialCommands,
  ...sessionCommands,
  ...sessionEndCommands,
  ...attemptCommands,
  ...consentCommands,
  ...logoutCommands,
  ...linkCommands,
  ...outsideSessionCommands,
} satisfies CommandTable;

export type PeopleCommands = typeof peopleCommands;
