// For tests: what a version of this program left behind, as files in git, and the small installation it was made of. Promises nothing secret:
// every key in it was made for it and protects nothing. Trusts its own files. Promised in docs/upgrade.md.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Control } from "@sallyport/control/control.ts";
import { startControl } from "@sallyport/control/control.ts";
import type { ControlOptions } from "@sallyport/control/control-options.ts";
import type { LoadedEstate } from "@sallyport/control/registry/config/estate.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { systemClock, systemRandom } from "../roles/system-ports.ts";

/** Opens the backups among the fixtures. */
export const fixturePassphrase = "a fixture protects nothing at all";
export const fixturesFolder: URL = new URL("./fixtures/", import.meta.url);
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
/** Public roots, made again at each start; the log's reserve of zeros; the lock of a process that ended. */
const leftOut = /^(?:ca\/|log\/(?:reserve|lock)$)/;

/** What a fixture of one version holds beside its two backups. */
export interface FixtureFiles {
  readonly estate: Readonly<Record<string, string>>;
  /** PKCS #8 of the client `orders`. */
  readonly clientKey: string;
  /** Files of the --data directory of role control, base64 by path. */
  readonly data: Readonly<Record<string, string>>;
}

export function estateOf(jwk: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return {
    "sallyport.yaml": "estate: fixture\nlisteners:\n  public:\n    url: https://127.0.0.1:18443\n",
    "systems/billing.yaml":
      "system: billing\nurl: http://127.0.0.1:18080\nallowPrivate: true\noperations:\n  invoice.create: POST /v1/invoices\n  invoice.read: GET /v1/invoices/{id}\n",
    "systems/orders.yaml":
      "system: orders\nidentity: { client: orders, keys: [orders.jwks.json] }\nuses:\n  - to: billing\n    purpose: Charge a customer when an order ships\n    operations: [invoice.create, invoice.read]\n",
    "systems/orders.jwks.json": JSON.stringify({ keys: [jwk] }),
  };
}

export function loadedEstate(files: Readonly<Record<string, string>>): LoadedEstate {
  return loadEstateFrom(memoryEstateIo(files, () => systemClock.now()));
}

/** A control plane of this process on free ports. */
export function startFixture(
  dataDirectory: string,
  store: Pick<ControlOptions, "storeUrl" | "storeSchema"> = { storeUrl: null },
): Promise<Control> {
  const place = { host: "127.0.0.1", port: 0, url: null };
  return startControl({
    tenant: "main",
    region: "default",
    dataDirectory,
    ...store,
    checkpointCopy: null,
    identity: place,
    channel: place,
    admin: place,
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    snapshotLifetimeMs: 3_600_000,
    heartbeatMs: 1_000,
    rotateEveryMs: 30 * 86_400_000,
  });
}

/** A directory as one compressed value. */
export function packDirectory(directory: string): Readonly<Record<string, string>> {
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .filter((name) => !leftOut.test(name));
  return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(directory, name)).toString("base64")]));
}

export function unpackDirectory(data: FixtureFiles["data"], directory: string): void {
  for (const [name, content] of Object.entries(data)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, name), Buffer.from(content, "base64"), { mode: 0o600 });
  }
}

export function writeFixture(version: string, files: FixtureFiles): void {
  writeFileSync(new URL(`${version}/files.json.gz`, fixturesFolder), gzipSync(JSON.stringify(files), { level: 9 }));
}

export function readFixture(version: string): FixtureFiles {
  const bytes = gunzipSync(readFileSync(new URL(`${version}/files.json.gz`, fixturesFolder)));
  // as: written by writeFixture of some version; the members never change.
  return JSON.parse(bytes.toString("utf8")) as FixtureFiles;
}

/** Versions there is a fixture of, oldest first. */
export function fixtureVersions(): readonly string[] {
  return readdirSync(fixturesFolder).sort();
}
