// Promises one place for what a running process says: `serve` and `dev` say different things of the same life. Trusts run.ts, which calls it.
// Specified in docs/cli/serve.md "The start banner" and docs/cli/dev.md.
import type { ApplyReport } from "@sallyport/control/admin/actions.ts";
import type { Notice } from "@sallyport/control/admin/notices.ts";
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import type { DiskFacts } from "../doctor/disk.ts";
import type { Endpoints } from "./endpoints.ts";
import type { RoleLogger } from "./running-role.ts";

/** Something that is declared and not served. */
export interface NotServed {
  readonly environment: string;
  /** `integration/orders-to-billing` */
  readonly object: string;
  /** `systems/billing.yaml:3`; empty where no file says it. */
  readonly place: string;
  /** With the fix. */
  readonly why: string;
}

export interface ServedHere {
  readonly environment: string;
  readonly systems: number;
  readonly operations: number;
  /** State -> how many. */
  readonly integrations: Readonly<Record<string, number>>;
}

/** What a role has to say for itself, beyond its addresses. */
export interface Standing {
  readonly served: readonly ServedHere[];
  readonly notServed: readonly NotServed[];
  readonly notices: readonly Notice[];
  readonly warnings: readonly string[];
}

export interface StartFacts {
  readonly endpoints: Endpoints;
  readonly addresses: Readonly<Record<string, string>>;
  readonly details: Readonly<Record<string, string>>;
  readonly readiness: { readonly ready: boolean };
  readonly standing: Standing;
  readonly dataDirectory: string;
  readonly disk: DiskFacts;
}

export interface Reporter {
  readonly logger: RoleLogger;
  applied(report: ApplyReport, loaded: LoadedEstate): void;
  applyFailed(error: unknown): void;
  ready(facts: StartFacts): void;
  stopping(signal: string, graceMs: number): void;
  stopped(): void;
}
