// docs/upgrade.md: what every released version left behind opens, verifies and serves with this program.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { restoreBackup } from "@sallyport/control/backup/restore-backup.ts";
import type { Control } from "@sallyport/control/control.ts";
import { closedCopy } from "@sallyport/kernel/log/closed-copy.ts";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { Secret } from "@sallyport/kernel/seal/secret.ts";
import { testServer } from "@sallyport/kernel/store/for-each-dialect.ts";
import { dropSchema } from "@sallyport/kernel/store/import.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { signerFromPem } from "@sallyport/sdk/node-crypto.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import { until } from "../installation.test-support.ts";
import { systemClock, systemRandom } from "../roles/system-ports.ts";
import {
  fixturePassphrase,
  fixturesFolder,
  fixtureVersions,
  loadedEstate,
  readFixture,
  startFixture,
  unpackDirectory,
} from "./fixture.ts";

const bounded = { timeout: 120_000 };
const root = mkdtempSync(join(tmpdir(), "sallyport-upgrade-"));
const roots = getCACertificates("bundled");
let server: Awaited<ReturnType<typeof testServer>>;
const schemas: string[] = [];
before(async () => {
  server = await testServer();
}, bounded);
after(async () => {
  for (const schema of schemas) await dropSchema(server.url, schema);
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

/** Serves: ready, snapshot published, a token for the client of then. */
async function judgeServing(control: Control, data: string, clientKey: string): Promise<void> {
  // Rows that waited in the outbox for as long as the fixture is old go into the log first.
  await until("readiness", async () => (await control.readiness()).ready);
  setDefaultCACertificates([...roots, readFileSync(join(data, "ca", "control.pem"), "utf8")]);
  const issuer = `${control.addresses.identity}/main/production`;
  const client = new TokenClient({ issuer, clientId: "orders", key: signerFromPem(clientKey) });
  const { token } = await client.token({ resource: `${issuer}/systems/billing` });
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  assert.deepEqual([claims.sub, claims.aud], ["orders", `${issuer}/systems/billing`]);
  // A join token carries the snapshot key of its group: made only when there is one.
  assert.ok((await control.joinToken(null)).length > 0);
}

function judgeLog(data: string, origins: number): void {
  const directory = join(data, "log");
  const disk = realDisk();
  const newest = closedCopy(disk, directory).origins.at(-1)?.origin ?? "";
  const verifierKey = printVerifierKey(sha256, newest, loadLogKey(disk, directory).publicKey);
  const report = verifyLogDirectory(directory, { verifierKey });
  assert.deepEqual(report.problems, []);
  assert.ok(report.origins.length >= origins);
}

for (const version of fixtureVersions()) {
  const fixture = readFixture(version);

  test(
    `a data directory of ${version} is opened, brought forward and served from; its log verifies`,
    bounded,
    async () => {
      const data = join(root, `data-${version}`);
      mkdirSync(data, { mode: 0o700 });
      unpackDirectory(fixture.data, data);
      const control = await startFixture(data);
      try {
        await control.apply(loadedEstate(fixture.estate));
        await judgeServing(control, data, fixture.clientKey);
      } finally {
        await control.stop();
      }
      judgeLog(data, 1);
    },
  );

  for (const [from, to] of [
    ["sqlite", "sqlite"],
    ["sqlite", "postgres"],
    ["postgres", "sqlite"],
    ["postgres", "postgres"],
  ] as const)
    test(
      `a backup of ${version} on ${from} is restored to ${to} and served from; its log verifies across the seam`,
      bounded,
      async () => {
        const data = join(root, `${from}-${to}-${version}`);
        const storeSchema = `upgrade_${process.pid}_${schemas.length}`;
        if (to === "postgres") schemas.push(storeSchema);
        const store = to === "postgres" ? { storeUrl: server.url, storeSchema } : { storeUrl: null };
        const report = await restoreBackup({
          path: fileURLToPath(new URL(`${version}/${from}.sallyport`, fixturesFolder)),
          unlock: { kind: "passphrase", passphrase: Secret.fromText(fixturePassphrase) },
          signer: null,
          dataDirectory: data,
          ...store,
          states: "keep",
          dryRun: false,
          actor: "local:test",
          clock: systemClock,
          random: systemRandom,
        });
        assert.deepEqual([report.manifest.product, report.manifest.dialect, report.dialect], [version, from, to]);
        const control = await startFixture(data, store);
        try {
          assert.notEqual(
            control.operatorKey,
            null,
            "a restore ends every operator's key, so there is a first one again",
          );
          await control.apply(loadedEstate(fixture.estate));
          await judgeServing(control, data, fixture.clientKey);
        } finally {
          await control.stop();
        }
        judgeLog(data, 2);
      },
    );
}

test("there is a fixture of the first version, and none of a version that is not released", () => {
  assert.ok(fixtureVersions().includes("0.1.0"));
  for (const version of fixtureVersions()) assert.match(version, /^\d+\.\d+\.\d+$/);
});
