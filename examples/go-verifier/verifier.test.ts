// The verifier in Go, written from docs/formats/leaf.md, and ours must say the same of the same directories, whole and damaged.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { Log } from "@sallyport/kernel/log/log.ts";
import { loadLogKey, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { sampleId, sampleLeaf } from "@sallyport/kernel/log/sample-leaves.ts";
import { verifyLogDirectory } from "@sallyport/kernel/log/verify.ts";
import { makeReceipt } from "@sallyport/kernel/receipts/make-receipt.ts";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { printVerifierKey } from "@sallyport/protocol/audit/note.ts";
import { debianProgram } from "../../tools/debian-packages.ts";
import { everyForm, formNames } from "./every-form.test-support.ts";

const buildTimeoutMs = 120_000;
const november = 1_795_305_600_000;
const nextYear = 1_800_000_000_000;
const place = { tenant: "main", environment: "production", region: "eu", node: "gw-1" };
const pseudonym = "2026:abcdefghijklmnopqrstuQ";
const origin = "sallyport.local/main/production/gw-1/gateway/2026";

const issuance = {
  t: "issuance",
  id: sampleId(9),
  client: pseudonym,
  audience: "https://id.acme.example/main/production/systems/billing",
  verdict: "allow",
  code: null,
  token: pseudonym,
  proof: "mtls",
  expiresAt: 1_795_305_900_000,
} as const;

const leafOf = (parts: object) => printLeaf({ at: november, ...place, ...parts } as Leaf);
const tally = (counts: object) => leafOf({ t: "tally", id: sampleId(10), from: 0, to: 10_000, unread: 3, ...counts });

let home: string;
let verifier: string;
let whole: string;
let key: string;

before(() => {
  home = mkdtempSync(join(tmpdir(), "sallyport-go-verifier-"));
  verifier = join(home, "verifier");
  const built = spawnSync(debianProgram("go"), ["build", "-o", verifier, "."], {
    cwd: import.meta.dirname,
    encoding: "utf8",
    timeout: buildTimeoutMs,
    env: {
      ...process.env,
      GO111MODULE: "on",
      GOFLAGS: "-mod=mod",
      GOPROXY: "off",
      GOCACHE: join(home, "cache"),
      CGO_ENABLED: "0",
    },
  });
  assert.equal(built.status, 0, built.stderr);
  whole = join(home, "log");
  key = makeLog(whole);
});
after(() => rmSync(home, { recursive: true, force: true }));

/** Every leaf type, references of their own and shared ones, several segments, more than one tile, and a turn of the year. */
function makeLog(directory: string): string {
  const clock = { now: november };
  const log = Log.open({
    disk: realDisk(),
    directory,
    identity: { ...place, role: "gateway", version: "0.1.0" },
    now: () => clock.now,
    segmentBytesMax: 60_000,
    lowSpaceBytes: 0,
    reserveBytes: 0,
  });
  const reference = Buffer.from("sealed decision inputs");
  const inputs = createHash("sha256").update(reference).digest("hex");
  log.append([{ leaf: sampleLeaf("intent", 900_000) }]);
  for (let i = 0; i < 600; i += 3)
    log.append([
      { leaf: sampleLeaf("crossing", i) },
      { leaf: sampleLeaf("crossing", i + 1, inputs), reference },
      { leaf: sampleLeaf("crossing", i + 2, inputs), reference },
    ]);
  log.append([
    { leaf: leafOf({ t: "progress", id: sampleId(900_000), bytesIn: 1, bytesOut: 2 }) },
    { leaf: sampleLeaf("outcome", 900_000) },
    {
      leaf: leafOf({
        t: "denials",
        id: sampleId(7),
        code: "token-expired",
        prefix: pseudonym,
        count: 4,
        windowMs: 10_000,
      }),
    },
    { leaf: sampleLeaf("admin", 8) },
    {
      leaf: leafOf({
        ...issuance,
        grantType: "token-exchange",
        subject: null,
        grants: ["grt_AAAA"],
        operations: ["billing:invoice.read"],
        policies: [],
        inputs: null,
      }),
    },
    { leaf: leafOf(issuance) },
    { leaf: issuedBy("keycloak") },
    { leaf: leafOf({ t: "buffered", id: sampleId(11), upTo: 1_024 }) },
    { leaf: leafOf({ t: "settled", id: sampleId(12), early: 2 }) },
    { leaf: tally({ crossings: 601, intents: 1, counted: 4, refused: 2, seen: 608, closed: "stop" }) },
  ]);
  clock.now = nextYear;
  log.append([{ leaf: sampleLeaf("crossing", 5_000) }]);
  log.append([{ leaf: leafOf({ t: "buffered", id: sampleId(13), upTo: 1_024 }) }]);
  log.append([{ leaf: tally({ crossings: 1, intents: 0, counted: 0, refused: 0, seen: 1, closed: "stop" }) }]);
  log.close();
  return printVerifierKey(sha256, origin, loadLogKey(realDisk(), directory).publicKey);
}

/** A log with leaves of every form and word; a form that is in none of them is named. */
function makeForms(directory: string): string {
  let n = 0;
  const reference = Buffer.from("sealed payload");
  const leaves = everyForm(() => sampleId(++n), createHash("sha256").update(reference).digest("hex"));
  const names = new Set(["origin/1", "start/1", "tally/1"]);
  const count = { crossing: 0, intent: 0, denials: 0 };
  const log = Log.open({
    ...{ disk: realDisk(), directory, identity: { ...place, role: "gateway", version: "0.1.0" }, now: () => november },
    ...{ lowSpaceBytes: 0, reserveBytes: 0 },
  });
  const entries = leaves.map(({ t, leaf }) => (t === "payload" ? { leaf, reference } : { leaf }));
  assert.deepEqual(log.append(entries).refused, []);
  for (const { t, leaf } of leaves) {
    const [, version] = /^\{"v":([0-9]+)/.exec(Buffer.from(leaf).toString("latin1")) ?? [];
    names.add(`${t}/${version}`);
    if (t === "crossing" || t === "intent" || t === "denials") count[t] += 1;
  }
  assert.deepEqual([...names].sort(), formNames);
  const [crossings, intents, counted] = [count.crossing, count.intent, count.denials];
  const seen = crossings + intents + counted;
  log.append([{ leaf: tally({ crossings, intents, counted, refused: 0, seen, closed: "stop" }) }]);
  log.close();
  return printVerifierKey(sha256, origin, loadLogKey(realDisk(), directory).publicKey);
}

/** A crossing of version 2. */
function issuedBy(issuer: string): Uint8Array {
  const { v: _v, ...crossing } = JSON.parse(Buffer.from(sampleLeaf("crossing", 700)).toString());
  return printLeaf({ ...crossing, issuer } as Leaf);
}

interface Said {
  readonly ok: boolean;
  readonly leaves: number;
  readonly mayMiss: number;
  readonly origins: readonly { readonly origin: string; readonly size: number; readonly root: string }[];
  readonly problems: readonly { readonly kind: string; readonly message: string }[];
}

function inGo(directory: string, verifierKey = key): Said {
  const done = spawnSync(verifier, [directory, verifierKey], { encoding: "utf8", timeout: buildTimeoutMs });
  assert.ok(done.status === 0 || done.status === 1, done.stderr);
  const said: Said = JSON.parse(done.stdout);
  assert.equal(said.ok, done.status === 0);
  return said;
}

const ours = (directory: string) => verifyLogDirectory(directory, { verifierKey: key, crew: { threads: 1 } });

/** A copy of the log with one thing done to it, judged by both. */
function damaged(damage: (directory: string) => void): { readonly go: Said; readonly own: ReturnType<typeof ours> } {
  const directory = mkdtempSync(join(home, "copy-"));
  cpSync(whole, directory, { recursive: true });
  damage(directory);
  const both = { go: inGo(directory), own: ours(directory) };
  rmSync(directory, { recursive: true, force: true });
  return both;
}

const filesOf = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();

function edit(path: string, change: (text: string) => string): void {
  const text = readFileSync(path, "latin1");
  assert.notEqual(change(text), text);
  writeFileSync(path, change(text), "latin1");
}

describe("a verifier in Go, from the page alone", () => {
  test("says of a whole log what ours says: leaves, sizes and roots of every origin", () => {
    const go = inGo(whole);
    const own = ours(whole);
    assert.deepEqual(go.problems, []);
    assert.deepEqual(own.problems, []);
    assert.equal(go.leaves, own.leaves);
    // The last promise to answer early was not ended.
    assert.deepEqual([go.mayMiss, own.tallies.early.crashes], [1, 1]);
    assert.deepEqual(
      go.origins.map(({ origin, size, root }) => ({ origin, size, root })),
      own.origins.map(({ origin, size, root }) => ({
        origin,
        size,
        root: Buffer.from(root ?? "", "hex").toString("base64"),
      })),
    );
    assert.equal(go.origins.length, 2);
  });

  test("reads every form of leaf there is, and every word in them, as ours does", () => {
    const directory = join(home, "forms");
    const verifierKey = makeForms(directory);
    const own = verifyLogDirectory(directory, { verifierKey, crew: { threads: 1 } });
    assert.deepEqual(own.problems, []);
    const go = inGo(directory, verifierKey);
    assert.deepEqual(go.problems, []);
    assert.equal(go.leaves, own.leaves);
  });

  test("attack: a flipped bit is noticed by both, wherever in leaves, frames, tiles, bundles and checkpoints it is", () => {
    // What is derived for us alone (indexes, `state`) and what verification does not read is not described as something to verify.
    const files = filesOf(whole).filter((file) => /^\d{4}\/(?:wal\/\d+\.wal|tile\/|head$|checkpoint$)/.test(file));
    assert.ok(files.length >= 14, files.join());
    let seed = 7;
    for (const file of files)
      for (let i = 0; i < 4; i++) {
        const { go, own } = damaged((directory) => {
          const bytes = readFileSync(join(directory, file));
          seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
          const at = seed % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ (1 << (seed % 8));
          writeFileSync(join(directory, file), bytes);
        });
        assert.ok(!own.ok && !go.ok, `${file}: ours ${own.ok}, Go ${go.ok}`);
      }
  });

  const year = "2026";
  const cases: readonly (readonly [string, string, (directory: string) => void])[] = [
    ["a tile that is gone", "tile", (at) => rmSync(join(at, year, "tile/0/000"))],
    ["a bundle that is gone", "bundle", (at) => rmSync(join(at, year, "tile/entries/001"))],
    ["a checkpoint that is gone", "checkpoint", (at) => rmSync(join(at, year, "checkpoint"))],
    ["a segment that is gone", "frame", (at) => rmSync(join(at, year, "wal", walOf(at)[1] ?? ""))],
    [
      "the last segment cut at its end",
      "none",
      (at) => edit(join(at, year, "wal", walOf(at).at(-1) ?? ""), (text) => text.slice(0, -9)),
    ],
    [
      "the last segment gone: a truncated copy",
      "truncated",
      (at) => rmSync(join(at, year, "wal", walOf(at).at(-1) ?? "")),
    ],
    [
      "zeros behind a segment that another one follows",
      "frame",
      (at) => appendFileSync(join(at, year, "wal", walOf(at)[0] ?? ""), Buffer.alloc(9)),
    ],
    ["the older year gone while the newer names it", "none", (at) => rmSync(join(at, year), { recursive: true })],
    [
      "two years with the wrong names",
      "checkpoint",
      (at) => cpSync(join(at, "2027"), join(at, "2028"), { recursive: true }),
    ],
  ];
  for (const [what, kind, damage] of cases)
    test(`names ${what} as ours does`, () => {
      const { go, own } = damaged(damage);
      // Ours names the leaf where a bundle still has it, so for some damages only the answer is compared.
      assert.equal(go.ok, own.ok, `${JSON.stringify(go.problems)} ${JSON.stringify(own.problems)}`);
      if (kind === "none") return;
      assert.ok(
        own.problems.some((problem) => problem.kind === kind),
        JSON.stringify(own.problems),
      );
      assert.ok(
        go.problems.some((problem) => problem.kind === kind),
        JSON.stringify(go.problems),
      );
    });

  test("takes the room of a log whose process was killed for what it is, as ours does", () => {
    const { go, own } = damaged((at) =>
      appendFileSync(join(at, year, "wal", walOf(at).at(-1) ?? ""), Buffer.alloc(5_000)),
    );
    assert.deepEqual([go.problems, own.problems], [[], []]);
  });

  test("attack: a record skipped by its gateway is missing to both", () => {
    const directory = join(home, "skipped");
    const log = Log.open({
      disk: realDisk(),
      directory,
      identity: { ...place, role: "gateway", version: "0.1.0" },
      now: () => november,
      lowSpaceBytes: 0,
      reserveBytes: 0,
    });
    log.append([{ leaf: sampleLeaf("crossing", 1) }]);
    log.append([{ leaf: tally({ seen: 2, crossings: 2, intents: 0, counted: 0, refused: 0, closed: "stop" }) }]);
    log.close();
    const verifierKey = printVerifierKey(sha256, origin, loadLogKey(realDisk(), directory).publicKey);
    assert.deepEqual(
      inGo(directory, verifierKey).problems.map(({ kind }) => kind),
      ["missing"],
    );
    assert.deepEqual(
      verifyLogDirectory(directory, { verifierKey }).problems.map(({ kind }) => kind),
      ["missing"],
    );
  });

  test("a wrong verifier key is refused by both, never half believed", () => {
    const other = printVerifierKey(sha256, origin, new Uint8Array(32).fill(9));
    assert.ok(inGo(whole, other).problems.some(({ kind }) => kind === "checkpoint"));
    assert.ok(!verifyLogDirectory(whole, { verifierKey: other }).ok);
  });
});

interface Vectors {
  readonly keys: readonly string[];
  readonly cases: readonly {
    readonly name: string;
    readonly receipt: string;
    readonly crossing: string | null;
    readonly usePolicy: boolean;
    readonly verdict: object;
  }[];
}

/** What the program says of a receipt; `-` asks for no crossing in particular. */
function receiptInGo(file: string, crossing: string | null, keys: readonly string[]): object {
  const { stdout, stderr } = spawnSync(verifier, ["receipt", file, crossing ?? "-", ...keys], { encoding: "utf8" });
  assert.equal(stderr, "");
  return JSON.parse(stdout);
}

describe("receipts, by keys alone", () => {
  const { keys, cases }: Vectors = JSON.parse(
    readFileSync(join(import.meta.dirname, "../../vectors/receipt.json"), "utf8"),
  );
  for (const [i, { name, receipt, crossing, usePolicy, verdict }] of cases.entries()) {
    if (usePolicy) continue;
    test(`it says of a receipt what the vectors say: ${name}`, () => {
      const file = join(home, `receipt-${i}`);
      writeFileSync(file, receipt);
      assert.deepEqual(receiptInGo(file, crossing, keys), verdict);
    });
  }

  test("it takes a receipt that the kernel made of a real log", () => {
    const file = join(home, "receipt");
    writeFileSync(file, makeReceipt(whole, sampleId(1)) ?? "");
    assert.deepEqual(
      { ...receiptInGo(file, sampleId(1), [key]), indexes: [] },
      {
        kind: "ok",
        crossing: sampleId(1),
        indexes: [],
      },
    );
  });
});

const walOf = (directory: string): string[] =>
  readdirSync(join(directory, "2026", "wal"))
    .filter((name) => name.endsWith(".wal"))
    .sort();
