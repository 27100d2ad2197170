// Promises the people of one issuer: every page below it, over parts that a test can bring itself. Trusts its parts. Specified in docs/identity/people.md.
import type { Clock, Random } from "@sallyport/kernel/ports.ts";
import type { PurposeRing } from "@sallyport/kernel/seal/keyring.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { createTokenCrypto } from "@sallyport/kernel/token-crypto.ts";
import type { PeopleConfig } from "../../registry/config/estate.ts";
import type { Directory } from "../directory.ts";
import type { IssuanceRecorder } from "../issuance-record.ts";
import type { RingView } from "../issuer.ts";
import type { AuthorizationDesk, DeviceDesk } from "../oauth/interaction.ts";
import { ringKeys } from "../ring-keys.ts";
import type { IssuerRoute } from "../seams.ts";
import type { ProviderFetch } from "./outside/guarded-fetch.ts";
import { createProviders, type ProvidersOptions } from "./outside/providers.ts";
import { cookieNames } from "./pages/browser-request.ts";
import { passkeyPlace } from "./passkeys.ts";
import type { Passwords } from "./password.ts";
import { accountRoutes } from "./routes/account-routes.ts";
import { deviceRoutes } from "./routes/device-routes.ts";
import { enrolRoutes } from "./routes/enrol-routes.ts";
import { flowRoutes } from "./routes/flow-routes.ts";
import { loginRoutes } from "./routes/login-routes.ts";
import { logoutRoutes } from "./routes/logout-routes.ts";
import { outsideLogoutRoute } from "./routes/outside-logout-route.ts";
import { outsideRoutes } from "./routes/outside-routes.ts";
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
  /** Purpose `people`: seals seeds of one-time codes. */
  readonly seeds: PurposeRing;
  /** 32 random bytes of this installation, from which forms and challenges are keyed. */
  readonly secret: Uint8Array;
  readonly record: Pick<IssuanceRecorder, "refused">;
  readonly desk: AuthorizationDesk | null;
  readonly devices: DeviceDesk | null;
  /** Clients by id, as the registry sees them now. */
  readonly clients: () => Directory["clients"];
  /** The ring: ID tokens that clients show as hints are its. */
  readonly ring: () => Pick<RingView, "keys">;
  readonly bundles: ProvidersOptions["bundles"];
  /** The only way to providers outside. */
  readonly fetchProvider: ProviderFetch;
  readonly revoked: () => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  /** What the estate says now; null: nobody signs in here, and every page is 404. */
  readonly config: () => PeopleConfig | null;
  /** One for the whole process: it bounds what passwords cost. */
  readonly passwords: Passwords;
}

export interface People {
  readonly routes: readonly IssuerRoute[];
  readonly parts: PeopleParts;
}

export function openPeople(options: PeopleOptions): People {
  const { tenant, environment, issuer, secret, clock, random, config } = options;
  const crypto = createTokenCrypto();
  const parts: PeopleParts = {
    ...options,
    get limits(): SessionLimits {
      const { idleMs, absoluteMs } = config() ?? sessionLimits;
      return { idleMs, absoluteMs };
    },
    cookies: cookieNames(tenant, environment),
    values: createSignedValues({ secret, issuer, clock, random }),
    passkeys: passkeyPlace(issuer),
    outside: createProviders({ ...options, send: options.fetchProvider }),
    hintKeys: () => ringKeys(options.ring(), crypto),
  };
  const routes = [
    ...loginRoutes(parts),
    ...enrolRoutes(parts),
    ...accountRoutes(parts),
    ...logoutRoutes(parts),
    ...outsideRoutes(parts),
    outsideLogoutRoute(parts),
    ...(parts.desk === null ? [] : flowRoutes(parts)),
    ...(options.devices === null ? [] : deviceRoutes(parts, options.devices)),
  ];
  return { routes, parts };
}
