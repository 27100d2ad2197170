// Attacks on whoever loads an estate: a file that eats memory, leaves the directory, reaches a prototype or hides a secret.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { EstateFault, memoryEstateIo, resolveInside } from "./estate-io.ts";
import { formatFinding } from "./finding.ts";
import { loadEstate, loadEstateFrom } from "./load.ts";
import { parseYaml } from "./yaml-tree.ts";

const load = (files: Readonly<Record<string, string>>) => loadEstateFrom(memoryEstateIo(files, () => 0));
const healthy = { "systems/healthy.yaml": "system: healthy\n" };

function assertOnlyBroken(files: Readonly<Record<string, string>>, object: string): string {
  const { estate, findings } = load({ ...healthy, ...files });
  const [production] = estate.environments;
  assert.deepEqual(
    production?.systems.map(({ id }) => id),
    ["healthy"],
    "the healthy system is served",
  );
  assert.deepEqual(
    production?.broken.map((entry) => entry.object),
    [object],
  );
  return findings.map(formatFinding).join("\n");
}

test("alias bomb: nine levels of aliases are refused before anything is expanded", () => {
  let bomb = "system: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (let level = 1; level <= 9; level++) bomb += `a${level}: &a${level} [${`*a${level - 1}, `.repeat(9)}]\n`;
  assert.match(assertOnlyBroken({ "systems/bomb.yaml": bomb }, "system/bomb"), /anchors and aliases are not accepted/);
});

test("ten-megabyte file: refused by its size, unread", () => {
  const files = { "systems/huge.yaml": `system: huge\ndescription: ${"x".repeat(10 * 1024 * 1024)}\n` };
  assert.match(assertOnlyBroken(files, "system/huge"), /larger than 262144 bytes/);
});

test("nesting: a hundred thousand brackets end as a finding", () => {
  const text = assertOnlyBroken({ "systems/deep.yaml": `system: deep\na: ${"[".repeat(100_000)}` }, "system/deep");
  assert.match(text, /nested|not valid YAML/);
  assert.match(
    assertOnlyBroken({ "systems/deep.yaml": `system: deep\na: ${"[".repeat(40)}${"]".repeat(40)}\n` }, "system/deep"),
    /deeper than 32/,
  );
});

test("many values: a file of sixty thousand items is refused by count", () => {
  assert.match(
    assertOnlyBroken({ "systems/wide.yaml": `system: wide\na: [${"1,".repeat(60_000)}]\n` }, "system/wide"),
    /more than 50000 values/,
  );
});

/** Seconds of the processor: whatever else runs on the machine counts for nothing. */
function secondsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return process.cpuUsage(before).user / 1e6;
}

test("attack: a file of twenty thousand keys is read in seconds, in block style and in flow style, and a key that comes back is found", () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => i.toString(36));
  for (const text of [`${keys.join(":\n")}:\n`, `x: { ${keys.join(": 1, ")}: 1 }\n`]) {
    const seconds = secondsOf(() => assert.notEqual(parseYaml("keys.yaml", text).root, null));
    assert.ok(seconds < 6, `${seconds} s: each key is compared with all before it`);
  }
  for (const text of ["x: { a: 1, b: 2, 'a': 3 }\n", "x:\n  1: a\n  '1': b\n"])
    assert.match(parseYaml("twice.yaml", text).findings.map(formatFinding).join(), /the key occurs twice in one map/);
});

for (const [name, text, expected] of [
  ["`__proto__` as a key", "system: evil\n__proto__: { polluted: true }\n", /`__proto__` is not accepted as a key/],
  [
    "`__proto__` deep in attributes",
    "system: evil\nattributes: { __proto__: x }\n",
    /`__proto__` is not accepted as a key/,
  ],
  [
    "`constructor` as an attribute",
    "system: evil\nattributes: { constructor: { prototype: { polluted: true } } }\n",
    /expected/,
  ],
  ["`toString` as a key", "system: evil\ntoString: x\n", /unknown key `toString`/],
  ["a tag", "system: evil\na: !!js/function 'x'\n", /tags/],
  ["a tag of the core schema", "system: !!str evil\n", /tags/],
  ["a merge key", "system: evil\n<<: { url: http://x }\n", /unknown key `<<`/],
  ["a second document", "system: evil\n---\nsystem: other\n", /more than one YAML document/],
  ["a directive", "%YAML 1.1\n---\nsystem: evil\n", /directives|YAML/],
  ["a key that is a map", "system: evil\n? { a: b }\n: c\n", /a key is not a plain word|flow|YAML/],
] as const) {
  test(`hostile YAML: ${name} breaks its own file only`, () => {
    assert.match(assertOnlyBroken({ "systems/evil.yaml": text }, "system/evil"), expected);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  });
}

test("a system named `__proto__` is refused by its file name", () => {
  assert.match(
    assertOnlyBroken({ "systems/__proto__.yaml": "system: __proto__\n" }, "system/__proto__"),
    /the file name is the id/,
  );
});

test("two systems whose names differ by case only: the one with capitals is refused", () => {
  assert.match(
    assertOnlyBroken({ "systems/Healthy.yaml": "system: Healthy\n" }, "system/Healthy"),
    /the file name is the id/,
  );
});

test("`__proto__` in a JSON Schema file is refused", () => {
  const schema = '{"type":"object","properties":{"__proto__":{"type":"string"}}}';
  const files = {
    "systems/evil.yaml":
      "system: evil\nurl: http://e\noperations:\n  a.b: { match: POST /x, body: { schema: s.json } }\n",
    "systems/s.json": schema,
  };
  assert.match(assertOnlyBroken(files, "system/evil"), /`__proto__` is not accepted/);
});

test("a schema with a `$ref` to the network is refused, nothing is fetched", () => {
  const files = {
    "systems/evil.yaml":
      'system: evil\nurl: http://e\noperations:\n  a.b: { match: POST /x, body: { schema: { $ref: "http://169.254.169.254/x" } } }\n',
  };
  assert.match(assertOnlyBroken(files, "system/evil"), /leads outside of the schema/);
});

for (const [name, line] of [
  ["a token", "accessToken: abc123"],
  ["a private key in PEM", "description: |\n  -----BEGIN EC PRIVATE KEY-----\n  canary"],
  ["a URL with a password", "url: https://user:canary@billing.internal"],
  ["a signed token under any key", "description: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canarycanarycanary"],
  ["a cloud key", "description: AKIAIOSFODNN7CANARY0"],
] as const) {
  test(`clear secret: ${name} is found and never repeated`, () => {
    const text = assertOnlyBroken({ "systems/leaky.yaml": `system: leaky\n${line}\n` }, "system/leaky");
    assert.match(text, /stands in clear/);
    assert.doesNotMatch(text, /canary|abc123|AKIA/i);
  });
}

for (const named of ["../../etc/passwd", "/etc/passwd", "a/../../../x", "..\\x", "C:/x", "./../../x", "x\0y"]) {
  test(`path traversal: ${JSON.stringify(named)} does not leave the estate`, () =>
    assert.equal(resolveInside("systems/a.yaml", named), null));
}

test("a relative path may climb inside the estate", () =>
  assert.equal(resolveInside("systems/a.yaml", "../keys/b.json"), "keys/b.json"));

test("symbolic links: files and folders that lead out of the estate are not read, named pipes do not hang the load", () => {
  const outside = mkdtempSync(join(tmpdir(), "sallyport-outside-"));
  const dir = mkdtempSync(join(tmpdir(), "sallyport-estate-"));
  try {
    for (const folder of ["systems", "integrations"]) mkdirSync(join(dir, folder));
    mkdirSync(join(outside, "trust"));
    writeFileSync(join(outside, "spy.yaml"), "system: spy\n");
    writeFileSync(join(outside, "trust/foreign.yaml"), "trust: foreign\nroots: [x.pem]\n");
    writeFileSync(join(outside, "keys.json"), '{"keys":[]}');
    writeFileSync(join(dir, "systems/healthy.yaml"), "system: healthy\n");
    writeFileSync(
      join(dir, "systems/linked.yaml"),
      "system: linked\nidentity: { client: linked, keys: [keys.json] }\n",
    );
    symlinkSync(join(outside, "spy.yaml"), join(dir, "systems/spy.yaml"));
    symlinkSync(join(outside, "keys.json"), join(dir, "systems/keys.json"));
    symlinkSync(join(outside, "trust"), join(dir, "trust"));
    execFileSync("mkfifo", [join(dir, "systems/pipe.yaml")]);
    const { estate, findings } = loadEstate(dir, { now: () => 0 });
    const [production] = estate.environments;
    assert.deepEqual(
      production?.systems.map(({ id }) => id),
      ["healthy"],
    );
    assert.deepEqual(
      production?.broken.map(({ object }) => object),
      ["system/linked", "system/pipe", "system/spy"],
    );
    assert.deepEqual(production?.trust, []);
    assert.equal(findings.filter(({ message }) => message.includes("symbolic link out of the estate")).length, 4);
  } finally {
    rmSync(dir, { recursive: true });
    rmSync(outside, { recursive: true });
  }
});

test("any text at all: parsing ends in a tree or in findings with places inside the file", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 200 }),
        fc.string({ unit: fc.constantFrom(..."ab:-[]{}#&*!|>'\"\n\t ,?%@`0."), maxLength: 80 }),
      ),
      (text) => {
        const { root, findings } = parseYaml("x.yaml", text);
        assert.ok(root !== null || findings.length > 0);
        for (const { line, column } of findings)
          assert.ok(line >= 1 && column >= 1 && line <= text.split("\n").length + 1);
      },
    ),
    { seed: 20261122, numRuns: 600 },
  );
});

test("any YAML in a system file: the load never throws and the healthy system is always served", () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 4 }),
      fc.constantFrom("url", "identity", "operations", "environments", "uses", "public", "attributes", "tls"),
      (value, key) => {
        const { estate } = load({ ...healthy, "systems/odd.yaml": `system: odd\n${key}: ${JSON.stringify(value)}\n` });
        assert.ok(estate.environments[0]?.systems.some(({ id }) => id === "healthy"));
      },
    ),
    { seed: 20261122, numRuns: 300 },
  );
});

test("a directory that is not there is a fault that names the fix, not a stack", () => {
  assert.throws(
    () => loadEstate(join(tmpdir(), "sallyport-nowhere"), { now: () => 0 }),
    (cause) => cause instanceof EstateFault && cause.code === "estate-unreadable" && /--config/.test(cause.publicText),
  );
});
