// Promises what a started role can be asked and told, whatever it is made of. Trusts the role's own file.
import type { RoleEndpoints } from "./endpoints.ts";
import type { Standing } from "./reporter.ts";

export interface RunningRole {
  /** Name -> origin of everything that listens, for the start banner. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Further facts for the start line: paths, never secrets. */
  readonly details?: Readonly<Record<string, string>>;
  /** Where it can be reached now, for endpoints.json. */
  endpoints(): RoleEndpoints;
  /** What is served here and what is not. */
  standing(): Promise<Standing>;
  readiness(): { readonly ready: boolean } | Promise<{ readonly ready: boolean }>;
  metricsText(): Promise<string>;
  /** Not ready, lets work in flight end within the grace, closes everything. */
  stop(graceMs: number): Promise<void>;
}

/** The part of pino the roles use. */
export interface RoleLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
