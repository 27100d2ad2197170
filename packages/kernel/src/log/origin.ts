// Promises the names of origins and the folders they live in. Trusts the identity it is given. Specified in docs/formats/leaf.md "Origins".

export interface LogIdentity {
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly node: string;
  readonly role: "all" | "control" | "gateway";
  /** Version of this program, for the `start` leaf. */
  readonly version: string;
}

export const defaultOriginPrefix = "sallyport.local";

/** `<prefix>/<tenant>/<environment>/<node>/<role>/<year>`. */
export function originName(prefix: string, identity: LogIdentity, year: number): string {
  const { tenant, environment, node, role } = identity;
  return `${prefix}/${tenant}/${environment}/${node}/${role}/${year}`;
}

/** The year folders among the names of a log directory, oldest first. */
export function yearFolders(names: readonly string[]): number[] {
  return names
    .filter((name) => /^[1-9][0-9]{3}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

/** UTC year of a time in milliseconds since the epoch. */
export function yearOf(at: number): number {
  return new Date(at).getUTCFullYear();
}

/** The same log in another year: the origin with its last element replaced. */
export function originOfYear(origin: string, year: number): string {
  return `${origin.slice(0, origin.lastIndexOf("/"))}/${year}`;
}

/** The year that ends an origin line. */
export function yearOfOrigin(origin: string): number {
  return Number(origin.slice(origin.lastIndexOf("/") + 1));
}

/** What an origin line says. */
export interface OriginPlace {
  readonly tenant: string;
  readonly environment: string;
  readonly node: string;
  readonly role: LogIdentity["role"];
  /** UTC. */
  readonly year: number;
}

const originForm =
  /^[a-z0-9][a-z0-9.-]*\/([a-z][a-z0-9-]{0,126})\/([a-z][a-z0-9-]{0,126})\/([a-z][a-z0-9-]{0,126})\/(all|control|gateway)\/([1-9][0-9]{3})$/;

/** Reads `<prefix>/<tenant>/<environment>/<node>/<role>/<year>`; null for anything else. */
export function parseOriginName(origin: string): OriginPlace | null {
  const [, tenant, environment, node, role, year] = originForm.exec(origin) ?? [];
  if (tenant === undefined || environment === undefined || node === undefined) return null;
  if (role !== "all" && role !== "control" && role !== "gateway") return null;
  return { tenant, environment, node, role, year: Number(year) };
}
