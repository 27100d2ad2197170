// Makes the fixture of a version that is about to be released: `node packages/cli/src/upgrade/make-fixture.ts 0.1.0`. Once: it is never made again.
// Needs SALLYPORT_TEST_POSTGRES_URL. Promised in docs/upgrade.md.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createBackup } from "@sallyport/control/backup/create-backup.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import { generateClientKey } from "@sallyport/sdk/node-crypto.ts";
import { systemClock, systemRandom } from "../roles/system-ports.ts";
import {
  estateOf,
  fixturePassphrase,
  fixturesFolder,
  loadedEstate,
  packDirectory,
  startFixture,
  writeFixture,
} from "./fixture.ts";

const [version = ""] = process.argv.slice(2);
const url = process.env["SALLYPORT_TEST_POSTGRES_URL"] ?? "";
if (!/^\d+\.\d+\.\d+$/.test(version) || url === "")
  throw new Error("usage: SALLYPORT_TEST_POSTGRES_URL=postgres://… node make-fixture.ts <version>");
const folder = fileURLToPath(new URL(`${version}/`, fixturesFolder));
if (existsSync(folder)) throw new Error(`${folder} exists: a fixture is never made again`);
mkdirSync(folder, { recursive: true });

const root = mkdtempSync(join(tmpdir(), "sallyport-fixture-"));
const key = generateClientKey();
const estate = estateOf({ ...key.signer.jwk });
for (const dialect of ["sqlite", "postgres"] as const) {
  const dataDirectory = join(root, dialect);
  const store = dialect === "sqlite" ? { storeUrl: null } : { storeUrl: url, storeSchema: `fixture_${process.pid}` };
  const control = await startFixture(dataDirectory, store);
  await control.apply(loadedEstate(estate));
  await control.joinToken(null);
  await createBackup({
    tenant: "main",
    dataDirectory,
    ...store,
    path: join(folder, `${dialect}.sallyport`),
    locks: [{ kind: "passphrase", passphrase: Secret.fromText(fixturePassphrase) }],
    actor: "local:fixture",
    clock: systemClock,
    random: systemRandom,
  });
  await control.stop();
}
writeFixture(version, { estate, clientKey: key.pem, data: packDirectory(join(root, "sqlite")) });
rmSync(root, { recursive: true });
