// The file of places as it lives: read again when it changes, kept where what came is none. docs/policy-signals.md "Place".
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { geoFileBytes } from "./geo-file-bytes.test-support.ts";
import { GeoSource, SharedGeo } from "./geo-source.ts";

const file = (country: string) =>
  geoFileBytes([{ network: "192.0.2.0/24", record: { country: { iso_code: country } } }]);
const countryOf = (geo: { find: GeoSource["find"] }) => geo.find("192.0.2.1")?.country;

function opened(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-geo-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "countries.mmdb");
  writeFileSync(path, file("DE"));
  const said: string[] = [];
  const logger = { info: () => {}, warn: (_fields: object, message: string) => void said.push(message) };
  const put = (bytes: Buffer) => {
    writeFileSync(`${path}.new`, bytes);
    renameSync(`${path}.new`, path);
  };
  return { source: new GeoSource(path), path, put, said, logger };
}

test("a file that takes its place is read, and whoever looks into its bytes is told of them", async (context) => {
  const { source, put, said, logger } = opened(context);
  const elsewhere = new SharedGeo(source.bytes);
  source.onChange((bytes) => elsewhere.use(bytes));
  await source.look(logger);
  assert.deepEqual([countryOf(source), countryOf(elsewhere)], ["DE", "DE"]);
  put(file("AT"));
  await source.look(logger);
  assert.deepEqual([countryOf(source), countryOf(elsewhere)], ["AT", "AT"]);
  assert.deepEqual(said, []);
});

test("what is no such file is said once and not taken: the one before stands, and the next whole one is read", async (context) => {
  const { source, path, put, said, logger } = opened(context);
  for (const wrong of [Buffer.from("<html>"), file("AT").subarray(0, 40)]) {
    put(wrong);
    for (const _look of [1, 2]) await source.look(logger);
    assert.equal(countryOf(source), "DE");
  }
  rmSync(path);
  for (const _look of [1, 2]) await source.look(logger);
  assert.equal(said.length, 3, said.join("\n"));
  assert.match(said[0] ?? "", /the one before stands/);
  put(file("FR"));
  await source.look(logger);
  assert.equal(countryOf(source), "FR");
});
