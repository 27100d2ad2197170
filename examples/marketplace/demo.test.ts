import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const demo = join(dirname(fileURLToPath(import.meta.url)), "demo.ts");
const timeoutMs = 600_000;
/** Of these demos alone: others of this machine have theirs beside it. */
const temporary = mkdtempSync(join(tmpdir(), "sallyport-demo-"));
const env = { ...process.env, TMPDIR: temporary };
after(() => rmSync(temporary, { recursive: true, force: true }));

interface Summary {
  readonly ok: boolean;
  readonly seconds: number;
  readonly steps: readonly {
    readonly kind: string;
    readonly code: string | null;
    readonly problems: readonly string[];
  }[];
}

function run(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", demo, ...args], {
      timeout: timeoutMs,
      env,
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

test("the whole story is as promised, tells every denial it must, and leaves nothing behind", {
  timeout: timeoutMs,
}, async () => {
  const { code, stdout, stderr } = await run(["--once", "--json"]);
  assert.equal(code, 0, stderr);
  const { ok, steps } = JSON.parse(stdout) as Summary;
  assert.equal(ok, true);
  assert.deepEqual(
    steps.flatMap(({ problems }) => problems),
    [],
  );
  const codes = new Set(steps.filter(({ kind }) => kind === "deny").map((step) => step.code));
  for (const promised of promisedCodes) assert.ok(codes.has(promised), `no step was denied as ${promised}`);
  assert.deepEqual(readdirSync(temporary), []);
});

const promisedCodes = [
  "not-granted",
  "schema-mismatch",
  "policy-denied",
  "policy-error",
  "token-audience",
  "token-key-unknown",
  "token-expired",
  "token-malformed",
  "token-algorithm",
  "dpop-key-mismatch",
  "token-bound-as-bearer",
  "dpop-replayed",
  "certificate-unknown",
  "credentials-missing",
  "not-active",
  "insufficient-user-authentication",
  "token-revoked",
  "signature-replayed",
  "signature-invalid",
  "quota-exhausted",
];

test("interrupted in the middle it says so, ends non-zero and leaves no process and no folder", {
  timeout: timeoutMs,
}, async () => {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", demo], { timeout: timeoutMs, env });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    const wasUp = stdout.includes("up in");
    stdout += chunk;
    // Twice, as when a terminal and npm both hand on one Ctrl-C.
    if (!wasUp && stdout.includes("up in")) for (const signal of ["SIGINT", "SIGTERM"] as const) child.kill(signal);
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 1, stdout);
  assert.match(stdout, /steps, interrupted, [\d.]+ s\n$/);
  assert.deepEqual(readdirSync(temporary), []);
});

test("an option that does not exist is bad use, not a story", () => {
  for (const args of [["--onse"]]) {
    const { status, stderr } = spawnSync(process.execPath, [demo, ...args], { encoding: "utf8" });
    assert.equal(status, 2);
    assert.ok(stderr.includes(args.join(" ")), stderr);
  }
});
