import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { SealFault } from "@sallyport/kernel/seal/seal-fault.ts";
import { readStoreFile, StoreFileFault } from "./store-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-store-file-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function fileOf(text: string, mode = 0o600): string {
  const path = join(folder, `archive-${++files}.yaml`);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}

const bucket = `s3:
  endpoint: https://s3.eu-central-1.amazonaws.com
  region: eu-central-1
  bucket: acme-audit
  objectLock: compliance
  accessKeyId: AKIAEXAMPLE
  secretAccessKey: canary-secret
`;

test("reads each form of the file, with its defaults", () => {
  assert.deepEqual(readStoreFile(fileOf("directory: logs\n")), {
    place: { kind: "directory", directory: join(folder, "logs") },
    everyMs: 900_000,
    retentionYears: 7,
  });
  const { place, retentionYears } = readStoreFile(fileOf(`${bucket}retention: 10y\n`));
  assert.equal(retentionYears, 10);
  assert.ok(place.kind === "s3" && place.prefix === "sallyport/" && place.objectLock === "compliance");
  const postgres = readStoreFile(fileOf("postgres: { url: 'postgres://u:p@h/d' }\n")).place;
  assert.ok(postgres.kind === "postgres" && postgres.schema === "sallyport_archive");
});

test("what is wrong is named by its key, and no value is repeated", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["directory: a\npostgres: { url: 'postgres://u:canary-secret@h/d' }\n", /exactly one of/],
    ["every: 15m\n", /exactly one of/],
    [bucket.replace("https://", "http://"), /s3\.endpoint: write https/],
    [bucket.replace(".com", ".com/canary-secret"), /s3\.endpoint/],
    [`${bucket}retention: 7d\n`, /retention: write whole years/],
    [`${bucket}retention: 500y\n`, /retention: at most 100y/],
    [`${bucket}every: 1s\n`, /every: out of range/],
    [bucket.replace("objectLock: compliance", "objectLock: governance"), /s3\.objectLock/],
    [`${bucket}  secret: canary-secret\n`, /Unrecognized key/],
    [`${bucket}: [\n`, /is not YAML/],
  ];
  for (const [text, saying] of cases)
    assert.throws(
      () => readStoreFile(fileOf(text)),
      (error: unknown) => {
        assert.ok(error instanceof StoreFileFault, String(error));
        assert.match(error.message, saying);
        assert.ok(!`${error.message}${error.fix}`.includes("canary-secret"), error.message);
        return true;
      },
      text,
    );
});

test("attack: a file that others can read is refused, whatever stands in it", () => {
  assert.throws(() => readStoreFile(fileOf(bucket, 0o644)), SealFault);
});

test("the credentials print as nothing", () => {
  const config = readStoreFile(fileOf(bucket));
  assert.ok(!`${inspect(config, { depth: 9 })}${JSON.stringify(config)}`.includes("canary-secret"));
});
