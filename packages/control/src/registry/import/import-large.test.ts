// Descriptions of a size that real ones have, and of shapes that make a small one a large work.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSliceCompiler } from "@sallyport/kernel/policy/compile-slice.ts";
import { snapshotManifestBytesMax, snapshotObjectsMax } from "@sallyport/protocol/snapshot/manifest.ts";
import { compileSnapshot } from "../../snapshot/compile-snapshot.ts";
import type { EnvironmentConfig } from "../config/estate.ts";
import { memoryEstateIo } from "../config/estate-io.ts";
import { loadEstateFrom } from "../config/load.ts";
import type { OperationConfig } from "../config/operation-config.ts";
import { sentBytesMax } from "../config/sent-files.ts";
import { importSource } from "./import-source.ts";
import type { Imported } from "./openapi/import-openapi.ts";
import { definitionsMax, nearestMax } from "./openapi/translate-schema.ts";

interface Shape {
  readonly operations: number;
  readonly definitions: number;
  /** The last definition leads to the first. */
  readonly isRing: boolean;
}

function imported({ operations, definitions, isRing }: Shape): Imported {
  const next = (at: number) =>
    at + 1 < definitions || isRing ? { next: { $ref: `#/components/schemas/Part${(at + 1) % definitions}` } } : {};
  const schemas = Object.fromEntries(
    Array.from({ length: definitions }, (_, at) => [
      `Part${at}`,
      {
        type: "object",
        required: ["id"],
        properties: {
          id: { type: "string", maxLength: 64, pattern: "^[a-z0-9]+$" },
          size: { type: "integer", minimum: at },
          ...next(at),
        },
      },
    ]),
  );
  const paths = Object.fromEntries(
    Array.from({ length: operations }, (_, at) => {
      const schema = { $ref: `#/components/schemas/Part${at % definitions}` };
      const requestBody = { required: true, content: { "application/json": { schema } } };
      return [`/things/${at}`, { post: { operationId: `makeThing${at}`, requestBody } }];
    }),
  );
  const api = {
    openapi: "3.1.0",
    info: { title: "Ring" },
    servers: [{ url: "https://ring.example" }],
    paths,
    components: { schemas },
  };
  const io = memoryEstateIo({ "api.json": JSON.stringify(api) }, () => 0);
  const result = importSource({ io, file: "api.json", choice: {} });
  assert.ok("files" in result);
  return result;
}

function loaded({ files }: Imported): readonly OperationConfig[] {
  return environmentOf(files)?.systems[0]?.operations ?? [];
}

function environmentOf(files: Imported["files"]): EnvironmentConfig | undefined {
  const io = memoryEstateIo(Object.fromEntries(files.map(({ file, text }) => [file, text])), () => 0);
  const { estate, findings } = loadEstateFrom(io);
  assert.deepEqual(
    findings.filter(({ severity }) => severity === "error"),
    [],
  );
  return estate.environments[0];
}

function definitionsOf(operation: OperationConfig | undefined): Readonly<Record<string, unknown>> {
  const schema = operation?.body?.schema;
  const $defs = typeof schema === "object" && schema !== null && "$defs" in schema ? schema.$defs : null;
  return { ...(typeof $defs === "object" ? $defs : null) };
}

/** A gateway takes the snapshot: its own bounds, with room. */
function assertAccepted(environment: EnvironmentConfig): void {
  const { manifest } = compileSnapshot(
    {
      ...{ environment, states: new Map(), tenant: "main", region: "default", group: "edge", epoch: 1, version: 1 },
      ...{ issuer: "https://id.example/main/production", now: 0, lifetimeMs: 1_000, minKeySeq: 0, minRevocationSeq: 0 },
    },
    createSliceCompiler(),
  );
  const objects = Object.keys(manifest.objects);
  assert.ok(objects.length < snapshotObjectsMax / 10);
  assert.ok(JSON.stringify(manifest).length < snapshotManifestBytesMax / 10);
  assert.equal(objects.filter((name) => name.startsWith("schema/")).length, 200);
}

function secondsOf<T>(work: () => T): { readonly value: T; readonly seconds: number } {
  const before = process.cpuUsage();
  const value = work();
  const { user, system } = process.cpuUsage(before);
  return { value, seconds: (user + system) / 1e6 };
}

test("1,000 operations on a ring of 200 definitions are imported, loaded and compiled in seconds, every one checked whole, small enough to apply and to serve", () => {
  const { value: operations, seconds } = secondsOf(() => {
    const result = imported({ operations: 1_000, definitions: 200, isRing: true });
    assert.deepEqual(
      result.report.entries.filter(({ outcome }) => outcome !== "mapped"),
      [],
    );
    assert.equal(result.files.length, 201, "equal schemas share a file");
    assert.ok(Buffer.byteLength(JSON.stringify(result.files)) < sentBytesMax);
    const environment = environmentOf(result.files);
    assert.ok(environment !== undefined);
    assertAccepted(environment);
    return environment.systems[0]?.operations ?? [];
  });
  assert.equal(operations.length, 1_000);
  for (const operation of operations) assert.equal(Object.keys(definitionsOf(operation)).length, 200);
  // Some 10 s of processor time where nothing else runs; each body judged by itself would take more than 200 s.
  assert.ok(seconds < 60, `${seconds} s of processor time`);
});

test("stopped import: a body with more definitions than a gateway should compile keeps the nearest, and the report names the rest", () => {
  for (const isRing of [false, true]) {
    const result = imported({ operations: 1, definitions: 2_000, isRing });
    const [said, ...more] = result.report.entries.filter(({ outcome }) => outcome === "changed");
    assert.deepEqual(more, []);
    assert.equal(said?.what, "schema of make-thing0");
    assert.match(
      said.why,
      /deeper than the 32 nearest is not: where it refers to `Part32`, anything passes$/,
      "it says what is not checked",
    );
    const $defs = definitionsOf(loaded(result)[0]);
    assert.equal(Object.keys($defs).length, nearestMax);
    assert.match(JSON.stringify($defs[`Part${nearestMax - 1}`]), /"next":\{\}/);
  }
});

test("a body with as many definitions as are checked is checked whole", () => {
  const result = imported({ operations: 1, definitions: definitionsMax, isRing: true });
  assert.deepEqual(
    result.report.entries.filter(({ outcome }) => outcome !== "mapped"),
    [],
  );
});

test("what is being done is said on the way, once for each path", () => {
  const said: string[] = [];
  const api = { openapi: "3.1.0", info: { title: "a" }, paths: { "/a": { get: {} }, "/b": { get: {} } } };
  const io = memoryEstateIo({ "api.json": JSON.stringify(api) }, () => 0);
  importSource({ io, file: "api.json", choice: {}, progress: (doing) => void said.push(doing) });
  assert.deepEqual(said, ["reading api.json", "path 1 of 2", "path 2 of 2", "checking 1 files"]);
});
