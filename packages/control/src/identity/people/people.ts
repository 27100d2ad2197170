// Promises the people of one issuer: every page below it, over parts that a test can bring itself. Trusts its parts. Specified in docs/identity/people.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { Keyring } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { IssuanceRecorder } from "../issuance-record.ts";
import type { AuthorizationDesk, DeviceDesk } from "../oauth/interaction.ts";
import type { IssuerRoute } from "../seams.ts";
import { cookieNames } from "./pages/browser-request.ts";
import { passkeyPlace } from "./passkeys.ts";
import { createPasswords, type Passwords } from "./password.ts";
import { accountRoutes } from "./routes/account-routes.ts";
import { deviceRoutes } from "./routes/device-routes.ts";
import { enrolRoutes } from "./routes/enrol-routes.ts";
import { flowRoutes } from "./routes/flow-routes.ts";
import { loginRoutes } from "./routes/login-routes.ts";
import type { PeopleParts } from "./routes/visit.ts";
import { type SessionLimits, sessionLimits } from "./sessions.ts";
import { createSignedValues } from "./signed-values.ts";
import type { PeopleCommands } from "./store.ts";

/** Purpose under which seeds of one-time codes are sealed. */
export const seedPurpose = "people";

export interface PeopleOptions {
  readonly tenant: string;
  readonly environment: string;
  readonly issuer: string;
  readonly store: Pick<Store<PeopleCommands>, "run">;
  readonly keyring: Pick<Keyring, "ring">;
  /** 32 random bytes of this installation, from which forms and challenges are keyed. */
  readonly secret: Uint8Array;
  readonly record: Pick<IssuanceRecorder, "refused">;
  readonly desk: AuthorizationDesk | null;
  readonly devices: DeviceDesk | null;
  readonly revoked: () => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: SessionLimits;
  /** One for the whole process: it bounds what passwords cost. */
  readonly passwords?: Passwords;
}

export interface People {
  readonly routes: readonly IssuerRoute[];
  readonly parts: PeopleParts;
}

export async function openPeople(options: PeopleOptions): Promise<People> {
  const { tenant, environment, issuer, secret, clock, random, keyring, limits = sessionLimits } = options;
  const parts: PeopleParts = {
    ...options,
    limits,
    cookies: cookieNames(tenant, environment),
    passwords: options.passwords ?? createPasswords({ random }),
    values: createSignedValues({ secret, issuer, clock, random }),
    seeds: await keyring.ring(tenant, seedPurpose),
    passkeys: passkeyPlace(issuer),
  };
  const routes = [
    ...loginRoutes(parts),
    ...enrolRoutes(parts),
    ...accountRoutes(parts),
    ...(parts.desk === null ? [] : flowRoutes(parts)),
    ...(parts.devices === null ? [] : deviceRoutes(parts)),
  ];
  return { routes, parts };
}
