import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Estate } from "./config/estate.ts";
import { loadEstate } from "./config/load.ts";
import { load, soundEstate } from "./config/sound-estate.ts";
import { type EstateRow, environmentsOfRows, rowsOfEstate } from "./estate-rows.ts";

const marketplace = loadEstate(new URL("../../../../examples/marketplace/estate", import.meta.url).pathname, {
  now: () => Date.parse("2026-11-22T00:00:00Z"),
}).estate;
const plain = (value: unknown) => JSON.parse(JSON.stringify(value));

test("the marketplace estate and its rows are the same thing, whatever order a store gives the rows back in", () => {
  const rows = rowsOfEstate(marketplace);
  assert.ok(rows.length > 10);
  assert.deepEqual(plain(environmentsOfRows(rows)), plain(marketplace.environments));
  fc.assert(
    fc.property(fc.shuffledSubarray([...rows], { minLength: rows.length }), (shuffled) => {
      assert.deepEqual(environmentsOfRows(shuffled), environmentsOfRows(rows));
    }),
    { numRuns: 50, seed: 1 },
  );
});

test("a row is one object: its key is its own, and equal text means an equal object", () => {
  const rows = rowsOfEstate(marketplace);
  const keys = rows.map(({ environment, kind, id }) => `${environment} ${kind} ${id}`);
  assert.equal(new Set(keys).size, keys.length);
  assert.deepEqual(rowsOfEstate(marketplace), rows);
  for (const { json } of rows) assert.equal(JSON.stringify(sorted(JSON.parse(json))), json);
});

test("a broken object is kept as broken: a restart of control does not make it vanish or serve it", () => {
  const { estate } = load({ ...soundEstate(), "systems/broken.yaml": "system: broken\nurl: not a url\n" });
  assert.ok(estate.environments.some(({ broken }) => broken.length > 0));
  assert.deepEqual(plain(environmentsOfRows(rowsOfEstate(estate))), plain(estate.environments));
});

test("where two estates say something of one environment, the strictest holds and nobody's listener or finding is lost", () => {
  const one = withSettings("one", "none", 300_000, "public");
  const two = withSettings("two", "operator", 3_000, "partners");
  for (const rows of [
    [...rowsOfEstate(one), ...rowsOfEstate(two)],
    [...rowsOfEstate(two), ...rowsOfEstate(one)],
  ]) {
    const [environment, ...more] = environmentsOfRows(rows);
    assert.deepEqual(more, []);
    assert.equal(environment?.approval, "operator");
    assert.deepEqual(environment?.stalenessMs, {
      public: 3_000,
      internal: 3_000,
      confidential: 3_000,
      restricted: 3_000,
    });
    assert.deepEqual(environment?.listeners.map(({ name }) => name).sort(), ["partners", "public"]);
    assert.deepEqual(
      environment?.broken.map(({ object }) => object),
      ["system/one", "system/two"],
    );
  }
});

test("of two listeners with one name the same one wins on every start", () => {
  const one = withSettings("one", "none", 1, "public");
  const two = withSettings("two", "none", 1, "public");
  const forth = environmentsOfRows([...rowsOfEstate(one), ...rowsOfEstate(two)]);
  const back = environmentsOfRows([...rowsOfEstate(two), ...rowsOfEstate(one)]);
  assert.deepEqual(forth, back);
  assert.equal(forth[0]?.listeners.length, 1);
});

test("rows of an environment whose settings are gone need an operator's word and count every gateway as stale", () => {
  const rows: EstateRow[] = rowsOfEstate(marketplace).filter(({ kind }) => kind !== "environment");
  for (const environment of environmentsOfRows(rows)) {
    assert.equal(environment.approval, "operator");
    assert.equal(Math.max(...Object.values(environment.stalenessMs)), 0);
  }
});

function withSettings(name: string, approval: "none" | "operator", staleMs: number, listener: string): Estate {
  const at = { file: "sallyport.yaml", line: 1, column: 1 };
  return {
    name,
    tenant: "main",
    managedBy: `config:${name}`,
    teams: [],
    operators: [],
    environments: [
      {
        name: "production",
        approval,
        stalenessMs: { public: staleMs, internal: staleMs, confidential: staleMs, restricted: staleMs },
        systems: [],
        integrations: [],
        trust: [],
        issuers: [],
        policies: [],
        listeners: [
          {
            name: listener,
            serves: "gateway",
            url: `https://${name}.test`,
            region: null,
          },
        ],
        broken: [{ object: `system/${name}`, why: "test", ...at }],
      },
    ],
  };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}
