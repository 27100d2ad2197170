// The commands that write or read files of an estate without running it: init, fmt, schema.
import assert from "node:assert/strict";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createProgram } from "../main.ts";
import { runBinary } from "../program.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const bounded = { timeout: 120_000 };
const examples = fileURLToPath(new URL("../../../../examples", import.meta.url));

function fresh(): string {
  return mkdtempSync(join(folder, "estate-"));
}

/** Every file below a directory, with its text. */
function contents(directory: string): Readonly<Record<string, string>> {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    names
      .filter((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.isFile())
      .map((name) => [name, readFileSync(join(directory, name), "utf8")]),
  );
}

function yamlLines(text: string): number {
  return text.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("#")).length;
}

test(
  "init writes an estate of at most 12 lines of YAML that check and fmt accept, and says what to type next",
  bounded,
  async () => {
    const directory = join(fresh(), "new", "gateway");
    const { exit, out, err } = await runBinary(["init", directory, "--json"]);
    assert.deepEqual([exit, err], [0, ""]);
    const report = JSON.parse(out);
    const files = contents(directory);
    assert.deepEqual(Object.keys(files), [".gitignore", "systems/billing.yaml", "systems/orders.yaml"]);
    assert.deepEqual(
      report.written.sort(),
      Object.keys(files).map((file) => join(directory, file)),
    );
    const yaml = Object.entries(files).filter(([file]) => file.endsWith(".yaml"));
    assert.ok(yaml.reduce((sum, [, text]) => sum + yamlLines(text), 0) <= 12);
    assert.match(files[".gitignore"] ?? "", /^\.sallyport\/$/m);
    assert.equal(report.next.length, 3);
    const known = (await createProgram()).commands.map((command) => command.name());
    for (const line of report.next) assert.ok(known.includes(line.split(" ")[1]), line);
    const [check, layout] = await Promise.all([
      runBinary(["check", directory, "--json"]),
      runBinary(["fmt", directory, "--check"]),
    ]);
    assert.equal(check.exit, 0, check.out);
    const findings: readonly { readonly severity: string; readonly message: string }[] = JSON.parse(check.out).findings;
    // Hints for later; `dev` makes the key.
    assert.deepEqual([...new Set(findings.map(({ severity }) => severity))], ["info"]);
    assert.ok(findings.some(({ message }) => message === "the client has no key, so it gets no token"));
    assert.equal(layout.exit, 0, layout.out);
  },
);

test(
  "init takes name, upstream and consumer, and refuses each bad one by its flag before anything is made",
  bounded,
  async () => {
    const directory = join(fresh(), "x");
    const bad: readonly [readonly string[], RegExp][] = [
      [["--name", "Billing"], /--name: not an id[\s\S]*lower-case/],
      [["--name", "token"], /--name: `token` is reserved/],
      [["--consumer", "../../etc"], /--consumer: not an id/],
      [["--upstream", "billing.internal"], /--upstream: not a URL[\s\S]*https:/],
      [["--upstream", "http://u:pass4711@billing"], /--upstream: a URL with credentials/],
      [["--upstream", "http://a/x\n  evil: true"], /--upstream: /],
      [["--name", "a", "--consumer", "a"], /same system/],
    ];
    const ended = await Promise.all(bad.map(([flags]) => runBinary(["init", directory, ...flags])));
    for (const [i, { exit, err }] of ended.entries()) {
      assert.equal(exit, 2);
      assert.match(err, bad[i]?.[1] ?? /never/);
      assert.doesNotMatch(err, /pass4711/);
    }
    assert.equal(existsSync(directory), false);
    const good = ["--name", "stock", "--upstream", "https://stock.example/base", "--consumer", "shop"];
    assert.equal((await runBinary(["init", directory, ...good])).exit, 0);
    const check = await runBinary(["check", directory]);
    assert.equal(check.exit, 0, check.out);
    const stock = readFileSync(join(directory, "systems/stock.yaml"), "utf8");
    assert.match(stock, /^url: https:\/\/stock\.example\/base$/m);
    assert.doesNotMatch(stock, /allowPrivate/);
  },
);

test(
  "init never overwrites: what is there is named, a link that leads nowhere included, and nothing is written",
  bounded,
  async () => {
    const directory = fresh();
    mkdirSync(join(directory, "systems"));
    writeFileSync(join(directory, "systems/billing.yaml"), "mine");
    symlinkSync(join(folder, "nowhere"), join(directory, "systems/orders.yaml"));
    const before = contents(directory);
    const { exit, out, err } = await runBinary(["init", directory, "--json"]);
    assert.deepEqual([exit, out], [2, ""]);
    assert.match(JSON.parse(err).error, /billing\.yaml.*orders\.yaml/);
    assert.deepEqual(contents(directory), before);
    assert.equal(existsSync(join(folder, "nowhere")), false);
  },
);

test("init leaves a .gitignore that is there as it is", bounded, async () => {
  const directory = fresh();
  writeFileSync(join(directory, ".gitignore"), "node_modules/\n");
  const { exit, out } = await runBinary(["init", directory]);
  assert.equal(exit, 0);
  assert.equal(readFileSync(join(directory, ".gitignore"), "utf8"), "node_modules/\n");
  assert.match(out, /\.gitignore/);
});

test(
  "attack: a systems/ that links out of the directory gets no file, and what was made is taken away",
  bounded,
  async () => {
    const directory = fresh();
    const outside = fresh();
    symlinkSync(outside, join(directory, "systems"));
    const { exit, err } = await runBinary(["init", directory]);
    assert.equal(exit, 2);
    assert.match(err, /link out of/);
    assert.deepEqual([contents(outside), readdirSync(directory)], [{}, ["systems"]]);
  },
);

test("init into what cannot be written is exit 2 and leaves nothing half done", bounded, async () => {
  const directory = fresh();
  writeFileSync(join(directory, "file"), "");
  const { exit, err } = await runBinary(["init", join(directory, "file", "estate")]);
  assert.equal(exit, 2);
  assert.match(err, /cannot be written \(ENOTDIR\)/);
  assert.deepEqual(readdirSync(directory), ["file"]);
});

test(
  "fmt --check names the files and writes nothing; fmt lays them out, keeps their mode, and has nothing to do after",
  bounded,
  async () => {
    const directory = fresh();
    cpSync(join(examples, "marketplace/estate"), directory, { recursive: true });
    const path = join(directory, "systems/orders.yaml");
    const mess = `owner: 'team:shop'\n\n\nsystem:   orders # who\n`;
    writeFileSync(path, mess);
    chmodSync(path, 0o640);
    const check = await runBinary(["fmt", directory, "--check", "--json"]);
    assert.equal(check.exit, 1);
    assert.deepEqual(JSON.parse(check.out), {
      files: 12,
      changed: ["systems/orders.yaml"],
      written: false,
      findings: [],
    });
    assert.equal(readFileSync(path, "utf8"), mess);
    const written = await runBinary(["fmt", directory]);
    assert.equal(written.exit, 0, written.err);
    assert.equal(readFileSync(path, "utf8"), 'system: orders # who\nowner: "team:shop"\n');
    assert.equal(statSync(path).mode & 0o777, 0o640);
    const again = await runBinary(["fmt", directory, "--check"]);
    assert.deepEqual([again.exit, again.err], [0, ""]);
    assert.deepEqual(
      readdirSync(join(directory, "systems")).filter((name) => name.endsWith(".tmp")),
      [],
    );
  },
);

test(
  "fmt leaves a file that is not YAML alone, says where it is wrong (exit 2), and lays out the others",
  bounded,
  async () => {
    const directory = fresh();
    mkdirSync(join(directory, "systems"));
    writeFileSync(join(directory, "systems/bad.yaml"), "system: bad\nurl: *x\n");
    writeFileSync(join(directory, "systems/good.yaml"), "url: 'http://a.example'\nsystem: good\n");
    symlinkSync("/etc/hostname", join(directory, "systems/link.yaml"));
    const { exit, out } = await runBinary(["fmt", directory]);
    assert.equal(exit, 2);
    assert.match(out, /systems\/bad\.yaml:2:6 error .*alias.*Fix: /);
    assert.match(out, /systems\/link\.yaml:1:1 error .*link out of the estate/);
    assert.equal(readFileSync(join(directory, "systems/bad.yaml"), "utf8"), "system: bad\nurl: *x\n");
    assert.equal(readFileSync(join(directory, "systems/good.yaml"), "utf8"), 'system: good\nurl: "http://a.example"\n');
  },
);

test(
  "schema prints one kind, lists them, writes all; an unknown kind is exit 2 with the known ones",
  bounded,
  async () => {
    const out = join(fresh(), "deep", "schemas");
    const [one, list, all, unknown, both] = await Promise.all([
      runBinary(["schema", "system"]),
      runBinary(["schema", "--json"]),
      runBinary(["schema", "--out", out, "--json"]),
      runBinary(["schema", "sistem"]),
      runBinary(["schema", "system", "--out", out]),
    ]);
    const kinds = JSON.parse(list.out).map(({ kind }: { kind: string }) => kind);
    assert.ok(["estate", "system", "integration", "team", "trust"].every((kind) => kinds.includes(kind)));
    const schema = JSON.parse(one.out);
    assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
    assert.match(schema.properties.operations.description, /business actions/);
    assert.deepEqual(readdirSync(out).sort(), kinds.map((kind: string) => `${kind}.schema.json`).sort());
    assert.deepEqual(JSON.parse(readFileSync(join(out, "system.schema.json"), "utf8")), schema);
    assert.equal(JSON.parse(all.out).written.length, kinds.length);
    assert.deepEqual([unknown.exit, both.exit], [2, 2]);
    assert.match(unknown.err, /no kind of file `sistem`[\s\S]*estate, system, integration/);
  },
);

test(
  "init --from imports a description: the estate passes check, the report is written, shown and in --json",
  bounded,
  async () => {
    const source = fresh();
    const api = join(source, "api.yaml");
    writeFileSync(
      api,
      "openapi: 3.1.0\ninfo: { title: Stock }\nservers: [{ url: http://127.0.0.1:9 }]\npaths:\n  /items/{id}: { get: { operationId: readItem } }\n  /x/{y*}: { get: {} }\n",
    );
    const directory = join(source, "estate");
    const { exit, out, err } = await runBinary(["init", directory, "--from", api, "--consumer", "shop", "--json"]);
    assert.equal(exit, 0, err);
    const { report, next } = JSON.parse(out);
    assert.equal(next.at(-1), "sallyport call stock:read-item id=1 --as shop");
    assert.deepEqual([report.kind, report.mapped, report.changed, report.notMapped], ["openapi", 2, 1, 1]);
    const lost = report.entries.find((entry: { outcome: string }) => entry.outcome === "not-mapped");
    assert.deepEqual([lost.file, lost.line, lost.what], ["api.yaml", 6, "path /x/{y*}"]);
    assert.match(
      readFileSync(join(directory, "import-report.md"), "utf8"),
      /^## Not mapped[\s\S]*- `api\.yaml:6` path/m,
    );
    const [check, again] = await Promise.all([
      runBinary(["check", directory]),
      runBinary(["init", directory, "--from", api, "--consumer", "shop"]),
    ]);
    assert.equal(check.exit, 0, check.out);
    assert.equal(again.exit, 2);
    assert.match(again.err, /stock\.yaml.*shop\.yaml.*import-report\.md/);
  },
);

test("init --from says with file and line why a source is refused (exit 2), and makes nothing", bounded, async () => {
  const source = fresh();
  const write = (name: string, text: string): string => {
    writeFileSync(join(source, name), text);
    return join(source, name);
  };
  const kong = '_format_version: "3.0"\nservices: []\n';
  const cases: readonly [readonly string[], RegExp][] = [
    [[write("swagger.yaml", 'swagger: "2.0"\n')], /swagger\.yaml:1:1 .*Swagger 2 is not read[\s\S]*fix: convert/],
    [[write("broken.yaml", "openapi: 3.0.0\n\tpaths: {}\n")], /broken\.yaml:2:\d+ /],
    [[write("other.json", "{}")], /neither OpenAPI nor a declarative Kong file/],
    [[join(source, "absent.yaml")], /no such file/],
    [[join(source, "absent", "api.yaml")], /cannot be read/],
    [[write("empty-kong.yaml", kong)], /nothing to import/],
    [[write("kong.yaml", kong), "--name", "x"], /`name` says nothing of a Kong file/],
  ];
  const directory = join(source, "estate");
  const ended = await Promise.all(cases.map(([flags]) => runBinary(["init", directory, "--from", ...flags])));
  for (const [i, { exit, out, err }] of ended.entries()) {
    assert.deepEqual([exit, out], [2, ""], err);
    assert.match(err, cases[i]?.[1] ?? /never/);
    assert.match(err, /fix: /);
  }
  assert.equal(existsSync(directory), false);
});
