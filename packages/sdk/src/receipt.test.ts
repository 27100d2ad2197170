// The check of a receipt, against the vectors that the protocol and the Go verifier pass too, and what it costs to carry.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { verifyReceipt } from "./receipt.ts";

const here = import.meta.dirname;

interface Vectors {
  readonly keys: readonly string[];
  readonly policy: string;
  readonly now: number;
  readonly cases: readonly {
    readonly name: string;
    readonly receipt: string;
    readonly crossing: string | null;
    readonly usePolicy: boolean;
    readonly verdict:
      | { readonly kind: "ok"; readonly crossing: string }
      | { readonly kind: "refused"; readonly why: string };
  }[];
}

const { keys, policy, now, cases }: Vectors = JSON.parse(
  readFileSync(join(here, "../../../vectors/receipt.json"), "utf8"),
);

for (const { name, receipt, crossing, usePolicy, verdict } of cases) {
  test(`the SDK says ${verdict.kind === "ok" ? "yes" : verdict.why} to: ${name}`, () => {
    const found = verifyReceipt(receipt, {
      ...(usePolicy ? { policy } : { keys }),
      now: now * 1_000,
      ...(crossing === null ? {} : { crossing }),
    });
    if (verdict.kind === "refused") assert.deepEqual(found, verdict);
    else assert.deepEqual([found.kind, found.kind === "ok" && found.crossing], ["ok", verdict.crossing]);
  });
}

test("without a time of its own it goes by the machine's clock: a cosignature of the next century does not count yet", () => {
  const { receipt = "" } = cases.find(({ name }) => name.endsWith("of a distant future")) ?? {};
  assert.deepEqual(verifyReceipt(receipt, { policy }), { kind: "refused", why: "no-quorum" });
  assert.equal(verifyReceipt(receipt, { policy, now: 4_102_444_800_000 - 600_000 }).kind, "ok");
});

test("it says what the crossing was", () => {
  const found = verifyReceipt(cases[0]?.receipt ?? "", { keys });
  assert.ok(found.kind === "ok");
  const { operation, integration, verdict, code } = found.decided;
  assert.deepEqual(
    [operation, integration, verdict, code],
    ["billing:invoice.create", "orders-to-billing", "allow", null],
  );
  assert.deepEqual([found.ended.outcome, found.ended.status], ["success", 201]);
});

test("a key or a policy that is none, and no log named at all, are mistakes of the program and thrown", () => {
  const { receipt = "" } = cases[0] ?? {};
  const [key = ""] = keys;
  for (const [options, message] of [
    [{}, /^Name whose logs to believe/],
    [{ keys: [] }, /^Name whose logs to believe/],
    [{ policy: "quorum none\n" }, /^Name whose logs to believe/],
    [{ policy: "log\n" }, /^Not a tlog-policy, line 1/],
    [{ keys: ["a+b+c"] }, /^Not the verifier key of a log.*: a\+b\+c$/],
    [{ keys: [key.replace("+A", "+B")] }, /^Not the verifier key of a log/],
  ] as const)
    assert.throws(() => verifyReceipt(receipt, options), { name: "TypeError", message }, JSON.stringify(options));
  assert.equal(verifyReceipt(receipt, { keys: [key], policy: "quorum none\n" }).kind, "ok");
});

test("the check alone, bundled and minified, stays within the size the README names", async (t) => {
  const readme = readFileSync(join(here, "../README.md"), "utf8");
  const budgetKib = Number(/`@sallyport\/sdk\/receipt`[^.]*?(\d+) KiB/.exec(readme)?.[1]);
  const { outputFiles, metafile } = await build({
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    metafile: true,
    entryPoints: [join(here, "receipt.ts")],
  });
  const bytes = gzipSync(outputFiles[0]?.contents ?? new Uint8Array(0), { level: 9 }).length;
  t.diagnostic(`${(bytes / 1024).toFixed(1)} KiB of ${budgetKib}`);
  assert.ok(bytes > 1_000 && bytes <= budgetKib * 1024, `${bytes} bytes`);
  assert.deepEqual(
    Object.keys(metafile.inputs).filter((path) => path.includes("node_modules/")),
    [],
    "no code of others is in it",
  );
});
